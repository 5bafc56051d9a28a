"""Events of tasks in, armed actions out; what a task does not want any more is cancelled.

Delivered twice or late: a version counts once, and only when no later one is known.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

from rota.tasks.v1 import executions_pb2, tasks_pb2
from rota_chassis.codec.wellknown import struct_json

from rota_scheduler.executions import store
from rota_scheduler.executions.domain import Armed
from rota_scheduler.runs import calls
from rota_scheduler.runs import store as runs
from rota_scheduler.runs.messages import run_ended, task_run_ended
from rota_scheduler.task_events import CHANGES, is_open
from rota_scheduler.timers.domain import due_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from rota_chassis.clock import Clock
    from rota_chassis.events.consumer import Handler
    from rota_chassis.events.envelope import Event
    from rota_chassis.postgres.work import UnitOfWork
    from rota_chassis.private_projects import PrivateProjects

_DELETED, _PURGED = "task.deleted", "task.purged"
_NOT_WANTED = "The task was closed or changed before it began."


def handlers(clock: Clock, projects: PrivateProjects) -> Mapping[str, Handler]:
    """The events that arm actions, for `Runtime.consume`."""
    return dict.fromkeys((*CHANGES, _DELETED, _PURGED), partial(_on_task, clock, projects))


async def _on_task(clock: Clock, projects: PrivateProjects, work: UnitOfWork, event: Event) -> None:
    if not event.data.task.HasField("action") and not _was_cleared(event):
        return
    if event.data.task.project_id:
        # Who sees its runs is looked up, and nobody is asked then.
        projects.require_known(event.workspace_id)
    armed = _armed(event)
    written, fired = await store.arm(work, armed)
    if not written or fired is None:
        return
    if not fired.is_wanted(armed):
        run = await store.lock_waiting(work, workspace_id=event.workspace_id, run_id=fired.run_id)
        if run is not None:
            now = clock.now()
            cancelled = await calls.cancel(work, run, error=_NOT_WANTED, finished_at=now)
            work.append(*run_ended(cancelled, now))
    if event.type == "task.restored":
        # What became of it meanwhile found no task to be noted on.
        run = await runs.get(work, workspace_id=event.workspace_id, run_id=fired.run_id)
        if run is not None and run.finished_at is not None:
            told = task_run_ended(run, clock.now(), version=event.aggregate_version + 2)
            work.append(*told)


def _was_cleared(event: Event) -> bool:
    return event.type == "task.updated" and any(each.field == "action" for each in event.data.changes)


def _armed(event: Event) -> Armed:
    task: tasks_pb2.Task = event.data.task
    armed = Armed(workspace_id=event.workspace_id, task_id=event.aggregate_id, version=event.aggregate_version)
    if not task.HasField("action") or event.type == _PURGED:
        return armed
    return replace(
        armed,
        action_id=UUID(task.action_state.id),
        acts_for=UUID(task.action_state.given_by),
        action=struct_json(task.action),
        fire_at=_fire_at(task) if event.type != _DELETED and is_open(task) else None,
        causation_depth=event.causation_depth,
        project_id=UUID(task.project_id) if task.project_id else None,
    )


def _fire_at(task: tasks_pb2.Task) -> datetime | None:
    if task.run_when == executions_pb2.RUN_WHEN_UNBLOCKED:
        state = task.action_state
        return state.unblocked_at.ToDatetime(tzinfo=UTC) if state.HasField("unblocked_at") else None
    return due_of(
        task.due_at.ToDatetime(tzinfo=UTC) if task.HasField("due_at") else None,
        date.fromisoformat(task.due_on) if task.HasField("due_on") else None,
        task.time_zone,
    )
