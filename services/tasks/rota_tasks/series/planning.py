"""Asking the scheduler what a recurrence means, before anything is written."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rota.scheduler.v1 import series_pb2 as times_pb2
from rota_chassis.errors import Conflict, InvalidArgument, Violation
from rota_chassis.ids import uuid7

from rota_tasks.series import domain, store
from rota_tasks.series.domain import DATES
from rota_tasks.series.messages import series_message
from rota_tasks.series.recurrence_messages import recurrence_message
from rota_tasks.tasks.domain import DAY_OR_INSTANT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from rota.tasks.v1 import series_pb2

    from rota_tasks.series.domain import Series
    from rota_tasks.series.recurrence import Recurrence
    from rota_tasks.tasks.dependencies import Tasks
    from rota_tasks.tasks.domain import Task

_STARTS = ("due_on", "due_at", "start_on", "start_at")


async def begun(tasks: Tasks, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a task that is the first occurrence of a new series (see `begun_together`).

    Raises:
        InvalidArgument: the rule is none, or means no times or too many (see the scheduler's SeriesTimesService).
        Unavailable: the scheduler cannot be asked now.
    """
    (found,) = await begun_together(tasks, [fields])
    if isinstance(found, InvalidArgument):
        raise found
    return found


async def begun_together(
    tasks: Tasks, several: Sequence[Mapping[str, Any]]
) -> Sequence[dict[str, Any] | InvalidArgument]:
    """The fields of tasks that are the first occurrences of new series, from those that are asked for; in one call.

    Each is due at the first time of its rule, when nothing else is said; what is said moves along, when the first time
    is later than the start of the rule.

    Args:
        tasks: What it needs.
        several: For each task what is asked for, a recurrence among it; at most 500.

    Returns:
        The fields, or why the rule is refused, in the same order.

    Raises:
        Unavailable: the scheduler cannot be asked now.
    """
    if not several:
        return []
    rules = [_rule(tasks, fields) for fields in several]
    answer = await tasks.times.AcceptRecurrences(
        times_pb2.AcceptRecurrencesRequest(recurrences=[recurrence_message(each) for each in rules])
    )
    return [_beginning(*each) for each in zip(several, rules, answer.recurrences, strict=True)]


def _rule(tasks: Tasks, fields: Mapping[str, Any]) -> Recurrence:
    """The rule that is asked for, with its zone and its start."""
    asked: Recurrence = fields["recurrence"]
    rule = replace(asked, time_zone=asked.time_zone or fields.get("time_zone") or "UTC")
    return replace(rule, start=rule.start or _start(tasks, rule, fields))


def _beginning(
    fields: Mapping[str, Any], rule: Recurrence, answer: times_pb2.AcceptedRecurrence
) -> dict[str, Any] | InvalidArgument:
    if answer.HasField("refusal"):
        refusal = answer.refusal
        violation = Violation(f"recurrence.{refusal.field}", refusal.description, refusal.code.lower())
        return InvalidArgument(refusal.detail, code=refusal.code, violations=[violation])
    if rule.start is None:
        raise LookupError("a rule was asked about without its start")
    first = domain.occurrence_time(answer.first)
    try:
        dates = domain.moved(fields, rule.start, first, rule.zone)
    except OverflowError:
        return InvalidArgument(
            "A date would move out of the calendar along with the recurrence; choose another start.",
            code="DATE_OUT_OF_RANGE",
            violations=[Violation("recurrence", "moves a date out of the calendar", "out_of_range")],
        )
    if not {"due_on", "due_at"} & dates.keys():
        dates["due_at" if isinstance(first, datetime) else "due_on"] = first
    zone = {} if fields.get("time_zone") else {"time_zone": rule.time_zone}
    return {**fields, **dates, **zone, "recurrence": rule, "series_id": uuid7(), "occurrence": answer.first}


async def asked(tasks: Tasks, task: Task, changes: Mapping[str, Any]) -> Mapping[str, Any]:
    """The changes of a task that name a recurrence: nothing of it, when the task has that, or else a new series.

    Raises:
        InvalidArgument: as `begun`.
    """
    changes = wanted(task, changes)
    return await restarted(tasks, task, changes) if "recurrence" in changes else changes


def wanted(task: Task, changes: Mapping[str, Any]) -> Mapping[str, Any]:
    """The changes of a task that name a recurrence, without it when the task has that."""
    rule: Recurrence = changes["recurrence"]
    if task.recurrence is None:
        return changes
    if rule.is_that_of(task.recurrence):
        return {name: value for name, value in changes.items() if name != "recurrence"}
    return {**changes, "recurrence": rule.asked_again(task.recurrence)}


async def restarted(tasks: Tasks, task: Task, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The changes with which a task begins a new series, of the recurrence among them.

    Raises:
        InvalidArgument: as `begun`.
    """
    return settled(changes, await begun(tasks, after(task, changes)))


def after(task: Task, changes: Mapping[str, Any]) -> dict[str, Any]:
    """What the beginning of a series depends on: of a task as it is after changes."""
    current = {name: getattr(task, name) for name in (*DATES, "time_zone")}
    for pair in DAY_OR_INSTANT:
        if any(changes.get(name) is not None for name in pair):
            current |= dict.fromkeys(pair)
    return {**current, **{name: changes[name] for name in (*current, "recurrence") if name in changes}}


def settled(changes: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """The changes with what `begun` found, of fields as `after` gives them."""
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
