"""Tasks that do something, as tests make and watch them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import asyncpg
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from rota.tasks.v1 import (
    executions_pb2,
    tasks_pb2,
)
from rota_chassis.testing.waiting import eventually

if TYPE_CHECKING:
    from conftest import Stage
    from rota_chassis.testing.clock import ManualClock


SAYS = {"event": {"type": "plants.watered"}}
DUE, UNBLOCKED = executions_pb2.RUN_WHEN_DUE, executions_pb2.RUN_WHEN_UNBLOCKED
PENDING, RUNNING, SUCCEEDED, FAILED, CANCELLED = (
    executions_pb2.TaskRunStatus.Value(f"TASK_RUN_STATUS_{name}")
    for name in ("PENDING", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED")
)
DONE, TODO = tasks_pb2.TASK_STATUS_DONE, tasks_pb2.TASK_STATUS_TODO


def after(clock: ManualClock, seconds: float) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(clock.now() + timedelta(seconds=seconds))
    return stamp


async def get(stage: Stage, task_id: str) -> Any:
    return (await stage.tasks.GetTask(tasks_pb2.GetTaskRequest(id=task_id), metadata=stage.ada.metadata)).task


async def ended(stage: Stage, task_id: str, status: int = SUCCEEDED) -> Any:
    """The task, as soon as its run has ended so."""

    async def has() -> Any:
        task = await get(stage, task_id)
        return task if task.run.status == status else None

    return await eventually(has)


async def patch(stage: Stage, task_id: str, **fields: Any) -> Any:
    given = {name: value for name, value in fields.items() if value is not None}
    request = tasks_pb2.UpdateTaskRequest(id=task_id, update_mask=FieldMask(paths=list(fields)), **given)
    return (await stage.tasks.UpdateTask(request, metadata=stage.ada.metadata)).task


async def runs(url: str) -> list[Any]:
    """Every run that the scheduler has or had."""
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetch("SELECT id, status FROM runs UNION ALL SELECT id, status FROM run_history")
    finally:
        await connection.close()


async def armed(url: str, version: int) -> None:
    """Return when the scheduler knows a version of the one task."""
    connection = await asyncpg.connect(url)
    try:

        async def known() -> bool:
            return bool(await connection.fetchval("SELECT max(version) FROM task_actions") or 0) and (
                await connection.fetchval("SELECT max(version) FROM task_actions") >= version
            )

        await eventually(known)
    finally:
        await connection.close()
