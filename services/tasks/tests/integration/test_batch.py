"""Many changes in one call, through gRPC, on real servers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from rebuilding import require_rebuilt
from rota.tasks.v1 import batch_pb2, relations_pb2, tasks_pb2
from rota_chassis.errors import Conflict, InvalidArgument, NotFound, PermissionDenied, RotaError, Unprocessable

if TYPE_CHECKING:
    from conftest import Stage
    from rota_chassis.testing.services import User


def create(temp_id: str = "", **fields: Any) -> batch_pb2.BatchOperation:
    request = tasks_pb2.CreateTaskRequest(**{"title": "Pack", **fields})
    return batch_pb2.BatchOperation(temp_id=temp_id, create=request)


def complete(task_id: str, **fields: Any) -> batch_pb2.BatchOperation:
    return batch_pb2.BatchOperation(complete=tasks_pb2.CompleteTaskRequest(id=task_id, **fields))


def assign(task_id: str, user: User) -> batch_pb2.BatchOperation:
    return batch_pb2.BatchOperation(assign=tasks_pb2.AssignTaskRequest(id=task_id, assignee_id=str(user.id)))


def delete(task_id: str) -> batch_pb2.BatchOperation:
    return batch_pb2.BatchOperation(delete=tasks_pb2.DeleteTaskRequest(id=task_id))


def update(task_id: str, **fields: Any) -> batch_pb2.BatchOperation:
    return batch_pb2.BatchOperation(update=tasks_pb2.UpdateTaskRequest(id=task_id, **fields))


def relate(task_id: str, other: str) -> batch_pb2.BatchOperation:
    request = relations_pb2.CreateRelationRequest(id=task_id, task_id=other, type=relations_pb2.RELATION_TYPE_BLOCKS)
    return batch_pb2.BatchOperation(relate=request)


async def run(
    stage: Stage, *operations: batch_pb2.BatchOperation, user: User | None = None, **fields: Any
) -> list[batch_pb2.BatchResult]:
    request = batch_pb2.BatchTasksRequest(operations=operations, **fields)
    return list((await stage.batches.BatchTasks(request, metadata=(user or stage.ada).metadata)).results)


async def titles(stage: Stage) -> set[str]:
    answer = await stage.tasks.ListTasks(tasks_pb2.ListTasksRequest(), metadata=stage.ada.metadata)
    return {task.title for task in answer.tasks}


async def test_every_kind_of_operation_does_what_it_does_alone(stage: Stage) -> None:
    stage.auth.add_member(stage.ada.workspace_id, stage.grace.id)
    tasks = [await stage.create(f"task {number}", description="kept", category="kept") for number in range(6)]
    await stage.tasks.CompleteTask(tasks_pb2.CompleteTaskRequest(id=tasks[2].id), metadata=stage.ada.metadata)
    await stage.tasks.AssignTask(assign(tasks[4].id, stage.grace).assign, metadata=stage.ada.metadata)
    results = await run(
        stage,
        create(),
        update(tasks[0].id, title="changed"),
        update(tasks[0].id, description="ignored", update_mask=FieldMask(paths=["category"])),
        complete(tasks[1].id),
        batch_pb2.BatchOperation(reopen=tasks_pb2.ReopenTaskRequest(id=tasks[2].id)),
        assign(tasks[3].id, stage.grace),
        batch_pb2.BatchOperation(
            unassign=tasks_pb2.UnassignTaskRequest(id=tasks[4].id, assignee_id=str(stage.grace.id))
        ),
        relate(tasks[0].id, tasks[1].id),
        delete(tasks[5].id),
    )
    assert [each.problem.code for each in results] == [""] * 9
    assert (results[1].task.title, results[1].task.description) == ("changed", "kept")
    assert (results[2].task.title, results[2].task.description, results[2].task.category) == ("changed", "kept", "")
    assert results[3].task.status == tasks_pb2.TASK_STATUS_DONE
    assert results[4].task.status == tasks_pb2.TASK_STATUS_TODO
    assert list(results[5].task.assignee_ids) == [str(stage.grace.id)]
    assert list(results[6].task.assignee_ids) == []
    assert results[7].relation.task_id == tasks[1].id
    assert results[8] == batch_pb2.BatchResult()
    assert await titles(stage) == {"Pack", "changed", "task 1", "task 2", "task 3", "task 4"}


@pytest.mark.parametrize("atomic", [True, False])
async def test_one_call_makes_a_tree_by_temporary_ids_and_it_rebuilds(stage: Stage, atomic: bool) -> None:  # noqa: FBT001 (a parameter of the test)
    results = await run(
        stage,
        create("house", title="Move house"),
        create("pack", title="Pack", parent_id="house"),
        create("books", title="Books", parent_id="pack"),
        relate("pack", "house"),
        complete("books"),
        update("books", parent_id="house"),
        atomic=atomic,
    )
    assert [each.problem.code for each in results] == [""] * 6
    house, pack, books = (results[index].task for index in range(3))
    assert (pack.parent_id, books.parent_id, results[5].task.parent_id) == (house.id, pack.id, house.id)
    read = (await stage.tasks.GetTask(tasks_pb2.GetTaskRequest(id=house.id), metadata=stage.ada.metadata)).task
    assert (read.subtasks.open, read.subtasks.total) == (1, 2)
    await require_rebuilt(stage.database_url)


async def test_when_atomic_one_failure_undoes_all_and_is_pointed_at(stage: Stage) -> None:
    task = await stage.create("stays")
    with pytest.raises(NotFound) as caught:
        await run(stage, create(), delete(task.id), complete(str(uuid4())), create(), atomic=True)
    assert caught.value.code == "TASK_NOT_FOUND"
    assert [violation.field for violation in caught.value.violations] == ["operations[2]"]
    with pytest.raises(InvalidArgument) as wrong:
        await run(stage, create(), create(title="", due_on="2026-02-30"), atomic=True)
    assert [violation.field for violation in wrong.value.violations] == ["operations[1].title"]
    assert await titles(stage) == {"stays"}
    connection = await asyncpg.connect(stage.database_url)
    assert await connection.fetchval("SELECT count(*) FROM events") == 1
    await connection.close()


async def test_when_not_atomic_each_operation_has_its_own_result(stage: Stage) -> None:
    foreign = await stage.create(user=stage.grace)
    task = await stage.create("mine")
    results = await run(
        stage,
        create("t1", title=""),
        create("t2", title="made"),
        create(parent_id="t1"),
        complete(foreign.id),
        assign("t2", stage.grace),
        complete(task.id, if_match='"v9"'),
        create("t2"),
        create(workspace_id=str(uuid4())),
        create(request_id="mine"),
        complete("t2"),
    )
    assert [(each.problem.status, each.problem.code) for each in results] == [
        (400, "INVALID_FIELDS"),
        (0, ""),
        (400, "INVALID_FIELDS"),
        (404, "TASK_NOT_FOUND"),
        (409, "ASSIGNEE_NOT_A_MEMBER"),
        (412, "ETAG_MISMATCH"),
        (400, "INVALID_FIELDS"),
        (400, "INVALID_FIELDS"),
        (400, "INVALID_FIELDS"),
        (0, ""),
    ]
    assert [each.problem.errors[0].field for each in results if each.problem.errors] == [
        "title",
        "parent_id",
        "assignee_id",
        "temp_id",
        "workspace_id",
        "request_id",
    ]
    assert await titles(stage) == {"made", "mine"}


@pytest.mark.parametrize("atomic", [True, False])
async def test_a_repeated_call_gets_the_first_answer_even_at_once(stage: Stage, atomic: bool) -> None:  # noqa: FBT001 (a parameter of the test)
    operations = [create("a"), create(parent_id="a"), complete("a")]
    answers = await asyncio.gather(*(run(stage, *operations, atomic=atomic, request_id="key") for _ in range(5)))
    assert all(answer == answers[0] for answer in answers)
    connection = await asyncpg.connect(stage.database_url)
    assert await connection.fetchval("SELECT count(*) FROM tasks") == 2
    await connection.close()
    with pytest.raises(Unprocessable) as caught:
        await run(stage, create(title="other"), atomic=atomic, request_id="key")
    assert caught.value.code == "REQUEST_ID_REUSED"


async def test_a_viewer_does_nothing(stage: Stage) -> None:
    stage.auth.add_member(stage.ada.workspace_id, stage.grace.id, role="viewer")
    with pytest.raises(PermissionDenied) as caught:
        await run(stage, create(), user=stage.grace, workspace_id=str(stage.ada.workspace_id))
    assert caught.value.code == "WORKSPACE_ROLE_REQUIRED"


async def test_another_users_workspace_does_not_exist(stage: Stage) -> None:
    with pytest.raises(NotFound) as caught:
        await run(stage, create(), user=stage.grace, workspace_id=str(stage.ada.workspace_id))
    assert caught.value.code == "WORKSPACE_NOT_FOUND"
    assert await titles(stage) == set()


@pytest.mark.parametrize("count", [0, 501])
async def test_too_few_or_too_many_operations_are_refused(stage: Stage, count: int) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await run(stage, *[create()] * count)
    assert [violation.field for violation in caught.value.violations] == ["operations"]


async def test_calls_that_change_the_same_tasks_in_opposite_orders_both_succeed(stage: Stage) -> None:
    tasks = [await stage.create(f"task {number}") for number in range(10)]
    there = [update(task.id, category="there") for task in tasks]
    back = [update(task.id, description="back") for task in reversed(tasks)]
    answers = await asyncio.gather(*(run(stage, *operations, atomic=True) for operations in (there, back) * 3))
    assert all(each.HasField("task") for answer in answers for each in answer)
    answer = await stage.tasks.ListTasks(tasks_pb2.ListTasksRequest(), metadata=stage.ada.metadata)
    assert {(task.category, task.description) for task in answer.tasks} == {("there", "back")}


async def test_relations_in_one_call_close_no_circle(stage: Stage) -> None:
    with pytest.raises(Conflict) as caught:
        await run(stage, create("a"), create("b"), relate("a", "b"), relate("b", "a"), atomic=True)
    assert caught.value.code == "RELATION_CYCLE"


@pytest.mark.parametrize("atomic", [True, False])
async def test_five_hundred_at_once_are_made_in_order(stage: Stage, atomic: bool) -> None:  # noqa: FBT001 (a parameter of the test)
    results = await run(stage, *(create(title=f"task {number}") for number in range(500)), atomic=atomic)
    assert [each.task.title for each in results] == [f"task {number}" for number in range(500)]
    assert [each.task.id for each in results] == sorted(each.task.id for each in results)


async def test_a_task_of_another_workspace_is_not_there(stage: Stage) -> None:
    stage.auth.add_member(stage.ada.workspace_id, stage.grace.id)
    foreign = await stage.create(user=stage.grace)
    with pytest.raises(RotaError) as caught:
        await run(stage, complete(foreign.id), user=stage.grace, workspace_id=str(stage.ada.workspace_id), atomic=True)
    assert caught.value.code == "TASK_NOT_FOUND"
