"""Events of tasks in, timers out."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING
from uuid import UUID

from rota.tasks.v1 import tasks_pb2

from rota_scheduler.timers import store
from rota_scheduler.timers.domain import TimedTask, timers_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from google.protobuf.timestamp_pb2 import Timestamp
    from rota_chassis.events.consumer import Handler
    from rota_chassis.events.envelope import Event
    from rota_chassis.postgres.database import UnitOfWork

_CHANGES = ("task.created", "task.updated", "task.assigned", "task.completed", "task.reopened", "task.restored")
_OPEN = frozenset({tasks_pb2.TASK_STATUS_BACKLOG, tasks_pb2.TASK_STATUS_TODO, tasks_pb2.TASK_STATUS_IN_PROGRESS})


def handlers() -> Mapping[str, Handler]:
    """The events that move timers, for `Runtime.consume`."""
    return {**dict.fromkeys(_CHANGES, _on_task_changed), "task.deleted": _on_task_deleted}


async def _on_task_changed(work: UnitOfWork, event: Event) -> None:
    await store.arm(work, timers_of(_timed_task(event, exists=True)))


async def _on_task_deleted(work: UnitOfWork, event: Event) -> None:
    # The rows stay, so that an older event that comes late cannot arm them.
    await store.arm(work, timers_of(_timed_task(event, exists=False)))


def _timed_task(event: Event, *, exists: bool) -> TimedTask:
    task: tasks_pb2.Task = event.data.task
    return TimedTask(
        workspace_id=event.workspace_id,
        id=event.aggregate_id,
        version=event.aggregate_version,
        is_open=exists and task.status in _OPEN,
        title=task.title,
        recipient_ids=tuple(UUID(user_id) for user_id in task.assignee_ids or [task.created_by]),
        created_at=task.created_at.ToDatetime(tzinfo=UTC),
        remind_at=_instant(task.remind_at) if task.HasField("remind_at") else None,
        due_at=_instant(task.due_at) if task.HasField("due_at") else None,
    )


def _instant(timestamp: Timestamp) -> datetime:
    return timestamp.ToDatetime(tzinfo=UTC)
