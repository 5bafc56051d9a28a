"""Tasks in time: the critical path through those that wait for one another, and what moves when a date does.

Pure: the tasks and edges given are all there are. Edges form no circle; the relations they stand for are kept so.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from rota_tasks.tasks.domain import OPEN

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import date, tzinfo
    from uuid import UUID

    from rota_tasks.tasks.domain import Task

MAX_TASKS = 2000
"""In one graph, or moved at once."""
MAX_RANGE = timedelta(days=400)
"""Of a calendar."""
_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Edge:
    """A task that waits for another.

    Attributes:
        before: The one that must finish.
        after: The one that waits.
        lag: How long after the one has finished the other may begin.
    """

    before: UUID
    after: UUID
    lag: timedelta


@dataclass(frozen=True, slots=True)
class Node:
    """A task in the plan; times count from the beginning of the first open work.

    Attributes:
        task: The task.
        duration: How long it takes; nothing when it is not open.
        earliest_start: When it can begin at the earliest.
        slack: How late it may be without making the whole late.
    """

    task: Task
    duration: timedelta
    earliest_start: timedelta
    slack: timedelta


@dataclass(frozen=True, slots=True)
class Plan:
    """What the critical path method finds (Kelley and Walker, 1959).

    Attributes:
        nodes: Each task, in the order given.
        path: The open tasks on the longest chain, in order; empty when it takes no time.
        duration: How long the longest chain takes.
    """

    nodes: Sequence[Node]
    path: Sequence[UUID]
    duration: timedelta


def plan(tasks: Sequence[Task], edges: Iterable[Edge]) -> Plan:
    """The earliest and latest times of tasks, of which only the open ones take time or make others wait."""
    durations = {each.id: _duration(each) for each in tasks if each.status in OPEN}
    edges = [each for each in edges if each.before in durations and each.after in durations]
    into, out_of = _by_end(edges)
    order = list(TopologicalSorter({each: [edge.before for edge in into[each]] for each in durations}).static_order())
    starts: dict[UUID, timedelta] = {}
    for each in order:
        ready = (starts[edge.before] + durations[edge.before] + edge.lag for edge in into[each])
        starts[each] = max(ready, default=timedelta())
    total = max((starts[each] + durations[each] for each in order), default=timedelta())
    latest: dict[UUID, timedelta] = {}
    for each in reversed(order):
        needed = (latest[edge.after] - edge.lag for edge in out_of[each])
        latest[each] = min(needed, default=total) - durations[each]
    nodes = [
        Node(
            each,
            durations.get(each.id, timedelta()),
            starts.get(each.id, timedelta()),
            latest[each.id] - starts[each.id] if each.id in latest else timedelta(),
        )
        for each in tasks
    ]
    return Plan(nodes, _longest(order, starts, durations, into, total), total)


def _longest(
    order: Sequence[UUID],
    starts: Mapping[UUID, timedelta],
    durations: Mapping[UUID, timedelta],
    into: Mapping[UUID, Sequence[Edge]],
    total: timedelta,
) -> Sequence[UUID]:
    if not total:
        return []
    found = [next(each for each in order if starts[each] + durations[each] == total)]
    while starts[found[-1]]:
        last = found[-1]
        found.append(
            next(
                edge.before
                for edge in into[last]
                if starts[edge.before] + durations[edge.before] + edge.lag == starts[last]
            )
        )
    return found[::-1]


def moves(
    task: Task, due: Mapping[str, Any], others: Sequence[Task], edges: Iterable[Edge]
) -> Sequence[tuple[Task, Mapping[str, Any]]]:
    """What moves when a task is due at another time: each task as it is, and its new dates by field.

    Args:
        task: The task.
        due: Its new `due_at` or `due_on`.
        others: The open tasks that wait for it, or for one that waits for it.
        edges: Which waits for which.

    Raises:
        OverflowError: a date would be beyond the last there is.
    """
    into, _ = _by_end(edges)
    known = {each.id: each for each in (task, *others)}
    moved = {task.id: replace(task, **_moved_itself(task, due))}
    waits = {each.id: [edge.before for edge in into[each.id] if edge.before in known] for each in others}
    for each in TopologicalSorter(waits).static_order():
        if each in moved:
            continue
        waiting, begin = known[each], _begin(known[each])
        ready = [
            end + edge.lag
            for edge in into[each]
            if edge.before in moved and (end := _finish(moved[edge.before])) is not None
        ]
        if begin is not None and ready and max(ready) > begin:
            moved[each] = replace(waiting, **_moved_on(waiting, begin, max(ready)))
    return [
        (known[each], changes)
        for each, after in moved.items()
        if (
            changes := {name: value for name in _DATES if (value := getattr(after, name)) != getattr(known[each], name)}
        )
    ]


_DATES = ("start_at", "start_on", "due_at", "due_on")


def _moved_itself(task: Task, due: Mapping[str, Any]) -> Mapping[str, Any]:
    """The new due date, with the start moved by as much, if there is one."""
    dates: dict[str, Any] = {"due_at": None, "due_on": None, **due}
    before, after = _finish(task), _finish(replace(task, **dates))
    if before is None or after is None:
        return dates
    zone = _zone(task)
    days = after.astimezone(zone).date() - before.astimezone(zone).date()
    return {**dates, **_shifted(task, ("start_at", "start_on"), after - before, days)}


def _moved_on(task: Task, begin: datetime, ready: datetime) -> Mapping[str, Any]:
    """The dates with which it begins when it may, instead of `begin`."""
    zone = _zone(task)
    day = ready.astimezone(zone).date()
    if not (task.start_at or (task.due_at and not task.start_on)) and ready > _midnight(day, zone):
        # What begins on a day begins with it.
        day += timedelta(days=1)
    return _shifted(task, _DATES, ready - begin, day - begin.astimezone(zone).date())


def _shifted(task: Task, names: Sequence[str], shift: timedelta, days: timedelta) -> Mapping[str, Any]:
    by = {"start_at": shift, "start_on": days, "due_at": shift, "due_on": days}
    return {name: value + by[name] for name in names if (value := getattr(task, name)) is not None}


def _duration(task: Task) -> timedelta:
    if task.estimate_s is not None:
        return timedelta(seconds=task.estimate_s)
    finish = _finish(task)
    if task.start is None or finish is None:
        return timedelta()
    return max(finish - task.start, timedelta())


def _finish(task: Task) -> datetime | None:
    """When it has finished, if it ends when it is due: of a day, when the next begins."""
    if task.due is None or task.due_on is None:
        return task.due
    return task.due + _TICK


def _begin(task: Task) -> datetime | None:
    """When it begins, if it begins when it may, or as late as it can to be finished in time."""
    if task.start is not None:
        return task.start
    finish = _finish(task)
    if finish is None or task.estimate_s is not None:
        return None if finish is None else finish - _duration(task)
    return finish if task.due_on is None else _midnight(task.due_on, _zone(task))


def _zone(task: Task) -> tzinfo:
    return ZoneInfo(task.time_zone or "UTC")


def _midnight(day: date, zone: tzinfo) -> datetime:
    return datetime.combine(day, time.min, zone).astimezone(UTC)


def _by_end(edges: Iterable[Edge]) -> tuple[Mapping[UUID, Sequence[Edge]], Mapping[UUID, Sequence[Edge]]]:
    into, out_of = defaultdict(list), defaultdict(list)
    for edge in edges:
        into[edge.after].append(edge)
        out_of[edge.before].append(edge)
    return into, out_of
