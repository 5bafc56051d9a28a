"""Where the dates of copied tasks lie, and how far they move. Pure."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import tzinfo

    from rota_tasks.tasks.domain import Task

MOVED = ("start_on", "start_at", "due_on", "due_at", "deadline_at", "remind_at")
"""The dates of a task that move with a copy."""
BEGIN = ("start_on", "start_at", "due_on", "due_at")
"""Those of them from whose earliest the distance counts."""


def distance(start_on: date, tasks: Iterable[Task]) -> timedelta:
    """How far the earliest start or due date of the tasks is from a day."""
    begin = earliest(tasks, BEGIN)
    return timedelta(0) if begin is None else start_on - begin


def earliest(tasks: Iterable[Task], dates: Iterable[str]) -> date | None:
    """The first day that one of the named dates of the tasks falls on, in the time zone of its task."""
    names = tuple(dates)
    days = [
        value.astimezone(ZoneInfo(task.time_zone) if task.time_zone else UTC).date()
        if isinstance(value, datetime)
        else value
        for task in tasks
        for value in (getattr(task, name) for name in names)
        if value is not None
    ]
    return min(days, default=None)


def moved(value: Any, days: timedelta, zone: tzinfo) -> Any:
    """A day or an instant so many days on, at the same time of day in its zone.

    Raises:
        OverflowError: it lies outside the calendar.
    """
    if isinstance(value, datetime):
        return (value.astimezone(zone).replace(tzinfo=None) + days).replace(tzinfo=zone).astimezone(UTC)
    return None if value is None else value + days
