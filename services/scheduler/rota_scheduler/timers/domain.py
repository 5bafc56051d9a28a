"""When the scheduler has to speak of a task.

A task has two timers: `reminder` at its `remind_at`, for which a time in the past means now, and `due` at its
`due_at` or at the end of its `due_on`, in its zone, which stays silent when the task was already overdue as it was
created. And it has one for each of its `remind_before_s`, `before:3600`, which moves with the due date and stays silent
when its time had passed as the task was created. Only open tasks have armed timers.

Each time fires once. Changing a task without changing the time does not fire it again, nor does closing and opening
the task; another time arms the timer anew. A time that came while the task was closed fires when it is opened again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING
from uuid import UUID, uuid5

from rota_scheduler.schedules.zones import resolve, zone

if TYPE_CHECKING:
    from datetime import date


class Kind(StrEnum):
    """Which of a task's times a timer stands for."""

    REMINDER = "reminder"
    DUE = "due"


BEFORE = "before:"
"""A timer that is this, and seconds, stands for so long before the task is due."""
_LAST_YEAR = 9999


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedTask:
    """What timers depend on.

    Attributes:
        version: Of the task, after the event that told of it.
        is_open: Whether it exists and is neither done nor cancelled.
        recipient_ids: Its assignees, or its creator when nobody is assigned.
        project_id: The project that it is in; empty for none.
    """

    workspace_id: UUID
    id: UUID
    version: int
    is_open: bool
    title: str
    recipient_ids: tuple[UUID, ...]
    created_at: datetime
    remind_at: datetime | None
    due_at: datetime | None
    due_on: date | None = None
    time_zone: str = ""
    remind_before_s: tuple[int, ...] = ()
    project_id: str = ""

    @property
    def due(self) -> datetime | None:
        """When it becomes overdue."""
        return due_of(self.due_at, self.due_on, self.time_zone)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timer:
    """One of a task's timers, as an event of the task wants it.

    Attributes:
        kind: A `Kind`, or `BEFORE` and seconds.
        fire_at: When to fire; None for never.
    """

    workspace_id: UUID
    task_id: UUID
    kind: str
    task_version: int
    title: str
    recipient_ids: tuple[UUID, ...]
    project_id: str
    fire_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """A timer that has fired.

    Attributes:
        fired_for: The time that has come.
        firings: How often this timer has fired, this time included.
        project_id: The project that the task was in when the timer was set, empty for none; None when it is not known.
    """

    workspace_id: UUID
    task_id: UUID
    kind: str
    title: str
    recipient_ids: tuple[UUID, ...]
    fired_for: datetime
    firings: int
    project_id: str | None

    @property
    def reminder_id(self) -> UUID:
        """Identity of the timer as an aggregate: the same for every firing."""
        return uuid5(self.task_id, self.kind)


def due_of(due_at: datetime | None, due_on: date | None, time_zone: str) -> datetime | None:
    """When a task becomes overdue: a day ends at midnight in the task's zone."""
    if due_on is None or due_on.year >= _LAST_YEAR:
        return due_at
    midnight = datetime.combine(due_on + timedelta(days=1), time.min)
    return resolve(midnight, zone(time_zone or "UTC"))


def timers_of(task: TimedTask) -> list[Timer]:
    """The task's timers to remember.

    Those that are not armed too, since they tell older events that come late from news. Only a first version has no
    older ones: what it does not arm need not be remembered.
    """
    due = task.due if task.due is not None and task.due > task.created_at else None
    timers = [_timer(task, Kind.REMINDER, task.remind_at), _timer(task, Kind.DUE, due)]
    for seconds in task.remind_before_s:
        fire_at = None if due is None else due - timedelta(seconds=seconds)
        if fire_at is not None and fire_at <= task.created_at:
            fire_at = None
        timers.append(_timer(task, f"{BEFORE}{seconds}", fire_at))
    return [timer for timer in timers if timer.fire_at is not None or timer.task_version > 1]


def _timer(task: TimedTask, kind: str, fire_at: datetime | None) -> Timer:
    return Timer(
        workspace_id=task.workspace_id,
        task_id=task.id,
        kind=kind,
        task_version=task.version,
        title=task.title,
        recipient_ids=task.recipient_ids,
        project_id=task.project_id,
        fire_at=fire_at if task.is_open else None,
    )
