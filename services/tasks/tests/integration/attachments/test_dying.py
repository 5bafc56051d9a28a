"""What is left of uploads that do not end: the client goes away, the process is killed, the store fails."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from rota.tasks.v1 import attachments_pb2, attachments_pb2_grpc
from rota_chassis.errors import Conflict, InvalidArgument, Unavailable
from rota_chassis.ids import uuid7
from rota_chassis.rpc.channel import open_channel
from rota_chassis.settings import DEVELOPMENT_SECRET
from rota_chassis.testing.clock import ManualClock
from rota_chassis.testing.waiting import eventually
from rota_chassis.tokens import ServiceTokens
from rota_tasks.attachments import cleanup, ledger
from rota_tasks.attachments.files import LocalFileStore

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator
    from pathlib import Path

    from integration.attachments.conftest import Desk, RunDesk


async def endless(task: Any) -> AsyncIterator[attachments_pb2.CreateAttachmentRequest]:
    yield attachments_pb2.CreateAttachmentRequest(task_id=task.id, name="endless.bin", data=os.urandom(200_000))
    await asyncio.Event().wait()


def hours_from_now(hours: float) -> ManualClock:
    return ManualClock(datetime.now(UTC) + timedelta(hours=hours))


async def states(desk: Desk) -> list[str]:
    return [row["state"] for row in await desk.fetch("SELECT state FROM attachment_objects ORDER BY id")]


async def test_a_client_that_goes_away_leaves_nothing(desk: Desk) -> None:
    task = await desk.task()
    call = desk.attachments.CreateAttachment(endless(task), metadata=desk.ada.metadata)
    await eventually(desk.files)
    assert await states(desk) == ["pending"]
    call.cancel()
    await eventually(lambda: not desk.files())

    async def given_up() -> bool:
        return await states(desk) == ["deleted"]

    await eventually(given_up)
    assert await desk.usage(desk.ada) == 0
    async with desk.cleaning(hours_from_now(0)) as attachments:
        assert await cleanup.clean(attachments) == 1
    assert (await states(desk), await desk.listed(task)) == ([], [])


async def test_a_stream_that_ends_before_the_file_does_makes_no_attachment(desk: Desk) -> None:
    task = await desk.task()

    async def half() -> AsyncGenerator[attachments_pb2.CreateAttachmentRequest]:
        yield attachments_pb2.CreateAttachmentRequest(task_id=task.id, name="half.bin", data=b"half")

    with pytest.raises(InvalidArgument) as caught:
        await desk.send(half())
    assert caught.value.code == "UPLOAD_INCOMPLETE"
    assert (await desk.listed(task), desk.files(), await desk.usage(desk.ada)) == ([], [], 0)


async def test_what_a_killed_process_left_is_taken_away_an_hour_later(
    desk: Desk, tmp_path: Path, postgres_url: str, redis_url: str, fresh_nats_url: str
) -> None:
    """The process is one of its own, on the same database and folder; it knows the workspace from the first."""
    task = await desk.task()
    socket = f"unix:{tmp_path}/killed.sock"
    environment = {
        **os.environ,
        "ROTA_POSTGRES_URL": postgres_url,
        "ROTA_REDIS_URL": redis_url,
        "ROTA_NATS_URL": fresh_nats_url,
        "ROTA_TASKS_ADDRESS": socket,
        "ROTA_AUTH_ADDRESS": desk.auth.address,
        "ROTA_ATTACHMENTS_FOLDER": str(desk.folder),
        "DATABASE_URL_OF_THE_TEST": desk.database_url,
    }
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", _SERVE, env=environment)
    try:
        tokens = ServiceTokens("test", DEVELOPMENT_SECRET)
        async with open_channel(socket, tokens) as channel:
            stub = attachments_pb2_grpc.AttachmentServiceStub(channel)
            acting = (("authorization", f"Bearer {tokens.acting_for(desk.ada.id, desk.ada.workspace_id)}"),)
            call = stub.CreateAttachment(endless(task), metadata=acting, wait_for_ready=True)
            await eventually(desk.files, timeout_s=30)
            process.send_signal(signal.SIGKILL)
            await process.wait()
            call.cancel()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert await states(desk) == ["pending"]
    assert "#" in desk.files()[0]
    async with desk.cleaning(hours_from_now(0.9)) as attachments:
        assert await cleanup.clean(attachments) == 0
    async with desk.cleaning(hours_from_now(1.1)) as attachments:
        assert await cleanup.clean(attachments) == 1
    assert (await states(desk), desk.files(), await desk.usage(desk.ada)) == ([], [], 0)


_SERVE = """
import os
from rota_chassis.service import run
from rota_tasks.bootstrap import SERVICE
from rota_tasks.settings import TasksSettings
from dataclasses import replace

class Settings(TasksSettings):
    def database_url(self, service):
        return os.environ["DATABASE_URL_OF_THE_TEST"]

run(replace(SERVICE, settings=Settings))
"""


async def test_an_upload_that_was_given_up_meanwhile_is_told_so(desk: Desk) -> None:
    task = await desk.task()

    async def messages() -> AsyncGenerator[attachments_pb2.CreateAttachmentRequest]:
        yield attachments_pb2.CreateAttachmentRequest(task_id=task.id, name="late.bin", data=bytes(20_000))
        await eventually(desk.files)
        async with desk.cleaning(hours_from_now(0)) as attachments, attachments.tasks.database.transaction() as work:
            await ledger.release_overdue(work, before=hours_from_now(1).now(), limit=10)
        yield attachments_pb2.CreateAttachmentRequest(complete=True)

    with pytest.raises(Conflict) as caught:
        await desk.send(messages())
    assert caught.value.code == "UPLOAD_EXPIRED"
    assert (await desk.listed(task), await desk.usage(desk.ada)) == ([], 0)
    async with desk.cleaning(hours_from_now(0)) as attachments:
        assert await cleanup.clean(attachments) == 1
    assert desk.files() == []


async def test_one_replica_cleans_at_a_time(desk: Desk) -> None:
    task = await desk.task()
    for _ in range(5):
        await desk.delete(await desk.attach(task))
    async with desk.cleaning(hours_from_now(0)) as one, desk.cleaning(hours_from_now(0)) as other:
        removed = await asyncio.gather(cleanup.clean(one), cleanup.clean(other))
        assert sorted(removed) in ([0, 5], [2, 3], [1, 4])
        assert sum(removed) == 5
    assert desk.files() == []


async def test_an_object_that_is_gone_already_is_forgotten(desk: Desk) -> None:
    made = await desk.attach(await desk.task())
    await desk.delete(made)
    (desk.folder / made.workspace_id / made.id).unlink()
    async with desk.cleaning(hours_from_now(0)) as attachments:
        assert await cleanup.clean(attachments) == 1
        assert await ledger.deleted(attachments.tasks.database, limit=10) == []


async def test_a_store_that_fails_refuses_the_upload_and_keeps_no_room(run_desk: RunDesk, tmp_path: Path) -> None:
    (tmp_path / "no-folder").write_text("a file")
    async with run_desk(attachments_folder=tmp_path / "no-folder" / "files") as desk:
        with pytest.raises(Unavailable) as caught:
            await desk.attach(await desk.task())
        assert caught.value.code == "FILE_STORE_UNAVAILABLE"
        assert await desk.usage(desk.ada) == 0


async def test_an_object_is_not_there_until_it_is_whole(tmp_path: Path) -> None:
    files, workspace_id, object_id = LocalFileStore(tmp_path / "files"), uuid7(), uuid7()
    async with files.writing(workspace_id, object_id, attributes={}) as write:
        await write(bytes(100_000))
        with pytest.raises(FileNotFoundError):
            await files.reading(workspace_id, object_id, offset=0, length=1)
    chunks = await files.reading(workspace_id, object_id, offset=99_999, length=1)
    assert [chunk async for chunk in chunks] == [b"\0"]
