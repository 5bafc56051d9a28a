"""Many tasks begin to recur in one call, and the scheduler is asked once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from rebuilding import require_rebuilt
from rota.tasks.v1 import batch_pb2, recurrence_pb2, series_pb2, tasks_pb2
from rota_chassis.errors import InvalidArgument, PermissionDenied, Unavailable
from rota_chassis.testing.waiting import eventually

if TYPE_CHECKING:
    from conftest import Stage
    from rota_chassis.testing.services import User


def rule(**fields: Any) -> recurrence_pb2.Recurrence:
    return recurrence_pb2.Recurrence(**{"rrule": "FREQ=DAILY", "time_zone": "UTC"} | fields)


def create(temp_id: str = "", **fields: Any) -> batch_pb2.BatchOperation:
    return batch_pb2.BatchOperation(
        temp_id=temp_id, create=tasks_pb2.CreateTaskRequest(**{"title": "Water the plants"} | fields)
    )


def update(task_id: str, **fields: Any) -> batch_pb2.BatchOperation:
    return batch_pb2.BatchOperation(update=tasks_pb2.UpdateTaskRequest(id=task_id, **fields))


async def run(
    stage: Stage, *operations: batch_pb2.BatchOperation, user: User | None = None, **fields: Any
) -> list[batch_pb2.BatchResult]:
    request = batch_pb2.BatchTasksRequest(operations=operations, **fields)
    return list((await stage.batches.BatchTasks(request, metadata=(user or stage.ada).metadata)).results)


async def names(stage: Stage, task: Any) -> list[str]:
    request = series_pb2.ListOccurrencesRequest(id=task.id, preview=0)
    answer = await stage.series.ListOccurrences(request, metadata=stage.ada.metadata)
    return [each.occurrence for each in answer.occurrences]


async def is_made(stage: Stage, task: Any, occurrence: str) -> bool:
    return occurrence in await names(stage, task)


async def series(stage: Stage) -> list[Any]:
    connection = await asyncpg.connect(stage.database_url)
    found = await connection.fetch("SELECT id, version, data ->> 'ended_at' AS ended_at FROM task_series")
    await connection.close()
    return list(found)


async def test_what_begins_to_recur_in_a_batch_is_as_when_it_begins_alone(stage: Stage) -> None:
    there = await stage.create(due_on="2026-01-05")
    results = await run(
        stage,
        create(due_on="2026-01-01", recurrence=rule()),
        create(recurrence=rule(rrule=None, cron="0 9 * * *")),
        create("later"),
        update("later", due_on="2026-01-07"),
        update("later", recurrence=rule(rrule="FREQ=WEEKLY")),
        update(there.id, recurrence=rule(rrule="FREQ=WEEKLY;BYDAY=MO")),
    )
    assert [each.HasField("problem") for each in results] == [False] * 6
    tasks = [results[index].task for index in (0, 1, 4, 5)]
    assert [each.occurrence for each in tasks] == [
        "2026-01-01",
        "2026-01-02T09:00:00Z",
        "2026-01-07",
        "2026-01-05",
    ]
    assert tasks[1].due_at.ToJsonString() == "2026-01-02T09:00:00Z"
    assert len(await series(stage)) == 4
    await stage.tasks.CompleteTask(tasks_pb2.CompleteTaskRequest(id=tasks[0].id), metadata=stage.ada.metadata)
    assert await eventually(lambda: is_made(stage, tasks[0], "2026-01-02"))


async def test_a_rule_that_is_refused_fails_its_operation_alone_or_all(stage: Stage) -> None:
    good, bad = create(recurrence=rule()), create(recurrence=rule(rrule="FREQ=NEVER"))
    results = await run(stage, good, bad, create(recurrence=rule(rrule="FREQ=SECONDLY")))
    assert [each.problem.code for each in results] == ["", "INVALID_RRULE", "RECURRENCE_TOO_FREQUENT"]
    assert results[1].problem.errors[0].field == "recurrence.rrule"
    with pytest.raises(InvalidArgument) as refused:
        await run(stage, good, bad, atomic=True)
    assert [each.field for each in refused.value.violations] == ["operations[1].recurrence.rrule"]
    assert len(await series(stage)) == 1


async def test_a_new_rule_ends_the_series_before_and_the_same_one_changes_nothing(stage: Stage) -> None:
    task = await stage.create(due_on="2026-01-01", recurrence=rule())
    (same,) = await run(stage, update(task.id, recurrence=rule(), title="Water all"))
    assert (same.task.series_id, same.task.title) == (task.series_id, "Water all")
    (weekly,) = await run(stage, update(task.id, recurrence=rule(rrule="FREQ=WEEKLY")))
    assert weekly.task.series_id != task.series_id
    assert sorted(each["ended_at"] is None for each in await series(stage)) == [False, True]
    mask = FieldMask(paths=["recurrence"])
    (alone,) = await run(stage, update(task.id, update_mask=mask))
    assert not alone.task.HasField("recurrence")
    assert [each["ended_at"] is None for each in await series(stage)] == [False, False]


async def test_a_task_begins_to_recur_once_in_a_call_and_not_within_one_that_recurs(stage: Stage) -> None:
    results = await run(
        stage,
        create("whole", recurrence=rule()),
        update("whole", recurrence=rule(rrule="FREQ=WEEKLY")),
        create(parent_id="whole", recurrence=rule()),
    )
    assert [each.problem.code for each in results] == ["", "INVALID_FIELDS", "RECURRENCE_NESTED"]
    assert [each.field for each in results[1].problem.errors] == ["recurrence"]


async def test_of_tasks_that_one_does_not_see_nothing_begins(stage: Stage) -> None:
    task = await stage.create()
    (unseen,) = await run(stage, update(task.id, recurrence=rule()), user=stage.grace)
    (nothing,) = await run(stage, update(str(uuid4()), recurrence=rule()))
    assert [unseen.problem.code, nothing.problem.code] == ["TASK_NOT_FOUND"] * 2
    assert await series(stage) == []


async def test_viewers_begin_no_series(stage: Stage) -> None:
    stage.auth.add_member(stage.ada.workspace_id, stage.grace.id, role="viewer", version=9)
    with pytest.raises(PermissionDenied):
        await run(stage, create(recurrence=rule()), user=stage.grace, workspace_id=str(stage.ada.workspace_id))
    assert await series(stage) == []


async def test_repeated_and_at_once_it_is_done_once(stage: Stage) -> None:
    request = batch_pb2.BatchTasksRequest(operations=[create(recurrence=rule())] * 3, request_id="once")
    answers = await asyncio.gather(*(stage.batches.BatchTasks(request, metadata=stage.ada.metadata) for _ in range(4)))
    assert len({answer.SerializeToString(deterministic=True) for answer in answers}) == 1
    assert len(await series(stage)) == 3


async def test_two_that_give_one_task_another_rule_at_once_leave_one_series(stage: Stage) -> None:
    task = await stage.create(due_on="2026-01-01", recurrence=rule())
    await asyncio.gather(
        *(run(stage, update(task.id, recurrence=rule(rrule=f"FREQ=DAILY;INTERVAL={days}"))) for days in (2, 3, 4, 5))
    )
    answer = await stage.tasks.GetTask(tasks_pb2.GetTaskRequest(id=task.id), metadata=stage.ada.metadata)
    going_on = [each["id"] for each in await series(stage) if each["ended_at"] is None]
    assert going_on == [UUID(answer.task.series_id)]


async def test_dying_between_the_answer_and_the_commit_leaves_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def killed(*_arguments: Any, **_fields: Any) -> None:
        raise ConnectionError("killed before the commit")

    with monkeypatch.context() as patched:
        patched.setattr("rota_tasks.batch.store.note", killed)
        with pytest.raises(Unavailable):
            await run(stage, create(recurrence=rule()))
    assert await series(stage) == []
    await run(stage, create(recurrence=rule()))
    assert len(await series(stage)) == 1


async def test_rebuilding_finds_what_a_batch_began(stage: Stage) -> None:
    await run(stage, *(create(due_on="2026-01-01", recurrence=rule()) for _ in range(5)))
    await require_rebuilt(stage.database_url)
