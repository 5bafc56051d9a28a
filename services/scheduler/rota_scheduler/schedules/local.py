"""From local times to instants: what becomes of times that the clock on the wall skips, or shows twice.

Between two changes of a zone's offset, local times and instants are the same sequence, shifted. So the search goes
from change to change, and what is peculiar to one is settled where it happens:

- gap, the clock is put forward: `skip` drops the times between, `gap_end` moves them to the change, `shift` moves each
  by as much as the clock was.
- fold, the clock is put back: `first` or `last` keeps one of the two instants at which the wall shows the time, `both`
  keeps both.

Sequences that mean each tick of the real clock (every minute, every hour) know neither: what matches fires.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from rota_scheduler.schedules import zones

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

_INSTANT = timedelta(microseconds=1)
# No clock has been put forward or back by more than a day.
_REACH = timedelta(hours=25)


class DstGap(StrEnum):
    """What becomes of a local time that is skipped."""

    SKIP = "skip"
    GAP_END = "gap_end"
    SHIFT = "shift"


class DstFold(StrEnum):
    """Which instants a local time means that comes twice."""

    FIRST = "first"
    LAST = "last"
    BOTH = "both"


class Note(StrEnum):
    """What is peculiar about a nominal time."""

    GAP = "gap"
    FOLD = "fold"
    CALENDAR = "calendar"


class LocalTimes(Protocol):
    """A sequence of local times."""

    @property
    def ticks(self) -> bool:
        """Whether it means every matching tick of the real clock rather than fixed local times."""
        ...

    def next_local(self, after: datetime) -> datetime | None:
        """The first naive local time after `after`, or None."""
        ...


@dataclass(frozen=True, slots=True)
class _Change:
    """The zone's offset changes at an instant, from `before` to `after`."""

    at: datetime
    before: timedelta
    after: timedelta


@dataclass(frozen=True, slots=True)
class Zoned:
    """The instants that local times mean in a zone."""

    times: LocalTimes
    zone: ZoneInfo
    dst_gap: DstGap = DstGap.GAP_END
    dst_fold: DstFold = DstFold.FIRST

    def next_after(self, moment: datetime) -> datetime | None:
        """The first of them after `moment`, in UTC; None when there is none."""
        start = moment.astimezone(UTC)
        change = self._change(start - _REACH, start)
        includes_start = False
        while True:
            found = self._in_stretch(start, change, includes_start=includes_start)
            ahead = self._change(start, (found or start) + _REACH)
            if ahead is None or (found is not None and found < ahead.at and not self._is_left_out(found, ahead)):
                return found
            if self._fires_at(ahead):
                return ahead.at
            start, change, includes_start = ahead.at, ahead, True

    def note(self, instant: datetime) -> Note | None:
        """What is peculiar about one of the instants."""
        if zones.comes_twice(instant, self.zone):
            return Note.FOLD
        local = zones.local_time(instant, self.zone)
        return None if self.times.next_local(local - _INSTANT) == local else Note.GAP

    @property
    def _gap(self) -> DstGap:
        return DstGap.SKIP if self.times.ticks else self.dst_gap

    @property
    def _fold(self) -> DstFold:
        return DstFold.BOTH if self.times.ticks else self.dst_fold

    def _change(self, start: datetime, end: datetime) -> _Change | None:
        at = zones.first_change(start, end, self.zone)
        if at is None:
            return None
        return _Change(at, zones.offset(at - _INSTANT, self.zone), zones.offset(at, self.zone))

    def _in_stretch(self, start: datetime, change: _Change | None, *, includes_start: bool) -> datetime | None:
        """The first instant from `start` if the offset stayed, when `change` was the last before it."""
        after = start - _INSTANT if includes_start else start
        shift = zones.offset(start, self.zone)
        local = after.replace(tzinfo=None) + shift
        if change is None:
            return self._instant(self.times.next_local(local), shift)
        if self._fold is DstFold.FIRST and change.before > change.after:
            local = max(local, _naive(change.at) + change.before - _INSTANT)
        found = self._instant(self.times.next_local(local), shift)
        if self._gap is DstGap.SHIFT and change.before < change.after:
            skipped = self.times.next_local(after.replace(tzinfo=None) + change.before)
            if skipped is not None and skipped < _naive(change.at) + change.after:
                shifted = (skipped - change.before).replace(tzinfo=UTC)
                return shifted if found is None else min(found, shifted)
        return found

    def _is_left_out(self, found: datetime, ahead: _Change) -> bool:
        """Whether it is the first of two instants, of which the last counts."""
        return self._fold is DstFold.LAST and found >= ahead.at - (ahead.before - ahead.after)

    def _fires_at(self, change: _Change) -> bool:
        """Whether a skipped time is moved to the end of the gap."""
        if self._gap is not DstGap.GAP_END or change.before >= change.after:
            return False
        skipped = self.times.next_local(_naive(change.at) + change.before - _INSTANT)
        return skipped is not None and skipped < _naive(change.at) + change.after

    def _instant(self, local: datetime | None, shift: timedelta) -> datetime | None:
        return None if local is None else (local - shift).replace(tzinfo=UTC)


def _naive(instant: datetime) -> datetime:
    return instant.replace(tzinfo=None)
