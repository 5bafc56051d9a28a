"""The trash through gRPC, on real servers."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from rota.tasks.v1 import comments_pb2, history_pb2, relations_pb2, tasks_pb2, trash_pb2
from rota_chassis.errors import Conflict, InvalidArgument, NotFound, PermissionDenied
from rota_chassis.postgres.database import Database
from rota_chassis.postgres.work import UnitOfWork
from rota_tasks.rebuild import rebuild

if TYPE_CHECKING:
    from conftest import Stage


async def delete(stage: Stage, task: Any) -> None:
    await stage.tasks.DeleteTask(tasks_pb2.DeleteTaskRequest(id=task.id), metadata=stage.ada.metadata)


async def restore(stage: Stage, task: Any) -> Any:
    answer = await stage.trash.RestoreTask(trash_pb2.RestoreTaskRequest(id=task.id), metadata=stage.ada.metadata)
    return answer.task


async def purge(stage: Stage, task: Any) -> None:
    await stage.trash.DeleteTrashedTask(trash_pb2.DeleteTrashedTaskRequest(id=task.id), metadata=stage.ada.metadata)


async def read(stage: Stage, task: Any) -> Any:
    return (await stage.tasks.GetTask(tasks_pb2.GetTaskRequest(id=task.id), metadata=stage.ada.metadata)).task


async def listed(stage: Stage, **fields: Any) -> list[str]:
    seen: list[str] = []
    token = ""
    while True:
        answer = await stage.trash.ListTrash(
            trash_pb2.ListTrashRequest(page_token=token, **fields), metadata=stage.ada.metadata
        )
        seen += [each.task.id for each in answer.tasks]
        token = answer.next_page_token
        if not token:
            return seen


async def relate(stage: Stage, source: Any, task: Any) -> None:
    request = relations_pb2.CreateRelationRequest(
        id=source.id, type=relations_pb2.RELATION_TYPE_BLOCKS, task_id=task.id
    )
    await stage.relations.CreateRelation(request, metadata=stage.ada.metadata)


async def related(stage: Stage, task: Any) -> list[str]:
    answer = await stage.relations.ListRelations(
        relations_pb2.ListRelationsRequest(id=task.id), metadata=stage.ada.metadata
    )
    return [each.task_id for each in answer.relations]


async def differences(stage: Stage) -> int:
    database = await Database.connect(stage.database_url, size=2)
    try:
        return (await rebuild(database)).differences
    finally:
        await database.close()


async def test_a_deleted_task_is_listed_once_with_who_deleted_it_and_comes_back_whole(stage: Stage) -> None:
    whole, beside = await stage.create("whole"), await stage.create("beside")
    part = await stage.create("part", parent_id=whole.id)
    await relate(stage, part, beside)
    await stage.comments.CreateComment(
        comments_pb2.CreateCommentRequest(task_id=part.id, text="hello"), metadata=stage.ada.metadata
    )
    await delete(stage, whole)
    answer = await stage.trash.ListTrash(trash_pb2.ListTrashRequest(), metadata=stage.ada.metadata)
    (trashed,) = answer.tasks
    assert (trashed.task.id, trashed.deleted_by) == (whole.id, str(stage.ada.id))
    assert trashed.purge_at.seconds - trashed.deleted_at.seconds == 30 * 86400
    assert await related(stage, beside) == []
    assert await differences(stage) == 0

    restored = await restore(stage, whole)
    assert (restored.version, restored.subtasks.total) == (3, 1)
    assert restored == await read(stage, whole)
    assert (await read(stage, part)).parent_id == whole.id
    assert await related(stage, beside) == [part.id]
    comments = await stage.comments.ListComments(
        comments_pb2.ListCommentsRequest(task_id=part.id), metadata=stage.ada.metadata
    )
    assert [each.text for each in comments.comments] == ["hello"]
    assert await listed(stage) == []
    assert await differences(stage) == 0


async def test_the_trash_pages_the_last_deleted_first_in_one_workspace(stage: Stage) -> None:
    tasks = [await stage.create(str(number)) for number in range(5)]
    for task in tasks:
        await delete(stage, task)
    newest = [task.id for task in reversed(tasks)]
    assert await listed(stage, page_size=2) == newest
    assert await listed(stage, workspace_id=str(stage.ada.workspace_id)) == newest
    with pytest.raises(NotFound):
        await listed(stage, workspace_id=str(stage.grace.workspace_id))


async def test_a_task_whose_parent_is_gone_comes_back_at_the_top(stage: Stage) -> None:
    whole = await stage.create()
    part = await stage.create(parent_id=whole.id)
    await delete(stage, part)
    await delete(stage, whole)
    assert await listed(stage) == [whole.id, part.id]
    assert not (await restore(stage, part)).HasField("parent_id")
    assert (await restore(stage, whole)).subtasks.total == 0
    assert await differences(stage) == 0


async def test_what_went_with_its_parent_says_so(stage: Stage) -> None:
    whole = await stage.create()
    part = await stage.create(parent_id=whole.id)
    await delete(stage, whole)
    for call in (restore, purge):
        with pytest.raises(Conflict) as caught:
            await call(stage, part)
        assert caught.value.code == "DELETED_WITH_PARENT"


async def test_a_relation_comes_back_with_the_last_of_its_tasks_unless_it_closes_a_circle(stage: Stage) -> None:
    one, two, three = [await stage.create(name) for name in ("one", "two", "three")]
    await relate(stage, one, two)
    await relate(stage, two, three)
    await delete(stage, one)
    await delete(stage, two)
    await restore(stage, one)
    assert await related(stage, one) == []
    await relate(stage, three, one)
    await restore(stage, two)
    assert len(await related(stage, two)) == 1
    assert await differences(stage) == 0


async def test_a_purged_task_is_gone_for_good(stage: Stage) -> None:
    whole = await stage.create()
    await stage.create(parent_id=whole.id)
    await delete(stage, whole)
    await purge(stage, whole)
    assert await listed(stage) == []
    for call in (restore, purge):
        with pytest.raises(NotFound):
            await call(stage, whole)
    assert await differences(stage) == 0


async def test_others_cannot_restore_or_purge(stage: Stage) -> None:
    task = await stage.create()
    await delete(stage, task)
    calls = (
        lambda: stage.trash.RestoreTask(trash_pb2.RestoreTaskRequest(id=task.id), metadata=stage.grace.metadata),
        lambda: stage.trash.DeleteTrashedTask(
            trash_pb2.DeleteTrashedTaskRequest(id=task.id), metadata=stage.grace.metadata
        ),
    )
    for call in calls:
        with pytest.raises(NotFound):
            await call()


async def test_a_viewer_sees_the_trash_and_changes_nothing_in_it(stage: Stage) -> None:
    task = await stage.create(user=stage.grace)
    stage.auth.add_member(stage.grace.workspace_id, stage.ada.id, role="viewer")
    await stage.tasks.DeleteTask(tasks_pb2.DeleteTaskRequest(id=task.id), metadata=stage.grace.metadata)
    assert await listed(stage, workspace_id=str(stage.grace.workspace_id)) == [task.id]
    calls = (lambda: restore(stage, task), lambda: purge(stage, task))
    for call in calls:
        with pytest.raises(PermissionDenied):
            await call()


async def test_users_cannot_ask_for_the_purge_of_services(stage: Stage) -> None:
    with pytest.raises(PermissionDenied):
        await stage.trash.PurgeTrash(trash_pb2.PurgeTrashRequest(), metadata=stage.ada.metadata)


async def test_what_has_been_in_the_trash_too_long_is_purged_some_at_a_time(stage: Stage) -> None:
    whole, kept = await stage.create(), await stage.create()
    for number in range(3):
        await stage.create(str(number), parent_id=whole.id)
    await delete(stage, kept)
    await delete(stage, whole)
    assert (await stage.trash.PurgeTrash(trash_pb2.PurgeTrashRequest())).purged == 0
    connection = await asyncpg.connect(stage.database_url)
    await connection.execute("UPDATE trash SET deleted_at = now() - interval '31 days' WHERE root_id = $1", whole.id)
    await connection.close()
    assert (await stage.trash.PurgeTrash(trash_pb2.PurgeTrashRequest(limit=3))).purged == 3
    with pytest.raises(NotFound):
        await restore(stage, whole)
    both = await asyncio.gather(*(stage.trash.PurgeTrash(trash_pb2.PurgeTrashRequest()) for _ in range(2)))
    assert sorted(each.purged for each in both) == [0, 1]
    assert await listed(stage) == [kept.id]
    soon = trash_pb2.PurgeTrashRequest()
    soon.before.GetCurrentTime()
    with pytest.raises(InvalidArgument):
        await stage.trash.PurgeTrash(soon)


async def test_deletions_restorations_and_edits_at_once_take_turns(stage: Stage) -> None:
    whole = await stage.create()
    for number in range(3):
        await stage.create(str(number), parent_id=whole.id)
    edit = tasks_pb2.UpdateTaskRequest(id=whole.id, title="edited", update_mask=FieldMask(paths=["title"]))
    for _round in range(4):
        outcomes = await asyncio.gather(
            *(delete(stage, whole) for _ in range(3)),
            *(restore(stage, whole) for _ in range(3)),
            *(stage.tasks.UpdateTask(edit, metadata=stage.ada.metadata) for _ in range(2)),
            return_exceptions=True,
        )
        assert all(isinstance(each, NotFound) for each in outcomes if isinstance(each, BaseException))
        assert await differences(stage) == 0
    if await listed(stage):
        await restore(stage, whole)
    assert (await read(stage, whole)).subtasks.total == 3


async def test_two_deletions_at_once_make_one(stage: Stage) -> None:
    task = await stage.create()
    outcomes = await asyncio.gather(*(delete(stage, task) for _ in range(4)), return_exceptions=True)
    assert sorted(type(each).__name__ for each in outcomes) == ["NoneType", *["NotFound"] * 3]
    assert await listed(stage) == [task.id]


async def test_two_who_restore_at_once_both_see_it_restored(stage: Stage) -> None:
    whole = await stage.create()
    await stage.create(parent_id=whole.id)
    await delete(stage, whole)
    first, *others = await asyncio.gather(*(restore(stage, whole) for _ in range(4)))
    assert (first.version, first.subtasks.total) == (3, 1)
    assert others == [first] * 3
    assert await differences(stage) == 0


async def test_a_restoration_is_not_undone_but_what_comes_after_is(stage: Stage) -> None:
    task = await stage.create()
    await delete(stage, task)
    await restore(stage, task)
    undo = history_pb2.UndoTaskRequest(id=task.id)
    with pytest.raises(Conflict) as caught:
        await stage.history.UndoTask(undo, metadata=stage.ada.metadata)
    assert caught.value.code == "NOT_UNDOABLE"
    edit = tasks_pb2.UpdateTaskRequest(id=task.id, title="edited", update_mask=FieldMask(paths=["title"]))
    await stage.tasks.UpdateTask(edit, metadata=stage.ada.metadata)
    undone = (await stage.history.UndoTask(undo, metadata=stage.ada.metadata)).task
    assert (undone.title, undone.version) == (task.title, 5)


async def test_the_history_of_a_task_in_the_trash_is_read_by_those_who_see_the_trash(stage: Stage) -> None:
    whole = await stage.create()
    part = await stage.create(parent_id=whole.id)
    await delete(stage, whole)
    for task in (whole, part):
        request = history_pb2.ListTaskHistoryRequest(id=task.id)
        found = await stage.history.ListTaskHistory(request, metadata=stage.ada.metadata)
        assert [each.verb for each in found.entries] == ["deleted", "created"]
        with pytest.raises(NotFound):
            await stage.history.ListTaskHistory(request, metadata=stage.grace.metadata)
    await purge(stage, whole)
    with pytest.raises(NotFound):
        await stage.history.ListTaskHistory(request, metadata=stage.ada.metadata)


async def test_more_comments_and_relations_take_no_more_statements_to_restore(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    execute, fetch, execute_many = UnitOfWork.execute, UnitOfWork.fetch, UnitOfWork.execute_many

    async def counting_execute(self: UnitOfWork, statement: Any, **parameters: Any) -> int:
        asked.append(statement.sql)
        return await execute(self, statement, **parameters)

    async def counting_fetch(self: UnitOfWork, statement: Any, **parameters: Any) -> Any:
        asked.append(statement.sql)
        return await fetch(self, statement, **parameters)

    async def counting_execute_many(self: UnitOfWork, statement: Any, rows: Any) -> None:
        asked.append(statement.sql)
        await execute_many(self, statement, rows)

    counts = []
    for number in (2, 12):
        whole = await stage.create()
        parts = [await stage.create(parent_id=whole.id) for _ in range(number)]
        for one, other in itertools.pairwise(parts):
            await relate(stage, one, other)
        for part in parts:
            request = comments_pb2.CreateCommentRequest(task_id=part.id, text="hello")
            await stage.comments.CreateComment(request, metadata=stage.ada.metadata)
        await delete(stage, whole)
        asked.clear()
        with monkeypatch.context() as patch:
            patch.setattr(UnitOfWork, "execute", counting_execute)
            patch.setattr(UnitOfWork, "fetch", counting_fetch)
            patch.setattr(UnitOfWork, "execute_many", counting_execute_many)
            await restore(stage, whole)
        counts.append(len([each for each in asked if "published_at" not in each]))
    assert counts[0] == counts[1] < 25
    assert await related(stage, parts[0]) == [parts[1].id]
    assert await differences(stage) == 0
