"""Events of tasks in, timers out."""

from __future__ import annotations

from datetime import UTC, date
from typing import TYPE_CHECKING
from uuid import UUID

from rota_chassis.postgres.work import Lock

from rota_scheduler.task_events import CHANGES, is_open
from rota_scheduler.timers import store
from rota_scheduler.timers.domain import TimedTask, timers_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from google.protobuf.timestamp_pb2 import Timestamp
    from rota.tasks.v1 import tasks_pb2
    from rota_chassis.events.consumer import Handler
    from rota_chassis.events.envelope import Event
    from rota_chassis.postgres.work import UnitOfWork


def handlers() -> Mapping[str, Handler]:
    """The events that move timers, for `Runtime.consume`."""
    return {**dict.fromkeys(CHANGES, _on_task_changed), "task.deleted": _on_task_deleted}


async def _on_task_changed(work: UnitOfWork, event: Event) -> None:
    await _arm(work, _timed_task(event, exists=True))


async def _on_task_deleted(work: UnitOfWork, event: Event) -> None:
    # The rows stay, so that an older event that comes late cannot arm them.
    await _arm(work, _timed_task(event, exists=False))


async def _arm(work: UnitOfWork, task: TimedTask) -> None:
    if task.version > 1 or task.remind_before_s:
        # Another version may be handled elsewhere, and which timers there are depends on the version.
        await work.hold(Lock(f"timers of {task.id}"))
        if await store.knows_later(work, workspace_id=task.workspace_id, task_id=task.id, version=task.version):
            return
    timers = timers_of(task)
    await store.arm(work, timers)
    if task.version > 1:
        await store.disarm_others(
            work,
            workspace_id=task.workspace_id,
            task_id=task.id,
            version=task.version,
            kinds=[each.kind for each in timers],
        )


def _timed_task(event: Event, *, exists: bool) -> TimedTask:
    task: tasks_pb2.Task = event.data.task
    return TimedTask(
        workspace_id=event.workspace_id,
        id=event.aggregate_id,
        version=event.aggregate_version,
        is_open=exists and is_open(task),
        title=task.title,
        recipient_ids=tuple(UUID(user_id) for user_id in task.assignee_ids or [task.created_by]),
        created_at=task.created_at.ToDatetime(tzinfo=UTC),
        remind_at=_instant(task.remind_at) if task.HasField("remind_at") else None,
        due_at=_instant(task.due_at) if task.HasField("due_at") else None,
        due_on=date.fromisoformat(task.due_on) if task.HasField("due_on") else None,
        time_zone=task.time_zone,
        remind_before_s=tuple(task.remind_before_s),
        project_id=task.project_id,
    )


def _instant(timestamp: Timestamp) -> datetime:
    return timestamp.ToDatetime(tzinfo=UTC)
