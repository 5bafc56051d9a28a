"""The history of tasks and undoing, through gRPC, on real servers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from rota.tasks.v1 import comments_pb2, history_pb2, relations_pb2, tasks_pb2, trash_pb2
from rota_chassis.errors import Conflict, NotFound, PermissionDenied, PreconditionFailed, RotaError

if TYPE_CHECKING:
    from conftest import Stage
    from rota_chassis.testing.services import User


async def history(stage: Stage, task: Any, *, size: int = 50, user: User | None = None) -> list[Any]:
    seen: list[Any] = []
    token = ""
    while True:
        answer = await stage.history.ListTaskHistory(
            history_pb2.ListTaskHistoryRequest(id=task.id, page_size=size, page_token=token),
            metadata=(user or stage.ada).metadata,
        )
        seen += answer.entries
        token = answer.next_page_token
        if not token:
            return seen


async def rename(stage: Stage, task: Any, title: str) -> Any:
    request = tasks_pb2.UpdateTaskRequest(id=task.id, title=title, update_mask=FieldMask(paths=["title"]))
    return (await stage.tasks.UpdateTask(request, metadata=stage.ada.metadata)).task


async def complete(stage: Stage, task: Any) -> Any:
    request = tasks_pb2.CompleteTaskRequest(id=task.id)
    return (await stage.tasks.CompleteTask(request, metadata=stage.ada.metadata)).task


async def undo(
    stage: Stage, task: Any, *, user: User | None = None, if_match: str = "", version: int | None = None
) -> Any:
    request = history_pb2.UndoTaskRequest(id=task.id, if_match=if_match, version=version)
    return (await stage.history.UndoTask(request, metadata=(user or stage.ada).metadata)).task


async def as_of(stage: Stage, task: Any, time: Timestamp, *, user: User | None = None) -> Any:
    request = tasks_pb2.GetTaskRequest(id=task.id, as_of=time)
    return (await stage.tasks.GetTask(request, metadata=(user or stage.ada).metadata)).task


def just_before(time: Timestamp) -> Timestamp:
    earlier = Timestamp()
    earlier.FromNanoseconds(time.ToNanoseconds() - 1000)
    return earlier


async def test_a_history_tells_of_the_task_its_comments_and_relations_newest_first(stage: Stage) -> None:
    task, other = await stage.create("old"), await stage.create("other")
    await rename(stage, task, "new")
    await stage.comments.CreateComment(
        comments_pb2.CreateCommentRequest(task_id=task.id, text="hello"), metadata=stage.ada.metadata
    )
    for source, target in ((task, other), (other, task)):
        request = relations_pb2.CreateRelationRequest(
            id=source.id,
            type=relations_pb2.RELATION_TYPE_BLOCKS if source is task else relations_pb2.RELATION_TYPE_RELATES,
            task_id=target.id,
        )
        await stage.relations.CreateRelation(request, metadata=stage.ada.metadata)
    await complete(stage, task)
    told = await history(stage, task, size=2)
    verbs = ["completed", "relation_added", "relation_added", "commented", "updated", "created"]
    assert [each.verb for each in told] == verbs
    assert {each.actor for each in told} == {f"user:{stage.ada.id}"}
    (change,) = told[4].changes
    assert (change.field, change.old.string_value, change.new.string_value) == ("title", "old", "new")
    assert [each.field for each in told[0].changes] == ["completed_at", "completed_by", "status"]
    assert [each.verb for each in await history(stage, other)] == ["relation_added", "relation_added", "created"]


async def test_a_history_is_for_those_who_see_the_task(stage: Stage) -> None:
    task = await stage.create()
    with pytest.raises(NotFound):
        await history(stage, task, user=stage.grace)
    with pytest.raises(RotaError) as caught:
        await stage.history.ListTaskHistory(
            history_pb2.ListTaskHistoryRequest(id=task.id, page_token="x"), metadata=stage.ada.metadata
        )
    assert caught.value.code == "INVALID_PAGE_TOKEN"


async def test_a_task_is_shown_as_it_was(stage: Stage) -> None:
    task = await stage.create("first")
    second = await rename(stage, task, "second")
    assert (await as_of(stage, task, just_before(second.updated_at))).title == "first"
    assert (await as_of(stage, task, second.updated_at)).title == "second"
    with pytest.raises(NotFound, match="at that time"):
        await as_of(stage, task, just_before(task.created_at))
    with pytest.raises(NotFound):
        await as_of(stage, task, second.updated_at, user=stage.grace)
    await stage.tasks.DeleteTask(tasks_pb2.DeleteTaskRequest(id=task.id), metadata=stage.ada.metadata)
    assert (await as_of(stage, task, second.updated_at)).title == "second"
    now = Timestamp()
    now.GetCurrentTime()
    with pytest.raises(NotFound):
        await as_of(stage, task, now)
    await stage.trash.DeleteTrashedTask(trash_pb2.DeleteTrashedTaskRequest(id=task.id), metadata=stage.ada.metadata)
    with pytest.raises(NotFound):
        await as_of(stage, task, second.updated_at)


async def test_undoing_gives_the_old_values_back_and_twice_makes_the_change_again(stage: Stage) -> None:
    task = await stage.create("old")
    await rename(stage, task, "new")
    assert (await undo(stage, task)).title == "old"
    undone = await undo(stage, task)
    assert (undone.title, undone.version) == ("new", 4)


async def test_undoing_steps_back_over_several_changes_and_forth_again(stage: Stage) -> None:
    task = await stage.create("first")
    await rename(stage, task, "second")
    await complete(stage, task)
    await rename(stage, task, "third")
    back = await undo(stage, task, version=2)
    assert (back.title, back.HasField("completed_at"), back.version) == ("second", False, 5)
    back = await undo(stage, task, version=1)
    assert (back.title, back.version) == ("first", 6)
    forth = await undo(stage, task, version=4)
    assert (forth.title, forth.HasField("completed_at"), forth.version) == ("third", True, 7)
    for version in (7, 99):
        with pytest.raises(Conflict) as caught:
            await undo(stage, task, version=version)
        assert (caught.value.code, "Nothing has happened" in caught.value.detail) == ("NOT_UNDOABLE", True)


async def test_undoing_does_not_step_over_the_change_of_another(stage: Stage) -> None:
    task = await stage.create("first")
    stage.auth.add_member(stage.ada.workspace_id, stage.grace.id)
    request = tasks_pb2.UpdateTaskRequest(id=task.id, title="hers", update_mask=FieldMask(paths=["title"]))
    await stage.tasks.UpdateTask(request, metadata=stage.grace.metadata)
    await rename(stage, task, "third")
    with pytest.raises(Conflict) as caught:
        await undo(stage, task, version=1)
    assert caught.value.code == "CHANGED_BY_ANOTHER"
    assert (await undo(stage, task)).title == "hers"


async def test_undoing_a_completion_and_a_reopening_keeps_when_it_was_completed(stage: Stage) -> None:
    task = await stage.create()
    done = await complete(stage, task)
    assert not (await undo(stage, task)).HasField("completed_at")
    again = await undo(stage, task)
    assert (again.status, again.completed_at) == (done.status, done.completed_at)
    assert [each.verb for each in await history(stage, task)] == ["completed", "reopened", "completed", "created"]


async def test_undoing_an_assignment_takes_the_assignee_off(stage: Stage) -> None:
    task = await stage.create()
    request = tasks_pb2.AssignTaskRequest(id=task.id, assignee_id=str(stage.ada.id))
    await stage.tasks.AssignTask(request, metadata=stage.ada.metadata)
    assert list((await undo(stage, task)).assignee_ids) == []


async def test_undoing_a_deletion_restores(stage: Stage) -> None:
    task = await stage.create()
    await stage.tasks.DeleteTask(tasks_pb2.DeleteTaskRequest(id=task.id), metadata=stage.ada.metadata)
    assert (await undo(stage, task)).version == 3
    with pytest.raises(Conflict) as caught:
        await undo(stage, task)
    assert caught.value.code == "NOT_UNDOABLE"


async def test_a_creation_and_the_change_of_another_cannot_be_undone(stage: Stage) -> None:
    task = await stage.create()
    with pytest.raises(Conflict) as caught:
        await undo(stage, task)
    assert caught.value.code == "NOT_UNDOABLE"
    await rename(stage, task, "new")
    stage.auth.add_member(stage.ada.workspace_id, stage.grace.id, version=5)
    with pytest.raises(Conflict) as caught:
        await undo(stage, task, user=stage.grace)
    assert caught.value.code == "CHANGED_BY_ANOTHER"
    with pytest.raises(PreconditionFailed):
        await undo(stage, task, if_match='"v1"')


async def test_who_does_not_see_a_task_cannot_undo_its_changes(stage: Stage) -> None:
    hidden = await stage.create()
    with pytest.raises(NotFound):
        await undo(stage, hidden, user=stage.grace)


async def test_a_viewer_may_not_undo(stage: Stage) -> None:
    seen = await stage.create(user=stage.grace)
    stage.auth.add_member(stage.grace.workspace_id, stage.ada.id, role="viewer")
    with pytest.raises(PermissionDenied):
        await undo(stage, seen)


async def test_undoing_at_once_undoes_in_turns(stage: Stage) -> None:
    task = await stage.create("old")
    await rename(stage, task, "new")
    outcomes = await asyncio.gather(*(undo(stage, task) for _ in range(4)), return_exceptions=True)
    assert {type(each) for each in outcomes} <= {tasks_pb2.Task, Conflict}
    done = sum(isinstance(each, tasks_pb2.Task) for each in outcomes)
    shown = (await stage.tasks.GetTask(tasks_pb2.GetTaskRequest(id=task.id), metadata=stage.ada.metadata)).task
    assert (shown.version, shown.title) == (2 + done, "old" if done % 2 else "new")
