"""Undoing what one call did to many tasks, through gRPC, on real servers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from rota.tasks.v1 import batch_pb2, labels_pb2, projects_pb2, relations_pb2, tasks_pb2, trash_pb2
from rota_chassis.errors import InvalidArgument, NotFound, PermissionDenied
from rota_chassis.postgres.database import Database
from rota_tasks.rebuild import rebuild

if TYPE_CHECKING:
    from conftest import Stage
    from rota_chassis.testing.services import User


def create(temp_id: str = "", **fields: Any) -> batch_pb2.BatchOperation:
    return batch_pb2.BatchOperation(temp_id=temp_id, create=tasks_pb2.CreateTaskRequest(**{"title": "Pack", **fields}))


def update(task_id: str, **fields: Any) -> batch_pb2.BatchOperation:
    return batch_pb2.BatchOperation(update=tasks_pb2.UpdateTaskRequest(id=task_id, **fields))


def complete(task_id: str) -> batch_pb2.BatchOperation:
    return batch_pb2.BatchOperation(complete=tasks_pb2.CompleteTaskRequest(id=task_id))


def assign(task_id: str, user: User) -> batch_pb2.BatchOperation:
    return batch_pb2.BatchOperation(assign=tasks_pb2.AssignTaskRequest(id=task_id, assignee_id=str(user.id)))


def delete(task_id: str) -> batch_pb2.BatchOperation:
    return batch_pb2.BatchOperation(delete=tasks_pb2.DeleteTaskRequest(id=task_id))


def relate(task_id: str, other: str) -> batch_pb2.BatchOperation:
    request = relations_pb2.CreateRelationRequest(id=task_id, task_id=other, type=relations_pb2.RELATION_TYPE_BLOCKS)
    return batch_pb2.BatchOperation(relate=request)


async def run(stage: Stage, *operations: batch_pb2.BatchOperation, **fields: Any) -> batch_pb2.BatchTasksResponse:
    request = batch_pb2.BatchTasksRequest(operations=operations, **fields)
    return await stage.batches.BatchTasks(request, metadata=stage.ada.metadata)


async def undo(stage: Stage, batch_id: str, *, user: User | None = None) -> batch_pb2.UndoBatchResponse:
    request = batch_pb2.UndoBatchRequest(id=batch_id)
    return await stage.batches.UndoBatch(request, metadata=(user or stage.ada).metadata)


async def living(stage: Stage) -> dict[str, tasks_pb2.Task]:
    answer = await stage.tasks.ListTasks(tasks_pb2.ListTasksRequest(), metadata=stage.ada.metadata)
    return {task.id: task for task in answer.tasks}


def own(task: tasks_pb2.Task) -> tasks_pb2.Task:
    """What a task is, besides the marks of its changes."""
    same = tasks_pb2.Task()
    same.CopyFrom(task)
    for name in ("version", "etag", "updated_at"):
        same.ClearField(name)
    return same


async def differences(stage: Stage) -> int:
    database = await Database.connect(stage.database_url, size=1)
    try:
        return (await rebuild(database)).differences
    finally:
        await database.close()


async def rename(stage: Stage, task_id: str, title: str) -> None:
    request = tasks_pb2.UpdateTaskRequest(id=task_id, title=title, update_mask=FieldMask(paths=["title"]))
    await stage.tasks.UpdateTask(request, metadata=stage.ada.metadata)


async def test_undoing_a_call_takes_all_of_it_back_and_undoing_that_makes_it_again(stage: Stage) -> None:
    stage.auth.add_member(stage.ada.workspace_id, stage.grace.id)
    project = (
        await stage.projects.CreateProject(projects_pb2.CreateProjectRequest(name="Home"), metadata=stage.ada.metadata)
    ).project
    label = (
        await stage.labels.CreateLabel(labels_pb2.CreateLabelRequest(name="garden"), metadata=stage.ada.metadata)
    ).label
    tasks = [await stage.create(f"task {number}") for number in range(6)]
    part = await stage.create("part", parent_id=tasks[4].id)
    before = await living(stage)
    answer = await run(
        stage,
        update(tasks[0].id, title="changed", project_id=project.id, label_ids=[label.id]),
        update(tasks[0].id, description="twice"),
        complete(tasks[1].id),
        assign(tasks[2].id, stage.grace),
        create("house", title="Move house"),
        create("boxes", title="Boxes", parent_id="house"),
        update(tasks[3].id, parent_id="boxes"),
        update("house", title="Move"),
        update(part.id, title="goes along"),
        delete(tasks[4].id),
        update(tasks[5].id, title="goes"),
        delete(tasks[5].id),
        relate(tasks[0].id, tasks[1].id),
    )
    assert [each.problem.code for each in answer.results] == [""] * 13
    after = await living(stage)
    undone = await undo(stage, answer.batch_id)
    assert [each.problem.code for each in undone.results] == [""] * len(undone.results)
    made = {answer.results[4].task.id, answer.results[5].task.id}
    assert {each.task_id for each in undone.results} == {task.id for task in [*tasks, part]} | made
    assert {each.task_id for each in undone.results if not each.HasField("task")} == made
    assert {key: own(each) for key, each in (await living(stage)).items()} == {
        key: own(each) for key, each in before.items()
    }
    redone = await undo(stage, undone.batch_id)
    assert [each.problem.code for each in redone.results] == [""] * len(redone.results)
    again = await living(stage)
    assert again.keys() == after.keys()
    for key, task in again.items():
        expected = own(after[key])
        # The relation ended with the call that was undone.
        expected.ClearField("is_blocked")
        expected.ClearField("blocked_by")
        shown = own(task)
        shown.ClearField("is_blocked")
        shown.ClearField("blocked_by")
        if task.HasField("completed_at"):
            assert shown.status == expected.status
        assert (shown.title, shown.parent_id, shown.project_id) == (
            expected.title,
            expected.parent_id,
            expected.project_id,
        )
        assert (list(shown.assignee_ids), list(shown.label_ids)) == (
            list(expected.assignee_ids),
            list(expected.label_ids),
        )
    assert await differences(stage) == 0


async def test_what_was_changed_since_is_left_and_named(stage: Stage) -> None:
    tasks = [await stage.create(f"task {number}") for number in range(4)]
    answer = await run(stage, *(update(task.id, title="changed") for task in tasks[:3]), delete(tasks[3].id), create())
    await rename(stage, tasks[1].id, "since")
    await stage.tasks.DeleteTask(tasks_pb2.DeleteTaskRequest(id=tasks[2].id), metadata=stage.ada.metadata)
    await stage.trash.DeleteTrashedTask(trash_pb2.DeleteTrashedTaskRequest(id=tasks[3].id), metadata=stage.ada.metadata)
    made = answer.results[4].task
    await stage.create("part", parent_id=made.id)
    results = {each.task_id: each for each in (await undo(stage, answer.batch_id)).results}
    assert {key: each.problem.code for key, each in results.items()} == {
        tasks[0].id: "",
        tasks[1].id: "CHANGED_SINCE",
        tasks[2].id: "CHANGED_SINCE",
        tasks[3].id: "TASK_NOT_FOUND",
        made.id: "CHANGED_SINCE",
    }
    assert results[tasks[1].id].problem.status == 409
    titles = {task.title for task in (await living(stage)).values()}
    assert titles == {"task 0", "since", "Pack", "part"}
    assert await differences(stage) == 0


async def test_undoing_at_once_or_again_undoes_once(stage: Stage) -> None:
    tasks = [await stage.create(f"task {number}") for number in range(5)]
    answer = await run(stage, *(update(task.id, title="changed") for task in tasks))
    outcomes = await asyncio.gather(*(undo(stage, answer.batch_id) for _ in range(3)))
    assert sum(not each.problem.code for outcome in outcomes for each in outcome.results) == 5
    assert {task.version for task in (await living(stage)).values()} == {3}
    again = await undo(stage, answer.batch_id)
    assert {each.problem.code for each in again.results} == {"CHANGED_SINCE"}
    assert again.batch_id == ""


async def test_a_repeated_call_names_what_the_first_did_and_one_that_did_nothing_names_nothing(stage: Stage) -> None:
    first = await run(stage, create(), request_id="key")
    assert first.batch_id
    assert await run(stage, create(), request_id="key") == first
    assert (await run(stage, complete(str(uuid4())))).batch_id == ""


async def test_a_member_who_left_is_not_assigned_again(stage: Stage) -> None:
    stage.auth.add_member(stage.ada.workspace_id, stage.grace.id)
    kept, cleared = await stage.create(), await stage.create(assignee_ids=[str(stage.grace.id)])
    unassign = tasks_pb2.UnassignTaskRequest(id=cleared.id, assignee_id=str(stage.grace.id))
    answer = await run(stage, update(kept.id, title="changed"), batch_pb2.BatchOperation(unassign=unassign))
    connection = await asyncpg.connect(stage.database_url)
    await connection.execute("UPDATE memberships SET removed = true, version = 100 WHERE user_id = $1", stage.grace.id)
    await connection.close()
    results = {each.task_id: each.problem.code for each in (await undo(stage, answer.batch_id)).results}
    assert results == {kept.id: "", cleared.id: "ASSIGNEE_NOT_A_MEMBER"}


async def test_only_who_made_the_call_undoes_it_and_no_viewer(stage: Stage) -> None:
    stage.auth.add_member(stage.ada.workspace_id, stage.grace.id)
    answer = await run(stage, create())
    for batch_id, user in ((answer.batch_id, stage.grace), (str(uuid4()), stage.ada)):
        with pytest.raises(NotFound) as caught:
            await undo(stage, batch_id, user=user)
        assert caught.value.code == "BATCH_NOT_FOUND"
    with pytest.raises(InvalidArgument):
        await undo(stage, "nothing")
    connection = await asyncpg.connect(stage.database_url)
    await connection.execute("UPDATE memberships SET role = 'viewer' WHERE user_id = $1", stage.ada.id)
    await connection.close()
    with pytest.raises(PermissionDenied) as refused:
        await undo(stage, answer.batch_id)
    assert refused.value.code == "WORKSPACE_ROLE_REQUIRED"
