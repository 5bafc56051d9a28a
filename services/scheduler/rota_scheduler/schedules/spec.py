"""When a schedule fires: its nominal times, each of which becomes one run, or is accounted for otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from rota_scheduler.schedules import zones

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date
    from zoneinfo import ZoneInfo

    from rota_scheduler.schedules.local import Note

EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
LATEST = datetime(9900, 1, 1, tzinfo=UTC)
_INSTANT = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Spec(Protocol):
    """A sequence of nominal times."""

    def next_after(self, moment: datetime) -> datetime | None:
        """The first nominal time after `moment`, in UTC; None when there is none."""
        ...

    def note(self, instant: datetime) -> Note | None:
        """What is peculiar about one of its nominal times."""
        ...


@dataclass(frozen=True, slots=True)
class Once:
    """One nominal time."""

    at: datetime

    def next_after(self, moment: datetime) -> datetime | None:
        """The time itself, while it is ahead."""
        return self.at if self.at > moment else None

    def note(self, _instant: datetime) -> Note | None:
        """Nothing."""
        return None


@dataclass(frozen=True, slots=True)
class Interval:
    """Every `every_s` seconds from `start`, which is not one of the times itself."""

    every_s: int
    start: datetime

    def next_after(self, moment: datetime) -> datetime | None:
        """`start` plus a whole number of intervals."""
        every = timedelta(seconds=self.every_s)
        return self.start + every * max(1, (moment - self.start) // every + 1)

    def note(self, _instant: datetime) -> Note | None:
        """Nothing."""
        return None


@dataclass(frozen=True, slots=True)
class Beat:
    """Every `every_s` seconds, `phase_s` after the multiples counted from 1970-01-01T00:00:00Z."""

    every_s: int
    phase_s: int = 0

    def next_after(self, moment: datetime) -> datetime | None:
        """The next one: they have neither beginning nor end."""
        every, first = timedelta(seconds=self.every_s), _EPOCH + timedelta(seconds=self.phase_s)
        return first + every * ((moment - first) // every + 1)

    def note(self, _instant: datetime) -> Note | None:
        """Nothing."""
        return None


@dataclass(frozen=True, slots=True)
class Delay:
    """`every_s` seconds after whatever it is asked for: the end of a run."""

    every_s: int

    def next_after(self, moment: datetime) -> datetime | None:
        """So much later."""
        return moment + timedelta(seconds=self.every_s)

    def note(self, _instant: datetime) -> Note | None:
        """Nothing."""
        return None


@dataclass(frozen=True, slots=True)
class Exclusions:
    """What is taken out of a sequence.

    Attributes:
        days: Whole local days in `zone`.
        instants: Single times.
    """

    zone: ZoneInfo
    days: frozenset[date]
    instants: frozenset[datetime]

    def passed(self, instant: datetime) -> datetime | None:
        """None when the instant stays; otherwise a moment after which to look on."""
        if instant in self.instants:
            return instant
        local = zones.local_time(instant, self.zone)
        if local.date() not in self.days:
            return None
        # The day's last instant; where a fold brings the day back, what follows is looked at again.
        next_day = datetime.combine(local.date() + timedelta(days=1), datetime.min.time())
        return max(instant, zones.resolve(next_day, self.zone) - _INSTANT)


@dataclass(frozen=True, slots=True)
class Union:
    """The times of several sequences, each once, without the exclusions."""

    members: tuple[Spec, ...]
    exclusions: Exclusions

    def next_after(self, moment: datetime) -> datetime | None:
        """The first of all that is not excluded."""
        while True:
            found = min((time for each in self.members if (time := each.next_after(moment)) is not None), default=None)
            if found is None or found >= LATEST:
                return found
            passed = self.exclusions.passed(found)
            if passed is None:
                return found
            moment = passed

    def note(self, instant: datetime) -> Note | None:
        """That of the first member whose time it is and that has one."""
        notes = (each.note(instant) for each in self.members if each.next_after(instant - _INSTANT) == instant)
        return next((note for note in notes if note is not None), None)


@dataclass(frozen=True, slots=True)
class Bounded:
    """The times of a sequence from `starts_at` on and before `ends_at`."""

    spec: Spec
    starts_at: datetime | None
    ends_at: datetime | None

    def next_after(self, moment: datetime) -> datetime | None:
        """The first within the bounds."""
        start = moment if self.starts_at is None else max(moment, self.starts_at - _INSTANT)
        found = self.spec.next_after(start)
        return None if found is None or (self.ends_at is not None and found >= self.ends_at) else found

    def note(self, instant: datetime) -> Note | None:
        """That of the sequence."""
        return self.spec.note(instant)


def times_after(spec: Spec, moment: datetime) -> Iterator[datetime]:
    """The nominal times after `moment`, in the years 1900 to 9899."""
    time = spec.next_after(max(moment, EARLIEST - _INSTANT))
    while time is not None and time < LATEST:
        yield time
        time = spec.next_after(time)


def next_after(spec: Spec, moment: datetime) -> datetime | None:
    """The first nominal time after `moment`, in the years 1900 to 9899, or None."""
    return next(times_after(spec, moment), None)
