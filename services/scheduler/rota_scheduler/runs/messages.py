"""Runs as the contract writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.timestamp_pb2 import Timestamp
from rota.events.v1 import events_pb2
from rota.scheduler.v1 import schedules_pb2
from rota_chassis.events.log import NewEvent

from rota_scheduler.runs.domain import Status

if TYPE_CHECKING:
    from datetime import datetime

    from rota_scheduler.runs.domain import Run

_FINISHED_VERSION = 1
STATUSES = {
    Status.PENDING: schedules_pb2.RUN_STATUS_PENDING,
    Status.RUNNING: schedules_pb2.RUN_STATUS_RUNNING,
    Status.SUCCEEDED: schedules_pb2.RUN_STATUS_SUCCEEDED,
    Status.FAILED: schedules_pb2.RUN_STATUS_FAILED,
    Status.CANCELLED: schedules_pb2.RUN_STATUS_CANCELLED,
}


def run_message(run: Run) -> schedules_pb2.Run:
    """The run as the API shows it."""
    return schedules_pb2.Run(
        id=str(run.id),
        schedule_id=str(run.schedule_id),
        nominal_time=_timestamp(run.nominal_time),
        status=STATUSES[run.status],
        attempts=run.attempts,
        started_at=_timestamp(run.started_at),
        finished_at=_timestamp(run.finished_at),
        task_id=str(run.task_id) if run.task_id else None,
        http_status=run.http_status,
        error=run.error,
        manual=run.manual,
        response=run.response,
        priority=run.priority,
        action_kind=run.kind,
        workspace_id=str(run.workspace_id),
    )


def run_finished(run: Run, now: datetime) -> NewEvent:
    """The event that a run has ended."""
    return NewEvent(
        workspace_id=run.workspace_id,
        aggregate_id=run.id,
        aggregate_version=_FINISHED_VERSION,
        data=events_pb2.RunFinished(run=run_message(run)),
        time=now,
    )


def _timestamp(value: datetime | None) -> Timestamp | None:
    if value is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(value)
    return stamp
