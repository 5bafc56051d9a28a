"""Tasks that recur, as tests make and change them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from rota.tasks.v1 import (
    recurrence_pb2,
    series_pb2,
    tasks_pb2,
)
from rota_chassis.testing.waiting import eventually

if TYPE_CHECKING:
    from conftest import Stage


DAY = 86_400


OPEN, DONE, DELETED, SKIPPED, PLANNED = (
    series_pb2.OccurrenceStatus.Value(f"OCCURRENCE_STATUS_{name}")
    for name in ("OPEN", "DONE", "DELETED", "SKIPPED", "PLANNED")
)


def instant(text: str) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(datetime.fromisoformat(text).astimezone(UTC))
    return stamp


def daily(**fields: Any) -> recurrence_pb2.Recurrence:
    return recurrence_pb2.Recurrence(**{"rrule": "FREQ=DAILY"} | fields)


async def occurrences(stage: Stage, task: Any, **fields: Any) -> list[tuple[str, int]]:
    """Which occurrences the series of a task has, and what became of them."""
    request = series_pb2.ListOccurrencesRequest(id=task.id, **{"preview": 0} | fields)
    answer = await stage.series.ListOccurrences(request, metadata=stage.ada.metadata)
    return [(each.occurrence, each.status) for each in answer.occurrences]


async def task_of(stage: Stage, task: Any, occurrence: str) -> Any:
    """The task of an occurrence of the series that a task is of, as soon as there is one."""

    async def made() -> Any:
        request = series_pb2.ListOccurrencesRequest(id=task.id, preview=0)
        answer = await stage.series.ListOccurrences(request, metadata=stage.ada.metadata)
        return next((each.task_id for each in answer.occurrences if each.occurrence == occurrence), None)

    task_id = await eventually(made)
    answer = await stage.tasks.GetTask(tasks_pb2.GetTaskRequest(id=task_id), metadata=stage.ada.metadata)
    return answer.task


async def complete(stage: Stage, task: Any) -> Any:
    answer = await stage.tasks.CompleteTask(tasks_pb2.CompleteTaskRequest(id=task.id), metadata=stage.ada.metadata)
    return answer.task


async def patch(stage: Stage, task: Any, **fields: Any) -> Any:
    scope, if_match = fields.pop("scope", None), fields.pop("if_match", "")
    mask = FieldMask(paths=list(fields))
    given = {name: value for name, value in fields.items() if value is not None}
    request = tasks_pb2.UpdateTaskRequest(id=task.id, update_mask=mask, if_match=if_match, **given)
    if scope:
        request.scope = tasks_pb2.OccurrenceScope.Value(f"OCCURRENCE_SCOPE_{scope.upper()}")
    return (await stage.tasks.UpdateTask(request, metadata=stage.ada.metadata)).task


async def delete(stage: Stage, task: Any, scope: str = "unspecified") -> None:
    number = tasks_pb2.OccurrenceScope.Value(f"OCCURRENCE_SCOPE_{scope.upper()}")
    request = tasks_pb2.DeleteTaskRequest(id=task.id, scope=number)
    await stage.tasks.DeleteTask(request, metadata=stage.ada.metadata)


async def series_version(stage: Stage, task: Any) -> int:
    connection = await asyncpg.connect(stage.database_url)
    version = await connection.fetchval("SELECT version FROM task_series WHERE id = $1", UUID(task.series_id))
    await connection.close()
    return int(version)


async def living(stage: Stage) -> list[Any]:
    answer = await stage.tasks.ListTasks(tasks_pb2.ListTasksRequest(), metadata=stage.ada.metadata)
    return list(answer.tasks)
