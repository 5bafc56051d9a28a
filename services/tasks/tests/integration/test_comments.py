"""Comments on tasks through gRPC, on real servers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from rota.tasks.v1 import comments_pb2, tasks_pb2
from rota_chassis.errors import (
    Conflict,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    PreconditionFailed,
    Unprocessable,
)
from rota_chassis.postgres.database import Database
from rota_tasks.rebuild import rebuild

if TYPE_CHECKING:
    from conftest import Stage
    from rota_chassis.testing.services import User


async def say(
    stage: Stage, task: tasks_pb2.Task, text: str = "The basil too", *, user: User | None = None, **fields: Any
) -> comments_pb2.Comment:
    request = comments_pb2.CreateCommentRequest(task_id=task.id, text=text, **fields)
    return (await stage.comments.CreateComment(request, metadata=(user or stage.ada).metadata)).comment


async def change(
    stage: Stage, comment: comments_pb2.Comment, *, user: User | None = None, if_match: str = "", **fields: Any
) -> comments_pb2.Comment:
    request = comments_pb2.UpdateCommentRequest(
        task_id=comment.task_id, id=comment.id, update_mask=FieldMask(paths=list(fields)), if_match=if_match, **fields
    )
    return (await stage.comments.UpdateComment(request, metadata=(user or stage.ada).metadata)).comment


async def remove(stage: Stage, comment: comments_pb2.Comment, *, user: User | None = None, if_match: str = "") -> None:
    request = comments_pb2.DeleteCommentRequest(task_id=comment.task_id, id=comment.id, if_match=if_match)
    await stage.comments.DeleteComment(request, metadata=(user or stage.ada).metadata)


async def read(stage: Stage, comment: comments_pb2.Comment, *, user: User | None = None) -> comments_pb2.Comment:
    request = comments_pb2.GetCommentRequest(task_id=comment.task_id, id=comment.id)
    return (await stage.comments.GetComment(request, metadata=(user or stage.ada).metadata)).comment


async def all_on(stage: Stage, task: tasks_pb2.Task, *, size: int = 50) -> list[comments_pb2.Comment]:
    seen: list[comments_pb2.Comment] = []
    token = ""
    while True:
        request = comments_pb2.ListCommentsRequest(task_id=task.id, page_size=size, page_token=token)
        answer = await stage.comments.ListComments(request, metadata=stage.ada.metadata)
        seen += answer.comments
        token = answer.next_page_token
        if not token:
            return seen


async def versions(stage: Stage, comment: comments_pb2.Comment, *, size: int = 50) -> list[comments_pb2.Comment]:
    seen: list[comments_pb2.Comment] = []
    token = ""
    while True:
        request = comments_pb2.ListCommentVersionsRequest(
            task_id=comment.task_id, id=comment.id, page_size=size, page_token=token
        )
        answer = await stage.comments.ListCommentVersions(request, metadata=stage.ada.metadata)
        seen += answer.versions
        token = answer.next_page_token
        if not token:
            return seen


async def test_comments_are_listed_oldest_first_in_pages(stage: Stage) -> None:
    task, other = await stage.create(), await stage.create()
    said = [await say(stage, task, f"comment {number}") for number in range(5)]
    await say(stage, other)
    assert await all_on(stage, task, size=2) == said
    assert await read(stage, said[0]) == said[0]
    assert (said[0].author_id, said[0].version) == (str(stage.ada.id), 1)


async def test_a_comment_keeps_its_earlier_versions(stage: Stage) -> None:
    first = await say(stage, await stage.create(), "one")
    second = await change(stage, first, text="two")
    assert await change(stage, first, text="two") == second
    third = await change(stage, first, text="three", if_match=second.etag)
    assert await versions(stage, first, size=2) == [first, second, third]
    assert await read(stage, first) == third
    with pytest.raises(PreconditionFailed) as caught:
        await change(stage, first, text="four", if_match=first.etag)
    assert caught.value.current == third


async def test_only_its_author_changes_a_comment_and_an_owner_may_delete_it(stage: Stage) -> None:
    stage.auth.add_member(stage.ada.workspace_id, stage.grace.id)
    task = await stage.create()
    of_ada, of_grace = await say(stage, task), await say(stage, task, user=stage.grace)
    with pytest.raises(PermissionDenied) as caught:
        await change(stage, of_grace, text="No")
    assert caught.value.code == "COMMENT_AUTHOR_REQUIRED"
    with pytest.raises(PermissionDenied):
        await remove(stage, of_ada, user=stage.grace)
    await remove(stage, of_grace)
    with pytest.raises(NotFound):
        await read(stage, of_grace)
    assert await all_on(stage, task) == [of_ada]


async def test_a_comment_exists_for_members_and_on_its_task_only(stage: Stage) -> None:
    task, other = await stage.create(), await stage.create()
    comment = await say(stage, task)
    with pytest.raises(NotFound) as caught:
        await read(stage, comment, user=stage.grace)
    assert caught.value.code == "COMMENT_NOT_FOUND"
    with pytest.raises(NotFound) as caught:
        await say(stage, task, user=stage.grace)
    assert caught.value.code == "TASK_NOT_FOUND"
    elsewhere = comments_pb2.Comment(id=comment.id, task_id=other.id)
    for attempt in (read(stage, elsewhere), change(stage, elsewhere, text="x"), remove(stage, elsewhere)):
        with pytest.raises(NotFound):
            await attempt


async def test_a_viewer_reads_comments_and_writes_none(stage: Stage) -> None:
    stage.auth.add_member(stage.ada.workspace_id, stage.grace.id, role="viewer")
    task = await stage.create()
    comment = await say(stage, task)
    assert await read(stage, comment, user=stage.grace) == comment
    with pytest.raises(PermissionDenied):
        await say(stage, task, user=stage.grace)


async def test_members_can_be_mentioned_and_the_event_names_the_newly_mentioned(stage: Stage) -> None:
    task = await stage.create()
    with pytest.raises(Conflict) as caught:
        await say(stage, task, mentioned_ids=[str(uuid4())])
    assert caught.value.code == "MENTION_NOT_A_MEMBER"
    stage.auth.add_member(stage.ada.workspace_id, stage.grace.id)
    comment = await say(stage, task, mentioned_ids=[str(stage.ada.id)])
    changed = await change(stage, comment, mentioned_ids=[str(stage.ada.id), str(stage.grace.id)])
    assert list(changed.mentioned_ids) == [str(stage.ada.id), str(stage.grace.id)]
    connection = await asyncpg.connect(stage.database_url)
    rows = await connection.fetch("SELECT data::text FROM events WHERE aggregate = 'comment' ORDER BY position")
    await connection.close()
    assert [str(stage.grace.id) in row["data"] for row in rows] == [False, True]
    assert all(task.title in row["data"] for row in rows)


async def test_texts_that_break_the_contract_are_refused(stage: Stage) -> None:
    task = await stage.create()
    for text in ("", " \n ", "x" * 20_001):
        with pytest.raises(InvalidArgument) as caught:
            await say(stage, task, text)
        assert [each.field for each in caught.value.violations] == ["text"]
    comment = await say(stage, task, "x" * 20_000)
    request = comments_pb2.UpdateCommentRequest(task_id=task.id, id=comment.id, update_mask=FieldMask(paths=["text"]))
    with pytest.raises(InvalidArgument):
        await stage.comments.UpdateComment(request, metadata=stage.ada.metadata)


async def test_a_repeated_request_returns_the_first_comment(stage: Stage) -> None:
    task = await stage.create()
    said = await asyncio.gather(*(say(stage, task, request_id="key-1") for _ in range(6)))
    assert len({comment.id for comment in said}) == len(await all_on(stage, task)) == 1
    with pytest.raises(Unprocessable):
        await say(stage, task, "Something else", request_id="key-1")
    await remove(stage, said[0])
    with pytest.raises(NotFound):
        await say(stage, task, request_id="key-1")


async def test_of_many_who_change_one_version_one_does(stage: Stage) -> None:
    comment = await say(stage, await stage.create())
    outcomes = await asyncio.gather(
        *(change(stage, comment, text=f"text {number}", if_match=comment.etag) for number in range(6)),
        return_exceptions=True,
    )
    assert sum(isinstance(each, PreconditionFailed) for each in outcomes) == 5
    assert len(await versions(stage, comment)) == 2


async def test_comments_end_with_their_task_even_those_made_meanwhile(stage: Stage) -> None:
    task = await stage.create()
    await asyncio.gather(
        *(say(stage, task) for _ in range(4)),
        stage.tasks.DeleteTask(tasks_pb2.DeleteTaskRequest(id=task.id), metadata=stage.ada.metadata),
        *(say(stage, task) for _ in range(4)),
        return_exceptions=True,
    )
    with pytest.raises(NotFound) as caught:
        await say(stage, tasks_pb2.Task(id=str(uuid4())))
    assert caught.value.code == "TASK_NOT_FOUND"
    kept = await stage.create()
    comment = await say(stage, kept, "one")
    await change(stage, comment, text="two")
    await remove(stage, await say(stage, kept))
    database = await Database.connect(stage.database_url, size=2)
    try:
        rebuilt = await rebuild(database)
    finally:
        await database.close()
    # The two that live, and the task in the trash with the comments that were in time.
    assert (rebuilt.rows >= 3, rebuilt.differences) == (True, 0)
