"""When a series of tasks gets its next occurrence.

The tasks service is authoritative: it keeps a series with its newest occurrence, and tells of each version of it. From
that version alone the scheduler works out what comes next and says so when its time has come (`occurrence.due`, with
the version). The tasks service makes the task, which is the next version of the series; or, when the series is another
by then, nothing, since the scheduler has heard of that version too, and works it out anew. So neither a repeated
delivery nor two schedulers nor the death of one makes an occurrence twice or loses it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING

from rota_scheduler.schedules.spec import EARLIEST
from rota_scheduler.series.times import (
    Anchor,
    CatchUp,
    RefusedRecurrence,
    occurrence_of,
    times_from,
    times_of,
    zone_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from uuid import UUID

    from rota_scheduler.series.times import Occurrence, Recurrence, Times

MOST_CAUGHT_UP = 100
LATE_AFTER = timedelta(minutes=5)
"""An instant that came longer ago has passed."""
_INSTANT = timedelta(microseconds=1)
_FIRST_LOOK_BACK = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """What the next occurrence depends on; the attributes are those of rota.tasks.v1.TaskSeries."""

    workspace_id: UUID
    id: UUID
    version: int
    recurrence: Recurrence
    latest: str
    closed_at: datetime | None
    occurrences: int
    skipped: frozenset[str]
    lead: timedelta


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do about a series now.

    Attributes:
        due: Whether to say that something is due.
        occurrence: What is due; None for the end of the series.
        wake_at: When to look again, if nothing is due; None when that takes another version.
    """

    due: bool
    occurrence: Occurrence | None = None
    wake_at: datetime | None = None


def decide(series: Series, now: datetime) -> Decision:
    """What to do about a series that has an occurrence already."""
    by_completion = series.recurrence.anchor is Anchor.COMPLETION
    if by_completion and series.closed_at is None:
        return Decision(due=False)
    found = _next(series, now)
    if found is None or series.closed_at is not None:
        return Decision(due=True, occurrence=found)
    # An occurrence matters before its time, but not before that of the one before it.
    matters_at = max(found.at - series.lead, _latest(series).at)
    if matters_at <= now:
        return Decision(due=True, occurrence=found)
    return Decision(due=False, wake_at=matters_at)


def upcoming(series: Series, now: datetime, count: int) -> list[Occurrence]:
    """The next occurrences as they are to be expected now; each done in time, where the anchor is `completion`."""
    return list(islice(_upcoming(series, now), count))


def _upcoming(series: Series, now: datetime) -> Iterator[Occurrence]:
    left = series.recurrence.count
    by_completion = series.recurrence.anchor is Anchor.COMPLETION
    found = _next(series, now) if series.latest else _first(series)
    number = series.occurrences
    while found is not None and not (by_completion and left is not None and number >= left):
        yield found
        number += 1
        try:
            times = times_from(series.recurrence, found.at) if by_completion else times_of(series.recurrence)
            found = _unskipped(series, times, found.at)
        except RefusedRecurrence:
            # The rule ends before the completion that it would count from.
            return


def _first(series: Series) -> Occurrence | None:
    return _unskipped(series, times_of(series.recurrence), EARLIEST - _INSTANT)


def _next(series: Series, now: datetime) -> Occurrence | None:
    if series.recurrence.anchor is Anchor.COMPLETION:
        return _next_by_completion(series, series.closed_at or now)
    latest, times = _latest(series), times_of(series.recurrence)
    found = _unskipped(series, times, latest.at)
    if found is None or found.at > now:
        return found
    if series.recurrence.catch_up is CatchUp.ALL:
        return _passed(series, times, latest, now, most=MOST_CAUGHT_UP)[0]
    last = _passed(series, times, latest, now, most=1)[-1]
    if series.recurrence.catch_up is CatchUp.SKIP and max(last.ends, last.at + LATE_AFTER) <= now:
        return _unskipped(series, times, now)
    return last


def _next_by_completion(series: Series, closed_at: datetime) -> Occurrence | None:
    if series.recurrence.count is not None and series.occurrences >= series.recurrence.count:
        return None
    try:
        times = times_from(series.recurrence, closed_at)
    except RefusedRecurrence:
        # UNTIL is over.
        return None
    latest = _latest(series)
    # Whole days begin after their last moment.
    return _unskipped(series, times, max(closed_at, latest.at, latest.ends - _INSTANT))


def _passed(series: Series, times: Times, latest: Occurrence, now: datetime, *, most: int) -> list[Occurrence]:
    """The last occurrences up to now, at least one of which there is: `most` of them, or some more.

    It looks back ever farther, so that it costs no more after a long time than after a short one.
    """
    back = _FIRST_LOOK_BACK
    while True:
        start = latest.at if now - latest.at <= back else now - back
        found: list[Occurrence] = []
        each = _unskipped(series, times, start)
        while each is not None and each.at <= now:
            found.append(each)
            each = _unskipped(series, times, each.at)
        if len(found) >= most or start == latest.at:
            return found
        back *= 2


def _unskipped(series: Series, times: Times, moment: datetime) -> Occurrence | None:
    found = times.after(moment)
    while found is not None and found.name in series.skipped:
        found = times.after(found.at)
    return found


def _latest(series: Series) -> Occurrence:
    return occurrence_of(series.latest, zone_of(series.recurrence))
