"""Asking the scheduler what a recurrence means, before anything is written."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rota.scheduler.v1 import series_pb2 as times_pb2
from rota.tasks.v1 import series_pb2
from rota_chassis.errors import Conflict
from rota_chassis.ids import uuid7

from rota_tasks.series import domain, store
from rota_tasks.series.domain import DATES
from rota_tasks.series.messages import series_message
from rota_tasks.series.recurrence_messages import recurrence_message
from rota_tasks.tasks.domain import DAY_OR_INSTANT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from rota_tasks.series.domain import Series
    from rota_tasks.series.recurrence import Recurrence
    from rota_tasks.tasks.dependencies import Tasks
    from rota_tasks.tasks.domain import Task

_STARTS = ("due_on", "due_at", "start_on", "start_at")


async def begun(tasks: Tasks, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a task that is the first occurrence of a new series, from those that are asked for.

    It is due at the first time of the rule, when nothing else is said; what is said moves along, when the first time is
    later than the start of the rule.

    Raises:
        InvalidArgument: the rule is none, or means no times or too many (see the scheduler's SeriesTimesService).
        Unavailable: the scheduler cannot be asked now.
    """
    asked: Recurrence = fields["recurrence"]
    recurrence = replace(asked, time_zone=asked.time_zone or fields.get("time_zone") or "UTC")
    start = recurrence.start or _start(tasks, recurrence, fields)
    recurrence = replace(recurrence, start=start)
    (first,) = await next_occurrences(tasks, series_pb2.TaskSeries(recurrence=recurrence_message(recurrence)), count=1)
    time = domain.occurrence_time(first)
    dates = domain.moved(fields, start, time, recurrence.zone)
    if not {"due_on", "due_at"} & dates.keys():
        dates["due_at" if "T" in first else "due_on"] = time
    zone = {} if fields.get("time_zone") else {"time_zone": recurrence.time_zone}
    return {
        **fields,
        **dates,
        **zone,
        "recurrence": recurrence,
        "series_id": uuid7(),
        "occurrence": first,
    }


async def asked(tasks: Tasks, task: Task, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The changes of a task that name a recurrence: nothing of it, when the task has that, or else a new series.

    Raises:
        InvalidArgument: as `begun`.
    """
    wanted: Recurrence = changes["recurrence"]
    if task.recurrence is not None:
        if wanted.is_that_of(task.recurrence):
            return {name: value for name, value in changes.items() if name != "recurrence"}
        wanted = wanted.asked_again(task.recurrence)
    return await restarted(tasks, task, {**changes, "recurrence": wanted})


async def restarted(tasks: Tasks, task: Task, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The changes with which a task begins a new series, of the recurrence among them.

    Raises:
        InvalidArgument: as `begun`.
    """
    current = {name: getattr(task, name) for name in (*DATES, "time_zone")}
    for pair in DAY_OR_INSTANT:
        if any(changes.get(name) is not None for name in pair):
            current |= dict.fromkeys(pair)
    fields = {**current, **{name: changes[name] for name in (*current, "recurrence") if name in changes}}
    found = await begun(tasks, fields)
    return {**changes, **{name: value for name, value in found.items() if value is not None or name in changes}}


async def moved_on(tasks: Tasks, task: Task, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The changes with which the newest occurrence begins a new series of the same rule at other dates.

    Raises:
        Conflict: it is not the newest (code NOT_THE_LATEST_OCCURRENCE).
        InvalidArgument: as `begun`.
    """
    series = await series_of(tasks, task)
    if series is None or task.recurrence is None or series.latest != task.occurrence:
        latest = series.latest if series else "another"
        raise Conflict(
            f"Later occurrences follow the newest, which is {latest}; change the dates of that one.",
            code="NOT_THE_LATEST_OCCURRENCE",
        )
    rule = replace(task.recurrence.after(series.occurrences - 1), start=None)
    return await restarted(tasks, task, {**changes, "recurrence": rule})


async def series_of(tasks: Tasks, task: Task) -> Series | None:
    """The series that a task is, or was, an occurrence of."""
    if task.series_id is None:
        return None
    return await store.get(tasks.database, workspace_id=task.workspace_id, series_id=task.series_id)


async def planned(tasks: Tasks, series: Series, *, count: int) -> Sequence[str]:
    """The next occurrences of a series, as the scheduler computes them now.

    Raises:
        Unavailable: it cannot be asked now.
    """
    message = series_message(series)
    message.ClearField("template")
    return await next_occurrences(tasks, message, count=count)


async def next_occurrences(tasks: Tasks, series: series_pb2.TaskSeries, *, count: int) -> Sequence[str]:
    """What `rota.scheduler.v1.SeriesTimesService` answers."""
    answer = await tasks.times.ListNextOccurrences(times_pb2.ListNextOccurrencesRequest(series=series, count=count))
    return list(answer.occurrences)


def _start(tasks: Tasks, recurrence: Recurrence, fields: Mapping[str, Any]) -> date | datetime:
    now = tasks.clock.now()
    implied: date | datetime = now if recurrence.has_time_of_day else now.astimezone(recurrence.zone).date()
    start = next((fields[name] for name in _STARTS if fields.get(name) is not None), implied)
    return start.replace(microsecond=0) if isinstance(start, datetime) else start
