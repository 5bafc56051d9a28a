"""Attachments through gRPC, on real servers, in a folder of the test's own."""

from __future__ import annotations

import asyncio
import hashlib
import os
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from rebuilding import require_rebuilt
from rota.options.v1 import files_pb2
from rota.tasks.v1 import attachments_pb2, search_pb2, sync_pb2, sync_pb2_grpc, tasks_pb2, trash_pb2
from rota_chassis.errors import (
    Conflict,
    ContentTooLarge,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Unauthenticated,
    Unprocessable,
)
from rota_chassis.testing.clock import ManualClock
from rota_tasks.attachments import cleanup

if TYPE_CHECKING:
    from integration.attachments.conftest import Desk

PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)
MAX_BYTES = 3_000_000
QUOTA_BYTES = 10_000_000


async def delete_task(desk: Desk, task: Any) -> None:
    await desk.tasks.DeleteTask(tasks_pb2.DeleteTaskRequest(id=task.id), metadata=desk.ada.metadata)


async def restore(desk: Desk, task: Any) -> None:
    await desk.trash.RestoreTask(trash_pb2.RestoreTaskRequest(id=task.id), metadata=desk.ada.metadata)


async def purge(desk: Desk, task: Any) -> None:
    await desk.trash.DeleteTrashedTask(trash_pb2.DeleteTrashedTaskRequest(id=task.id), metadata=desk.ada.metadata)


async def read(desk: Desk, attachment: Any, *, user: Any = None) -> Any:
    request = attachments_pb2.GetAttachmentRequest(id=attachment.id)
    return (await desk.attachments.GetAttachment(request, metadata=(user or desk.ada).metadata)).attachment


async def count(desk: Desk, task: Any) -> int:
    answer = await desk.tasks.GetTask(tasks_pb2.GetTaskRequest(id=task.id), metadata=desk.ada.metadata)
    return answer.task.attachment_count


async def found(desk: Desk, words: str) -> list[str]:
    answer = await desk.search.SearchTasks(search_pb2.SearchTasksRequest(q=words), metadata=desk.ada.metadata)
    return [result.task.id for result in answer.results]


async def event_types(desk: Desk) -> list[str]:
    rows = await desk.fetch("SELECT type FROM events WHERE aggregate = 'attachment' ORDER BY position")
    return [row["type"] for row in rows]


async def clean(desk: Desk, *, hours: float = 0) -> int:
    """A pass of the clean-up, so many hours from now."""
    async with desk.cleaning(ManualClock(datetime.now(UTC) + timedelta(hours=hours))) as attachments:
        return await cleanup.clean(attachments)


@pytest.mark.parametrize("size", [0, 1, 8191, 8192, 8193, 200_000, 2_999_999, 3_000_000])
@pytest.mark.parametrize("declared", [True, False], ids=["declared", "undeclared"])
async def test_a_file_comes_back_as_it_went_in(desk: Desk, size: int, *, declared: bool) -> None:
    task, content = await desk.task(), os.urandom(size)
    made = await desk.attach(task, content, size=size if declared else None)
    assert (made.size, made.sha256) == (size, hashlib.sha256(content).hexdigest())
    head, got = await desk.download(made)
    assert got == content
    assert (head.size, head.length, head.etag) == (size, size, f'"{made.sha256}"')
    assert head.extent == files_pb2.FILE_EXTENT_WHOLE
    assert await read(desk, made) == made
    assert await desk.usage(desk.ada) == size


async def test_attachments_are_listed_oldest_first_in_pages_and_counted(desk: Desk) -> None:
    task, other = await desk.task(), await desk.task()
    made = [await desk.attach(task, b"x" * each) for each in range(5)]
    await desk.attach(other)
    assert await desk.listed(task, size=2) == made
    assert (await count(desk, task), await count(desk, other)) == (5, 1)
    assert await event_types(desk) == ["attachment.created"] * 6


@pytest.mark.parametrize(
    ("content", "declared", "kept"),
    [
        (PNG, "image/png", "image/png"),
        (PNG, "text/html", "image/png"),
        (b"<script>alert(1)</script>", "image/png", "application/octet-stream"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml", "image/svg+xml"),
        (b"a,b\n1,2\n", "text/csv; charset=utf-8", "text/csv"),
        (b"words", "", "application/octet-stream"),
        (b"words", "no type\r\nX-Evil: 1", "application/octet-stream"),
        (b"PK\x03\x04" + bytes(40), "application/java-archive", "application/java-archive"),
        (b"PK\x03\x04" + bytes(40), "image/png", "application/zip"),
    ],
)
async def test_a_type_is_what_the_content_is_found_to_be(desk: Desk, content: bytes, declared: str, kept: str) -> None:
    made = await desk.attach(await desk.task(), content, media_type=declared)
    assert made.media_type == kept


async def test_only_what_is_safe_to_show_is_shown(desk: Desk) -> None:
    task = await desk.task()
    picture = await desk.attach(task, PNG)
    page = await desk.attach(task, b"<html></html>", media_type="text/html")
    assert (await desk.download(picture, inline=True))[0].inline
    assert not (await desk.download(picture))[0].inline
    assert not (await desk.download(page, inline=True))[0].inline


@pytest.mark.parametrize(
    ("asked", "offset", "length", "extent"),
    [
        ("bytes=2-4", 2, 3, files_pb2.FILE_EXTENT_PART),
        ("bytes=7-", 7, 3, files_pb2.FILE_EXTENT_PART),
        ("bytes=-4", 6, 4, files_pb2.FILE_EXTENT_PART),
        ("bytes=10-", 10, 0, files_pb2.FILE_EXTENT_NONE),
        ("bytes=0-1,3-4", 0, 10, files_pb2.FILE_EXTENT_WHOLE),
    ],
)
async def test_a_range_of_the_content_can_be_had(desk: Desk, asked: str, offset: int, length: int, extent: int) -> None:
    made = await desk.attach(await desk.task(), b"0123456789")
    head, got = await desk.download(made, range=asked)
    assert (head.offset, head.length, head.extent) == (offset, length, extent)
    assert got == b"0123456789"[offset : offset + length]
    other = (await desk.download(made, range=asked, if_range='"another"'))[0]
    assert other.extent == files_pb2.FILE_EXTENT_WHOLE


async def test_others_see_nothing_and_viewers_change_nothing(desk: Desk) -> None:
    task = await desk.task()
    made = await desk.attach(task)
    for attempt in (
        lambda: desk.attach(task, user=desk.grace),
        lambda: read(desk, made, user=desk.grace),
        lambda: desk.download(made, user=desk.grace),
        lambda: desk.listed(task, user=desk.grace),
        lambda: desk.delete(made, user=desk.grace),
    ):
        with pytest.raises(NotFound):
            await attempt()


async def test_a_stream_needs_an_identity_and_a_user(desk: Desk) -> None:
    task, made = await desk.task(), await desk.attach(await desk.task())
    for metadata in ((), (("authorization", "Bearer no token"),)):
        nobody = SimpleNamespace(metadata=metadata)
        with pytest.raises(Unauthenticated):
            await desk.attach(task, user=nobody)  # type: ignore[arg-type]
        with pytest.raises(Unauthenticated):
            await desk.download(made, user=nobody)  # type: ignore[arg-type]


async def test_a_viewer_reads_and_does_not_write(desk: Desk) -> None:
    desk.auth.add_member(desk.ada.workspace_id, desk.grace.id, role="viewer")
    task = await desk.task()
    made = await desk.attach(task)
    assert (await desk.download(made, user=desk.grace))[1] == b"some words"
    with pytest.raises(PermissionDenied):
        await desk.attach(task, user=desk.grace)
    with pytest.raises(PermissionDenied):
        await desk.delete(made, user=desk.grace)
    assert desk.files() == [made.id]


async def test_a_member_deletes_their_own_and_an_owner_any(desk: Desk) -> None:
    desk.auth.add_member(desk.ada.workspace_id, desk.grace.id)
    task = await desk.task()
    of_ada, of_grace = await desk.attach(task), await desk.attach(task, user=desk.grace)
    with pytest.raises(PermissionDenied) as caught:
        await desk.delete(of_ada, user=desk.grace)
    assert caught.value.code == "ATTACHMENT_AUTHOR_REQUIRED"
    await desk.delete(of_grace)
    with pytest.raises(NotFound):
        await desk.delete(of_grace)
    assert await desk.listed(task) == [of_ada]
    assert await event_types(desk) == ["attachment.created"] * 2 + ["attachment.deleted"]


async def test_two_who_delete_at_once_delete_once(desk: Desk) -> None:
    made = await desk.attach(await desk.task())
    outcomes = await asyncio.gather(desk.delete(made), desk.delete(made), return_exceptions=True)
    assert sorted(type(each).__name__ for each in outcomes) == ["NoneType", "NotFound"]
    assert await desk.usage(desk.ada) == 0


async def test_a_file_that_is_too_long_is_refused_whether_its_length_is_declared_or_not(desk: Desk) -> None:
    task, content = await desk.task(), bytes(MAX_BYTES + 1)
    for size in (len(content), None):
        with pytest.raises(ContentTooLarge) as caught:
            await desk.attach(task, content, size=size)
        assert caught.value.code == "FILE_TOO_LARGE"
    assert desk.files() == []
    assert await desk.usage(desk.ada) == 0


@pytest.mark.parametrize("name", ["", "..", "/", "a/", "\x00\x1f", "\u202e"], ids=repr)
async def test_a_file_needs_a_name(desk: Desk, name: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await desk.attach(await desk.task(), name=name)
    assert caught.value.code == "FILE_NAME_REQUIRED"


async def test_a_task_must_exist_and_its_id_be_one(desk: Desk) -> None:
    with pytest.raises(NotFound):
        await desk.attach(str(uuid4()))
    with pytest.raises(InvalidArgument):
        await desk.attach("no-id")


async def test_fifty_parallel_uploads_never_go_over_the_quota_together(desk: Desk) -> None:
    task, content = await desk.task(), bytes(900_000)
    outcomes = await asyncio.gather(
        *(desk.attach(task, content, name=f"{each}.bin") for each in range(50)), return_exceptions=True
    )
    made = [each for each in outcomes if not isinstance(each, BaseException)]
    refused = [each for each in outcomes if isinstance(each, Conflict)]
    assert len(made) + len(refused) == 50
    assert {each.code for each in refused} == {"STORAGE_QUOTA_EXCEEDED"}
    assert len(made) == QUOTA_BYTES // len(content)
    assert await desk.usage(desk.ada) == len(made) * len(content)
    assert len(await desk.listed(task)) == len(made)
    await desk.delete(made[0])
    await desk.attach(task, content)


async def test_a_repeated_upload_returns_the_first_attachment(desk: Desk) -> None:
    task = await desk.task()
    outcomes = await asyncio.gather(*(desk.attach(task, b"same", request_id="key") for _ in range(5)))
    assert len({each.id for each in outcomes}) == 1
    with pytest.raises(Unprocessable) as caught:
        await desk.attach(task, b"other", request_id="key")
    assert caught.value.code == "REQUEST_ID_REUSED"
    assert await desk.usage(desk.ada) == 4
    await clean(desk)
    assert desk.files() == [outcomes[0].id]


async def test_attachments_go_and_come_back_with_their_task_and_end_with_it(desk: Desk) -> None:
    task = await desk.task()
    made = await desk.attach(task, name="quarterly_report-2026.pdf")
    assert await found(desk, "quarterly") == [task.id]
    await delete_task(desk, task)
    with pytest.raises(NotFound):
        await read(desk, made)
    with pytest.raises(NotFound):
        await desk.download(made)
    await clean(desk)
    await restore(desk, task)
    assert (await desk.download(made))[1] == b"some words"
    assert (await count(desk, task), await found(desk, "report")) == (1, [task.id])
    await delete_task(desk, task)
    await purge(desk, task)
    assert await desk.usage(desk.ada) == 0
    assert await clean(desk) == 1
    assert desk.files() == []


async def test_a_deleted_attachment_is_no_longer_found_and_its_content_goes(desk: Desk) -> None:
    task = await desk.task()
    made = await desk.attach(task, name="budget.xlsx")
    await desk.delete(made)
    assert await found(desk, "budget") == []
    assert (await count(desk, task), await desk.usage(desk.ada)) == (0, 0)
    assert await clean(desk) == 1
    assert (await clean(desk), desk.files()) == (0, [])


async def test_a_task_that_is_deleted_during_an_upload_keeps_it_from_being_made(desk: Desk) -> None:
    task = await desk.task()
    gone = asyncio.Event()

    async def messages() -> Any:
        yield attachments_pb2.CreateAttachmentRequest(task_id=task.id, name="late.txt", data=b"x" * 10_000)
        await delete_task(desk, task)
        gone.set()
        yield attachments_pb2.CreateAttachmentRequest(data=b"y", complete=True)

    with pytest.raises(NotFound):
        await desk.send(messages())
    assert gone.is_set()
    assert await desk.usage(desk.ada) == 0
    assert await clean(desk) == 1
    assert (desk.files(), await event_types(desk)) == ([], [])


async def test_a_rebuild_gives_the_same_attachments(desk: Desk) -> None:
    kept, trashed, purged = [await desk.task(str(each)) for each in range(3)]
    for task in (kept, trashed, purged):
        await desk.attach(task)
    await desk.delete(await desk.attach(kept))
    for task in (trashed, purged):
        await delete_task(desk, task)
    await purge(desk, purged)
    before = await desk.fetch("SELECT * FROM attachments ORDER BY id")
    assert len(before) == 2
    await require_rebuilt(desk.database_url)
    assert await desk.fetch("SELECT * FROM attachments ORDER BY id") == before
    await restore(desk, trashed)
    assert await count(desk, trashed) == 1


async def test_a_copy_hears_of_attachments_and_of_what_becomes_of_their_tasks(desk: Desk) -> None:
    sync, token = sync_pb2_grpc.SyncServiceStub(desk.channel), ""

    async def changes() -> dict[str, Any]:
        nonlocal token
        answer = await sync.Sync(sync_pb2.SyncRequest(since=token), metadata=desk.ada.metadata)
        token = answer.next_token
        return {change.kind: change for change in answer.changes}

    task = await desk.task()
    await changes()
    made = await desk.attach(task)
    heard = await changes()
    assert heard["attachment"].data.attachment == made
    assert heard["task"].data.task.attachment_count == 1
    await delete_task(desk, task)
    assert (await changes())["attachment"].deleted
    await restore(desk, task)
    assert (await changes())["attachment"].data.attachment == made
    await desk.delete(made)
    heard = await changes()
    assert heard["attachment"].deleted
    assert heard["task"].data.task.attachment_count == 0
