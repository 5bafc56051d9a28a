"""What becomes of the nominal times that have come: which fire, which are skipped and why, and where the cursor goes.

Most often one time has come and fires. After a time without any scheduler there may be millions; so that a tick stays
short, at most `MOST` are settled by one, and a longer stretch that is skipped is one entry of the ledger.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain, islice, takewhile
from typing import TYPE_CHECKING

from rota_scheduler.schedules.policies import Misfire, Overlap, SkipReason
from rota_scheduler.schedules.spec import next_after, times_after

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rota_scheduler.schedules.domain import Schedule

MOST = 100
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Skip:
    """Nominal times that do not fire: `first`, and all up to `through` when that is another."""

    first: datetime
    through: datetime
    reason: SkipReason

    def until(self, last: datetime) -> Skip:
        """What is left of it when it ends earlier."""
        return Skip(self.first, last, self.reason)

    def since(self, first: datetime) -> Skip:
        """What is left of it when it begins later."""
        return Skip(first, self.through, self.reason)


@dataclass(frozen=True, slots=True)
class Start:
    """A nominal time that fires.

    Attributes:
        due_at: When it should start: later than `nominal_time` by its part of the jitter.
        buffered: Whether its run waits until the schedule's others have ended.
    """

    nominal_time: datetime
    due_at: datetime
    buffered: bool


@dataclass(frozen=True, slots=True)
class Unfinished:
    """The runs of a schedule that have not ended.

    Attributes:
        running: How many of them do not wait for another.
        buffered: How many do.
    """

    running: int = 0
    buffered: int = 0


@dataclass(slots=True)
class Settled:
    """What becomes of what has come.

    Attributes:
        cursor: The next nominal time to settle; None when there will be no more.
    """

    cursor: datetime | None
    starts: list[Start] = field(default_factory=list)
    skips: list[Skip] = field(default_factory=list)


def due_at(schedule: Schedule, nominal_time: datetime) -> datetime:
    """When a nominal time should start: within its jitter, and not after the next one."""
    delayed = nominal_time + schedule.policies.delay(schedule.id, nominal_time)
    if delayed == nominal_time:
        return nominal_time
    following = next_after(schedule.spec, nominal_time)
    return delayed if following is None else min(delayed, following)


def settle(schedule: Schedule, now: datetime, unfinished: Unfinished) -> Settled:
    """Settle the nominal times of a schedule that have come, from its cursor on.

    Paused, all are skipped. Those not older than the catch-up window fire; older ones as `misfire` says, and not at all
    once the schedule has ended.
    """
    if schedule.next_fire_at is None:
        return Settled(None)
    times = _come(schedule, schedule.next_fire_at, now)
    if schedule.timing.delay_s is not None:
        return _settle_one(schedule, times, now, unfinished)
    settled = Settled(next_after(schedule.spec, times[-1]) if times else schedule.next_fire_at)
    _settle_times(settled, schedule, times, now, unfinished)
    return settled


def _settle_one(schedule: Schedule, times: Sequence[datetime], now: datetime, unfinished: Unfinished) -> Settled:
    """Settle the one time there is when times count from completions: what follows it depends on its run."""
    if not times:
        return Settled(schedule.next_fire_at)
    settled = Settled(None)
    _settle_times(settled, schedule, times, now, unfinished)
    if settled.skips and not settled.starts:
        settled.cursor = next_after(schedule.spec, now)
    return settled


def _settle_times(
    settled: Settled, schedule: Schedule, times: Sequence[datetime], now: datetime, unfinished: Unfinished
) -> None:
    if schedule.paused:
        _skip(settled, schedule, times, now, SkipReason.PAUSED)
        return
    policies = schedule.policies
    has_ended = policies.ends_at is not None and policies.ends_at <= now
    misfire = Misfire.SKIP if has_ended else policies.misfire
    since = now - timedelta(seconds=policies.catch_up_s)
    missed = [] if misfire is Misfire.ALL else [time for time in times if due_at(schedule, time) < since]
    fires = times[len(missed) :]
    until = since - timedelta(seconds=policies.jitter_s) - _INSTANT
    _skip(settled, schedule, missed, until, SkipReason.EXPIRED if has_ended else SkipReason.CATCH_UP)
    has_newer = fires or (settled.cursor is not None and settled.cursor <= now)
    if missed and not has_newer and misfire is Misfire.ONE:
        fires = [_give_backlatest_up_to(settled, schedule)]
    _start(settled, schedule, fires, unfinished)


def _come(schedule: Schedule, cursor: datetime, now: datetime) -> list[datetime]:
    """The times whose start has come, from the cursor on, at most `MOST`."""
    if cursor > now:
        return []
    if schedule.timing.delay_s is not None:
        return [cursor] if due_at(schedule, cursor) <= now else []
    # One by one: most often only the first has come.
    times = islice(chain([cursor], times_after(schedule.spec, cursor)), MOST)
    return list(takewhile(lambda time: due_at(schedule, time) <= now, times))


def _skip(settled: Settled, schedule: Schedule, times: Sequence[datetime], until: datetime, reason: SkipReason) -> None:
    """Skip the times; when they are so many that there may be more, all up to `until` at once."""
    if len(times) < MOST:
        settled.skips += [Skip(time, time, reason) for time in times]
        return
    last = latest_up_to(schedule, times[-1], until)
    settled.skips.append(Skip(times[0], last, reason))
    settled.cursor = next_after(schedule.spec, last)


def _give_backlatest_up_to(settled: Settled, schedule: Schedule) -> datetime:
    """Take the latest of the skipped times out of them."""
    last = settled.skips.pop()
    if last.first < last.through:
        before = latest_up_to(schedule, last.first, last.through - _INSTANT)
        settled.skips.append(Skip(last.first, before, last.reason))
    return last.through


def _start(settled: Settled, schedule: Schedule, times: Sequence[datetime], unfinished: Unfinished) -> None:
    """Start a run for each of the times that overlap and `max_runs` let through."""
    policies, running, buffered = schedule.policies, unfinished.running, unfinished.buffered
    if policies.overlap.ends_others:
        # Each would end the one before it; only the latest is worth starting.
        settled.skips += [Skip(time, time, SkipReason.OVERLAP) for time in times[:-1]]
        times, running, buffered = times[-1:], 0, 0
    for time in times:
        if policies.max_runs is not None and schedule.runs_started + len(settled.starts) >= policies.max_runs:
            break
        waits = running + buffered > 0 and policies.overlap.buffer > 0
        if (running and policies.overlap is Overlap.SKIP) or (waits and buffered >= policies.overlap.buffer):
            is_full = policies.overlap is Overlap.BUFFER_ALL
            settled.skips.append(Skip(time, time, SkipReason.BUFFER_FULL if is_full else SkipReason.OVERLAP))
            continue
        settled.starts.append(Start(time, due_at(schedule, time), buffered=waits))
        running, buffered = running + (not waits), buffered + waits
    if policies.max_runs is not None and schedule.runs_started + len(settled.starts) >= policies.max_runs:
        settled.cursor = None


def latest_up_to(schedule: Schedule, known: datetime, until: datetime) -> datetime:
    """The latest nominal time up to `until`; `known` is one."""
    latest, low, high = known, known, until
    while high - low > _INSTANT:
        middle = low + (high - low) / 2
        found = next_after(schedule.spec, middle)
        if found is not None and found <= until:
            latest = low = found
        else:
            high = middle
    return latest
