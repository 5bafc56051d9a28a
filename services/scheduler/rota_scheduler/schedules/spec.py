"""When a schedule fires: its nominal times, each of which becomes one run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from rota_scheduler.schedules.cron import CronExpression

CATCH_UP = timedelta(seconds=60)
_SECOND = timedelta(seconds=1)


class Spec(Protocol):
    """A sequence of nominal times."""

    def next_after(self, moment: datetime) -> datetime | None:
        """The first nominal time after `moment`, in UTC; None when there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Once:
    """One nominal time."""

    at: datetime

    def next_after(self, moment: datetime) -> datetime | None:
        """The time itself, while it is ahead."""
        return self.at if self.at > moment else None


@dataclass(frozen=True, slots=True)
class Interval:
    """Every `every_s` seconds from `start`, which is not one of the times itself."""

    every_s: int
    start: datetime

    def next_after(self, moment: datetime) -> datetime | None:
        """`start` plus a whole number of intervals."""
        every = timedelta(seconds=self.every_s)
        return self.start + every * max(1, (moment - self.start) // every + 1)


@dataclass(frozen=True, slots=True)
class Cron:
    """The times that match a cron expression in a time zone."""

    expression: CronExpression
    zone: ZoneInfo

    def next_after(self, moment: datetime) -> datetime | None:
        """See `cron`."""
        return self.expression.next_after(moment, self.zone)


@dataclass(frozen=True, slots=True)
class Due:
    """What a schedule owes at some instant.

    Attributes:
        nominal_times: The times to fire for, oldest first.
        next_fire_at: The cursor afterwards; None when there will be no more.
    """

    nominal_times: tuple[datetime, ...]
    next_fire_at: datetime | None


def first_fire_at(spec: Spec, created_at: datetime) -> datetime | None:
    """The cursor of a new schedule; a single time fires also when it is past."""
    return spec.at if isinstance(spec, Once) else spec.next_after(created_at)


def due(spec: Spec, cursor: datetime, now: datetime) -> Due:
    """What to fire at `now`, when everything before `cursor` is settled and `cursor` has come.

    Catching up after a pause: each nominal time of the last 60 s fires. When there is none among those missed, the
    latest one fires. All others are passed over.
    """
    since = now - CATCH_UP
    time: datetime | None = cursor if cursor >= since else spec.next_after(since)
    times = []
    while time is not None and time <= now:
        times.append(time)
        time = spec.next_after(time)
    return Due(tuple(times) or (_latest(spec, cursor, now),), time)


def _latest(spec: Spec, cursor: datetime, now: datetime) -> datetime:
    """The latest nominal time up to `now`; `cursor` is one."""
    latest, low, high = cursor, cursor, now
    while high - low > _SECOND:
        middle = low + (high - low) / 2
        found = spec.next_after(middle)
        if found is not None and found <= now:
            latest = low = found
        else:
            high = middle
    return latest
