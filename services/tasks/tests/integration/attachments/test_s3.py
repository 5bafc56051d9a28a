"""Attachments in a bucket of an S3 server."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from moto.server import ThreadedMotoServer
from pydantic import SecretStr
from rota.tasks.v1 import attachments_pb2
from rota_chassis.clock import SystemClock
from rota_chassis.errors import NotFound, Unavailable, Unprocessable
from rota_chassis.ids import uuid7
from rota_chassis.testing.waiting import eventually
from rota_tasks.attachments import cleanup
from rota_tasks.attachments.dependencies import Attachments
from rota_tasks.attachments.files import S3FileStore, bucket

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterator

    from integration.attachments.conftest import Desk, RunDesk

MEGABYTE = 1024 * 1024


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The URL of an S3 server."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
async def place(s3: str) -> str:
    """The URL of a new bucket."""
    url = f"{s3}/rota-{uuid7()}"
    async with httpx.AsyncClient() as http:
        assert (await http.put(url)).status_code == 200
    return url


def settings_of(place: str) -> dict[str, Any]:
    endpoint, _, name = place.rpartition("/")
    keys = {"s3_access_key_id": "key", "s3_secret_access_key": "secret"}
    limits = {"attachment_max_bytes": 20 * MEGABYTE, "attachment_quota_bytes": 50 * MEGABYTE}
    return {"s3_bucket": name, "s3_endpoint": endpoint, **keys, **limits}


@pytest.fixture
async def desk(run_desk: RunDesk, place: str) -> AsyncIterator[Desk]:
    """A service that keeps files in the bucket."""
    async with run_desk(**settings_of(place)) as running_desk:
        yield running_desk


async def names(place: str, what: str = "list-type=2") -> list[str]:
    """The keys of the objects in a bucket, or of what else is listed there."""
    async with httpx.AsyncClient() as http:
        return re.findall(r"<Key>([^<]*)</Key>", (await http.get(f"{place}?{what}")).text)


async def address(desk: Desk, attachment: Any, user: Any = None) -> Any:
    request = attachments_pb2.GetAttachmentUrlRequest(id=attachment.id)
    return await desk.attachments.GetAttachmentUrl(request, metadata=(user or desk.ada).metadata)


@pytest.mark.parametrize("size", [0, 10, 5 * MEGABYTE, 12 * MEGABYTE + 3])
async def test_a_file_comes_back_from_a_bucket_whole_and_in_parts(desk: Desk, place: str, size: int) -> None:
    content = os.urandom(size)
    made = await desk.attach(await desk.task(), content)
    assert await names(place) == [f"{made.workspace_id}/{made.id}"]
    assert (await desk.download(made))[1] == content
    if size:
        assert (await desk.download(made, range="bytes=3-8"))[1] == content[3:9]
        assert (await desk.download(made, range="bytes=-5"))[1] == content[-5:]


async def test_an_address_gives_the_content_to_whoever_has_it_for_a_while(desk: Desk) -> None:
    made = await desk.attach(await desk.task(), b"<html></html>", name="é.html", media_type="text/html")
    answer = await address(desk, made)
    seconds = answer.expires_at.seconds - made.created_at.seconds
    assert 590 <= seconds <= 660
    assert parse_qs(urlsplit(answer.url).query)["X-Amz-Expires"] == ["600"]
    async with httpx.AsyncClient() as http:
        got = await http.get(answer.url)
    assert (got.content, got.headers["content-type"].partition(";")[0]) == (b"<html></html>", "text/html")
    assert got.headers["content-disposition"] == "attachment; filename*=UTF-8''%C3%A9.html"
    with pytest.raises(NotFound):
        await address(desk, made, desk.grace)


async def test_a_folder_has_no_addresses(run_desk: RunDesk) -> None:
    async with run_desk() as desk:
        made = await desk.attach(await desk.task())
        with pytest.raises(Unprocessable) as caught:
            await address(desk, made)
    assert caught.value.code == "DOWNLOAD_URL_UNAVAILABLE"


async def test_a_client_that_goes_away_leaves_no_parts_in_the_bucket(desk: Desk, place: str) -> None:
    task = await desk.task()

    async def endless() -> AsyncGenerator[attachments_pb2.CreateAttachmentRequest]:
        yield attachments_pb2.CreateAttachmentRequest(task_id=task.id, name="endless.bin")
        for _ in range(60):
            yield attachments_pb2.CreateAttachmentRequest(data=os.urandom(200_000))
        await asyncio.Event().wait()

    sending = asyncio.create_task(desk.send(endless()))
    await eventually(lambda: names(place, "uploads"))
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending

    async def none_left() -> bool:
        return not await names(place, "uploads")

    await eventually(none_left)

    async def no_room_taken() -> bool:
        return await desk.usage(desk.ada) == 0

    await eventually(no_room_taken)
    assert await names(place) == []


async def test_the_object_of_a_deleted_attachment_goes(desk: Desk, place: str) -> None:
    made = await desk.attach(await desk.task())
    await desk.delete(made)
    endpoint, _, name = place.rpartition("/")
    secret = SecretStr("secret")
    files = S3FileStore(
        bucket(name, endpoint=endpoint, region="us-east-1", access_key_id=secret, secret_access_key=secret)
    )
    async with desk.cleaning(SystemClock()) as local:
        assert await cleanup.clean(Attachments(local.tasks, files, max_bytes=1, quota_bytes=1)) == 1
    assert await names(place) == []


async def test_a_bucket_that_is_not_there_refuses_the_upload_and_keeps_no_room(run_desk: RunDesk, s3: str) -> None:
    async with run_desk(**settings_of(f"{s3}/no-such-bucket")) as desk:
        with pytest.raises(Unavailable) as caught:
            await desk.attach(await desk.task(), hashlib.sha256(b"").digest())
        assert caught.value.code == "FILE_STORE_UNAVAILABLE"
        assert await desk.usage(desk.ada) == 0
