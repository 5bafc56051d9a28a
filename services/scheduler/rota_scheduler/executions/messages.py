"""What is told of the runs of tasks' actions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.timestamp_pb2 import Timestamp
from rota.events.v1 import events_pb2
from rota.tasks.v1 import executions_pb2
from rota_chassis.events.log import NewEvent

if TYPE_CHECKING:
    from datetime import datetime

    from rota_scheduler.executions.domain import Due
    from rota_scheduler.runs.domain import Run

_QUEUED_VERSION, _ENDED_VERSION = 1, 2


def queued_event(run: Run, due: Due, now: datetime) -> NewEvent:
    """The run was queued."""
    data = events_pb2.TaskRunQueued(
        task_id=str(due.task_id),
        action_id=str(due.action_id),
        run=executions_pb2.TaskRun(id=str(run.id), status=executions_pb2.TASK_RUN_STATUS_PENDING),
    )
    return _event(due, data, _QUEUED_VERSION, now)


def refused_event(due: Due, error: str, now: datetime) -> NewEvent:
    """There is no run, and why."""
    finished_at = Timestamp()
    finished_at.FromDatetime(now)
    data = events_pb2.TaskRunEnded(
        task_id=str(due.task_id),
        action_id=str(due.action_id),
        run=executions_pb2.TaskRun(
            id=str(due.run_id), status=executions_pb2.TASK_RUN_STATUS_FAILED, finished_at=finished_at, error=error
        ),
    )
    return _event(due, data, _ENDED_VERSION, now)


def _event(due: Due, data: events_pb2.TaskRunQueued | events_pb2.TaskRunEnded, version: int, now: datetime) -> NewEvent:
    return NewEvent(
        workspace_id=due.workspace_id,
        aggregate_id=due.told_as,
        aggregate_version=version,
        data=data,
        time=now,
        causation_depth=due.causation_depth,
    )
