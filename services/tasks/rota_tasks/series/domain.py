"""A series: what the occurrences of a recurring task have in common, and which of them there have been.

Pure: functions take a series and return the event that follows, or None; the event holds the series as it then is.

The series is authoritative for which occurrence is the newest and whether it is open. The scheduler learns each version
of it and says, of one version, which occurrence is due; that becomes a task only while the series still is at that
version, under the lock of its row. So each occurrence has one task at most, whoever says it how often.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from rota_tasks.tasks.domain import OPEN, Task

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import tzinfo
    from uuid import UUID

    from rota_tasks.series.recurrence import Recurrence

MAX_SKIPPED = 200
DATES = ("due_at", "due_on", "start_at", "start_on", "deadline_at", "remind_at")
"""What moves with the occurrence."""
SHARED = (
    "title",
    "description",
    "priority",
    "assignee_ids",
    "label_ids",
    "estimate_s",
    "category",
    "project_id",
    "section_id",
    "parent_id",
    "watcher_ids",
    "remind_before_s",
    "execution",
)
"""What every occurrence begins with, besides its dates and their time zone."""
_DAY_S = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """The fields are those of rota.tasks.v1.TaskSeries.

    Attributes:
        template: As the task of the occurrence that it names begins.
    """

    id: UUID
    workspace_id: UUID
    recurrence: Recurrence
    template: Task
    latest: str
    closed_at: datetime | None
    occurrences: int
    skipped: tuple[str, ...] = ()
    created_by: UUID
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None = None
    version: int = 1

    @property
    def lead_s(self) -> int:
        """Seconds before its time at which an occurrence matters already: for its start or for its first reminder."""
        zone, template = self.recurrence.zone, self.template
        begins = _instant(occurrence_time(template.occurrence or self.latest), zone)
        moments = [template.start_at, template.remind_at]
        if template.start_on is not None:
            moments.append(_instant(template.start_on, zone))
        earliest = min((each for each in moments if each is not None), default=begins)
        due = template.due_at
        if template.due_on is not None:
            due = _instant(template.due_on, zone)
        reminded = max(template.remind_before_s, default=0)
        lead = (begins - earliest).total_seconds()
        if due is not None and reminded:
            ends = _DAY_S if template.due_on is not None else 0
            lead = max(lead, (begins - due).total_seconds() - ends + reminded)
        return max(0, int(lead))


@dataclass(frozen=True, slots=True)
class SeriesEvent:
    """Something happened to a series; `series` is the series after it."""

    series: Series


@dataclass(frozen=True, slots=True)
class SeriesCreated(SeriesEvent):
    """A task began to recur."""


@dataclass(frozen=True, slots=True)
class SeriesUpdated(SeriesEvent):
    """It changed."""


@dataclass(frozen=True, slots=True)
class SeriesEnded(SeriesEvent):
    """No more occurrences come."""


def begin(task: Task) -> SeriesCreated:
    """The series of which a task that recurs is the first occurrence.

    Raises:
        ValueError: the task does not say of which series and occurrence it is, and how it recurs.
    """
    if task.series_id is None or task.occurrence is None or task.recurrence is None:
        raise ValueError("the task does not recur")
    return SeriesCreated(
        Series(
            id=task.series_id,
            workspace_id=task.workspace_id,
            recurrence=task.recurrence,
            template=replace(
                task,
                recurrence=None,
                number=None,
                key=None,
                standing=None,
                execution=task.execution.afresh if task.execution else None,
            ),
            latest=task.occurrence,
            closed_at=None if task.status in OPEN else task.updated_at,
            occurrences=1,
            created_by=task.created_by,
            created_at=task.updated_at,
            updated_at=task.updated_at,
        )
    )


def note(series: Series, task: Task, *, gone: bool) -> SeriesEvent | None:
    """What follows from a change of one of its tasks.

    Args:
        series: As it is.
        task: As it is after the change, at its `updated_at`.
        gone: Whether it is deleted now.
    """
    if series.ended_at is not None:
        return None
    if task.recurrence is None and not gone:
        return end(series, now=task.updated_at)
    is_open = task.status in OPEN and not gone
    if task.occurrence != series.latest or is_open == (series.closed_at is None):
        return None
    return SeriesUpdated(_next(series, task.updated_at, closed_at=None if is_open else task.updated_at))


def advance(series: Series, occurrence: str, *, now: datetime) -> SeriesUpdated:
    """It has another occurrence, whose task is open."""
    return SeriesUpdated(
        _next(
            series,
            now,
            latest=occurrence,
            closed_at=None,
            occurrences=series.occurrences + 1,
            skipped=tuple(each for each in series.skipped if each > occurrence),
        )
    )


def skip(series: Series, occurrence: str, *, now: datetime) -> SeriesUpdated | None:
    """An occurrence to come gets no task; None when that is so already.

    Raises:
        OverflowError: `MAX_SKIPPED` are skipped.
    """
    if occurrence in series.skipped:
        return None
    if len(series.skipped) >= MAX_SKIPPED:
        raise OverflowError(f"at most {MAX_SKIPPED} occurrences to come can be skipped")
    return SeriesUpdated(_next(series, now, skipped=tuple(sorted({*series.skipped, occurrence}))))


def revise(series: Series, changes: Mapping[str, Any], *, now: datetime) -> SeriesUpdated | None:
    """Occurrences to come begin with these values of `SHARED`; None when they do."""
    template = replace(series.template, **changes)
    return None if template == series.template else SeriesUpdated(_next(series, now, template=template))


def split(series: Series, new_id: UUID, changes: Mapping[str, Any], *, now: datetime) -> SeriesCreated:
    """The series that goes on in its place, with these values of `SHARED`; itself is to end."""
    return SeriesCreated(
        replace(
            series,
            id=new_id,
            template=replace(series.template, **changes),
            created_at=now,
            updated_at=now,
            version=1,
        )
    )


def end(series: Series, *, now: datetime) -> SeriesEnded | None:
    """No more occurrences come; None when that is so already."""
    return None if series.ended_at is not None else SeriesEnded(_next(series, now, ended_at=now))


def task_of_occurrence(series: Series, occurrence: str, *, task_id: UUID, now: datetime) -> Task:
    """The task that an occurrence begins as."""
    template = series.template
    values = {name: getattr(template, name) for name in (*SHARED, *DATES, "time_zone")}
    first = occurrence_time(template.occurrence or series.latest)
    return Task(
        id=task_id,
        workspace_id=series.workspace_id,
        series_id=series.id,
        occurrence=occurrence,
        recurrence=series.recurrence,
        created_by=series.created_by,
        created_at=now,
        updated_at=now,
        **values | moved(values, first, occurrence_time(occurrence), series.recurrence.zone),
    )


def occurrence_time(name: str) -> date | datetime:
    """The day or the instant that names an occurrence.

    Raises:
        ValueError: it names none.
    """
    if "T" not in name:
        return date.fromisoformat(name)
    return datetime.fromisoformat(name).astimezone(UTC)


def just_before(name: str) -> str:
    """A name between an occurrence and any that is before it.

    Raises:
        ValueError: it names none.
        OverflowError: nothing is before it.
    """
    time = occurrence_time(name)
    if isinstance(time, datetime):
        return (time - timedelta(seconds=1)).isoformat().replace("+00:00", "Z")
    return (time - timedelta(days=1)).isoformat()


def moved(values: Mapping[str, Any], old: date | datetime, new: date | datetime, zone: tzinfo) -> dict[str, Any]:
    """The dates of a task, moved along with its occurrence.

    Days move by days and instants on the wall of the zone, so that 09:00 stays 09:00. A time that the clock skips then
    is counted with the offset before the gap (RFC 5545, section 3.3.5).

    Args:
        values: Those of `DATES` that it has.
        old: Its occurrence.
        new: The other.
        zone: Where it has its local times.
    """
    by = _local(new, zone) - _local(old, zone)
    found: dict[str, Any] = {}
    for name in DATES:
        value = values.get(name)
        if value is None:
            continue
        if value == old:
            found[name] = new
        elif isinstance(value, datetime):
            found[name] = (_local(value, zone) + by).replace(tzinfo=zone).astimezone(UTC)
        else:
            found[name] = (_local(value, zone) + by).date()
    return found


def _local(value: date | datetime, zone: tzinfo) -> datetime:
    if isinstance(value, datetime):
        return value.astimezone(zone).replace(tzinfo=None)
    return datetime.combine(value, time.min)


def _instant(value: date | datetime, zone: tzinfo) -> datetime:
    if isinstance(value, datetime):
        return value
    return datetime.combine(value, time.min, tzinfo=zone).astimezone(UTC)


def _next(series: Series, now: datetime, **changes: Any) -> Series:
    return replace(series, **changes, updated_at=now, version=series.version + 1)
