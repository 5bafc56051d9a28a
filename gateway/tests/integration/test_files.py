"""Files through the gateway: up as bodies and forms, down whole and in parts, without ever being in memory."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

import httpx
import psutil
import pytest
from rota.options.v1.files_pb2 import FILE_EXTENT_NONE, FILE_EXTENT_PART
from rota_chassis.errors import Conflict, NotFound
from rota_chassis.ids import uuid7
from rota_chassis.testing.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.integration.conftest import System

TASK = f"/api/v1/tasks/{uuid7()}/attachments"
CONTENT = f"/api/v1/attachments/{uuid7()}/content"
MEGABYTE = 1024 * 1024


async def post(system: System, content: Any, path: str = TASK, **headers: str) -> httpx.Response:
    token = system.user().token
    given = {"authorization": f"Bearer {token}", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return await system.http.post(path, content=content, headers=given)


async def form(system: System, files: Any, path: str = TASK) -> httpx.Response:
    return await system.http.post(path, files=files, headers={"authorization": f"Bearer {system.user().token}"})


def problem(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def chunks(size: int) -> AsyncIterator[bytes]:
    block = os.urandom(64 * 1024)
    for _ in range(size // len(block)):
        yield block


async def test_a_body_goes_up_as_it_is(system: System) -> None:
    content = os.urandom(3 * MEGABYTE)
    answer = await post(system, content, f"{TASK}?name=a.bin", content_type="image/png; q=1", idempotency_key="k")
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"/api/v1/attachments/{answer.json()['id']}"
    assert bytes(system.attachments.content) == content
    assert system.attachments.whole
    assert system.attachments.most <= 256 * 1024
    head = system.attachments.head
    assert (head.name, head.media_type, head.size, head.request_id) == ("a.bin", "image/png; q=1", len(content), "k")


async def test_a_form_goes_up_with_the_name_and_type_of_its_part(system: System) -> None:
    content = os.urandom(3 * MEGABYTE)
    answer = await form(system, {"file": ('été "1".pdf', content, "application/pdf")})
    assert answer.status_code == 201, answer.text
    assert bytes(system.attachments.content) == content
    assert system.attachments.whole
    head = system.attachments.head
    assert head.name.startswith("été")
    assert (head.media_type, head.HasField("size")) == ("application/pdf", False)


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('attachment; filename="a b.txt"', "a b.txt"),
        ("attachment; filename*=UTF-8''%e2%82%ac.txt", "€.txt"),
        ("attachment; filename=\"_.txt\"; filename*=UTF-8''%e2%82%ac.txt", "€.txt"),
        ("attachment; filename*=UTF-8''%ff%fe.txt", "\ufffd\ufffd.txt"),
        ("attachment; filename*=nocharset''a.txt", "a.txt"),
        ("attachment", ""),
        (";;;=", ""),
    ],
)
async def test_a_body_may_be_named_by_its_disposition(system: System, disposition: str, name: str) -> None:
    await post(system, b"words", content_disposition=disposition)
    assert system.attachments.head.name == name


async def test_an_empty_file_is_a_file(system: System) -> None:
    for answer in (await post(system, b"", f"{TASK}?name=a"), await form(system, {"file": ("a", b"")})):
        assert answer.status_code == 201, answer.text
        assert answer.json()["size"] == 0
        assert system.attachments.whole


PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nwords\r\n'


@pytest.mark.parametrize(
    ("declared", "body"),
    [
        ("multipart/form-data", PART + b"--b--\r\n"),
        ("multipart/form-data; boundary=b", b""),
        ("multipart/form-data; boundary=b", b"words"),
        ("multipart/form-data; boundary=b", PART),
        ("multipart/form-data; boundary=b", PART + PART + b"--b--\r\n"),
        ("multipart/form-data; boundary=b", PART.replace(b'"file"', b'"other"') + b"--b--\r\n"),
        ("multipart/form-data; boundary=b", b"--b--\r\n"),
        ("multipart/form-data; boundary=b", b"--b\r\n" + b"X: " + b"x" * 10_000 + b"\r\n\r\nwords\r\n--b--\r\n"),
        ("multipart/form-data; boundary=b", b"x" * MEGABYTE),
        ("multipart/form-data; boundary=b", PART + b"--b--\r\n" + b"x" * MEGABYTE),
    ],
    ids=["unbounded", "empty", "none", "cut", "two", "other", "no-part", "header", "before", "after"],
)
async def test_a_form_that_is_none_is_refused_and_makes_nothing(system: System, declared: str, body: bytes) -> None:
    answer = await post(system, body, content_type=declared)
    assert problem(answer) == (400, "MALFORMED_MULTIPART")
    assert not system.attachments.whole


async def test_a_refusal_of_the_service_comes_before_the_file_has_gone_up(system: System) -> None:
    system.attachments.refuse = Conflict("No room.", code="STORAGE_QUOTA_EXCEEDED")
    for _ in range(20):
        answer = await post(system, chunks(4 * MEGABYTE), f"{TASK}?name=a")
        assert problem(answer) == (409, "STORAGE_QUOTA_EXCEEDED")


async def test_what_holds_for_every_route_holds_for_files(system: System) -> None:
    assert problem(await system.http.post(TASK, content=b"words"))[0] == 401
    assert problem(await post(system, b"words", f"{TASK}?nome=a"))[0] == 400
    assert problem(await post(system, b"words", "/api/v1/tasks/no-id/attachments"))[0] == 400
    assert problem(await post(system, b"words", content_encoding="gzip")) == (415, "UNSUPPORTED_CONTENT_ENCODING")
    answer = await post(system, b"words", f"{TASK}?name=a")
    assert "ratelimit" in answer.headers
    await system.stop("tasks")
    assert problem(await post(system, b"words", f"{TASK}?name=a")) == (503, "UPSTREAM_UNAVAILABLE")
    assert problem(await system.get(CONTENT, system.user())) == (503, "UPSTREAM_UNAVAILABLE")


async def test_a_client_that_goes_away_ends_the_call_unfinished(system: System) -> None:
    head = f"POST {TASK}?name=a HTTP/1.1\r\nHost: rota\r\nAuthorization: Bearer {system.user().token}\r\n"
    _, writer = await asyncio.open_connection("127.0.0.1", system.port)
    writer.write(head.encode() + b"Content-Length: 1000000\r\n\r\n" + bytes(500_000))
    await eventually(lambda: len(system.attachments.content))
    writer.close()
    await asyncio.wait_for(system.attachments.ended.wait(), 10)
    assert not system.attachments.whole


def a_file(system: System, size: int, **fields: Any) -> None:
    file = system.attachments.file
    file.size = file.length = size
    file.modified_at.FromDatetime(datetime(2026, 1, 1, 12, tzinfo=UTC))
    for name, value in fields.items():
        setattr(file, name, value)


async def test_a_file_comes_down_whole(system: System) -> None:
    a_file(system, 3 * MEGABYTE + 7, name="été.txt")
    answer = await system.get(CONTENT, system.user())
    assert (answer.status_code, answer.content) == (200, b"x" * (3 * MEGABYTE + 7))
    expected = {
        "content-type": "text/plain",
        "content-length": str(3 * MEGABYTE + 7),
        "etag": '"digest"',
        "accept-ranges": "bytes",
        "last-modified": "Thu, 01 Jan 2026 12:00:00 GMT",
        "content-disposition": "attachment; filename=\"_t_.txt\"; filename*=UTF-8''%C3%A9t%C3%A9.txt",
        "x-content-type-options": "nosniff",
        "cache-control": "private, no-cache",
    }
    assert {name: answer.headers[name] for name in expected} == expected


async def test_an_empty_file_comes_down(system: System) -> None:
    a_file(system, 0)
    answer = await system.get(CONTENT, system.user())
    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "0")


async def test_a_part_comes_down_as_one(system: System) -> None:
    a_file(system, 1000, extent=FILE_EXTENT_PART, offset=10, length=20)
    answer = await system.get(CONTENT, system.user(), range="bytes=10-29", **{"if-range": '"digest"'})
    assert (answer.status_code, answer.content) == (206, b"x" * 20)
    assert answer.headers["content-range"] == "bytes 10-29/1000"
    asked = system.attachments.asked[-1]
    assert (asked.range, asked.if_range) == ("bytes=10-29", '"digest"')


async def test_a_part_behind_the_end_is_not_satisfiable(system: System) -> None:
    a_file(system, 1000, extent=FILE_EXTENT_NONE, offset=1000, length=0)
    answer = await system.get(CONTENT, system.user(), range="bytes=1000-")
    assert problem(answer) == (416, "RANGE_NOT_SATISFIABLE")
    assert answer.headers["content-range"] == "bytes */1000"


async def test_what_the_client_has_is_not_sent_again(system: System) -> None:
    a_file(system, 1000)
    for condition in ('"digest"', 'W/"digest"', '"other", "digest"', "*"):
        answer = await system.get(CONTENT, system.user(), **{"if-none-match": condition})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", '"digest"')
    assert (await system.get(CONTENT, system.user(), **{"if-none-match": '"other"'})).status_code == 200


async def test_head_answers_with_the_headers_of_the_whole(system: System) -> None:
    a_file(system, 1000, extent=FILE_EXTENT_PART, offset=10, length=20)
    answer = await system.http.head(CONTENT, headers={"authorization": f"Bearer {system.user().token}"})
    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "1000")


async def test_an_inline_file_is_named_as_one(system: System) -> None:
    a_file(system, 10, inline=True, name='a"b\\c;d.png')
    answer = await system.get(f"{CONTENT}?inline=true", system.user())
    assert system.attachments.asked[-1].inline
    expected = "inline; filename=\"a_b_c;d.png\"; filename*=UTF-8''a%22b%5Cc%3Bd.png"
    assert answer.headers["content-disposition"] == expected


async def test_a_refusal_before_the_file_is_a_problem(system: System) -> None:
    system.attachments.refuse = NotFound("There is no such attachment.", code="ATTACHMENT_NOT_FOUND")
    assert problem(await system.get(CONTENT, system.user())) == (404, "ATTACHMENT_NOT_FOUND")


async def test_a_file_that_cannot_be_sent_to_its_end_is_cut_off(system: System) -> None:
    a_file(system, 3 * MEGABYTE)
    system.attachments.fail_after = MEGABYTE
    with pytest.raises(httpx.RemoteProtocolError):
        await system.get(CONTENT, system.user())


async def test_a_client_that_stops_reading_stops_the_service(system: System) -> None:
    a_file(system, 1024 * MEGABYTE)
    reader, writer = await asyncio.open_connection("127.0.0.1", system.port)
    head = f"GET {CONTENT} HTTP/1.1\r\nHost: rota\r\nAuthorization: Bearer {system.user().token}\r\n\r\n"
    writer.write(head.encode())
    await reader.readexactly(MEGABYTE)
    writer.close()
    await asyncio.wait_for(system.attachments.ended.wait(), 10)
    assert system.attachments.sent < 100 * MEGABYTE


async def test_a_client_that_goes_away_while_the_service_is_slow_ends_the_call(system: System) -> None:
    a_file(system, MEGABYTE)
    system.attachments.may_go_on.clear()
    reader, writer = await asyncio.open_connection("127.0.0.1", system.port)
    head = f"GET {CONTENT} HTTP/1.1\r\nHost: rota\r\nAuthorization: Bearer {system.user().token}\r\n\r\n"
    writer.write(head.encode())
    await reader.readuntil(b"\r\n\r\n")
    writer.close()
    await asyncio.wait_for(system.attachments.ended.wait(), 10)
    assert system.attachments.sent == 0


async def test_files_go_through_without_being_in_memory(system: System) -> None:
    """Gateway, service and client are one process here, so that this bounds them all together."""
    process = psutil.Process()
    size = 128 * MEGABYTE

    class Counting:
        length = 0

        def clear(self) -> None:
            self.length = 0

        def __iadd__(self, data: bytes) -> Self:
            self.length += len(data)
            return self

        def __len__(self) -> int:
            return self.length

    system.attachments.content = Counting()  # type: ignore[assignment]
    await post(system, chunks(8 * MEGABYTE), f"{TASK}?name=warm")
    before = most = process.memory_info().rss

    async def watched() -> AsyncIterator[bytes]:
        nonlocal most
        async for chunk in chunks(size):
            most = max(most, process.memory_info().rss)
            yield chunk

    answer = await post(system, watched(), f"{TASK}?name=large")
    assert answer.json()["size"] == size
    a_file(system, size)
    received = 0
    async with system.http.stream("GET", CONTENT, headers={"authorization": f"Bearer {system.user().token}"}) as down:
        async for chunk in down.aiter_bytes():
            received += len(chunk)
            most = max(most, process.memory_info().rss)
    assert received == size
    assert most - before < 50 * MEGABYTE
