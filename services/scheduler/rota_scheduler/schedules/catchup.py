"""Which nominal times fire, after a time without any scheduler too."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from rota_scheduler.schedules.spec import Once, next_after

if TYPE_CHECKING:
    from rota_scheduler.schedules.spec import Spec

CATCH_UP = timedelta(seconds=60)
_SECOND = timedelta(seconds=1)


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
    return spec.at if isinstance(spec, Once) else next_after(spec, created_at)


def due(spec: Spec, cursor: datetime, now: datetime) -> Due:
    """What to fire at `now`, when everything before `cursor` is settled and `cursor` has come.

    Catching up after a pause: each nominal time of the last 60 s fires. When there is none among those missed, the
    latest one fires. All others are passed over.
    """
    since = now - CATCH_UP
    time: datetime | None = cursor if cursor >= since else next_after(spec, since)
    times = []
    while time is not None and time <= now:
        times.append(time)
        time = next_after(spec, time)
    return Due(tuple(times) or (_latest(spec, cursor, now),), time)


def _latest(spec: Spec, cursor: datetime, now: datetime) -> datetime:
    """The latest nominal time up to `now`; `cursor` is one."""
    latest, low, high = cursor, cursor, now
    while high - low > _SECOND:
        middle = low + (high - low) / 2
        found = next_after(spec, middle)
        if found is not None and found <= now:
            latest = low = found
        else:
            high = middle
    return latest
