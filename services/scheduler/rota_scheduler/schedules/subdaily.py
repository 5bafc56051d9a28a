"""Recurrences of hours, minutes and seconds: which ticks of INTERVAL fall on the dates and times of day of a rule.

`dateutil` tries tick after tick; where a rule of seconds matches once in years that takes seconds for each answer. Here
the dates are found first, by `dateutil`, and of each the ticks by arithmetic.
"""

from __future__ import annotations

from bisect import bisect_left
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dateutil.rrule import rrule

_DAY_S = 86_400
_DAY = timedelta(days=1)
_WHOLE = {"BYHOUR": 24, "BYMINUTE": 60, "BYSECOND": 60}


class SubDaily:
    """Naive local times, each a tick every `interval` units from `first` on, on certain dates and times of day.

    Args:
        unit_s: Seconds of a unit: 3600, 60 or 1.
        interval: Units from one tick to the next.
        first: A tick, at the beginning of a unit.
        times: BYHOUR, BYMINUTE and BYSECOND, where they are given; those finer than a unit must be.
        dates: A daily rule of the dates, whenever it starts; None for every day.
    """

    def __init__(
        self, *, unit_s: int, interval: int, first: datetime, times: Mapping[str, Sequence[int]], dates: rrule | None
    ) -> None:
        hours, minutes, seconds = (
            sorted({each for each in times.get(name, range(whole)) if 0 <= each < whole})
            for name, whole in _WHOLE.items()
        )
        self._unit_s = unit_s
        self._interval = interval
        self._first = first
        self._dates = dates
        if unit_s == 1:
            of_minutes = [hour * 60 + minute for hour in hours for minute in minutes]
            self._units = [minute * 60 + second for minute in of_minutes for second in seconds]
            self._within = [0]
        elif unit_s == _WHOLE["BYSECOND"]:
            self._units = [hour * 60 + minute for hour in hours for minute in minutes]
            self._within = seconds
        else:
            self._units = hours
            self._within = [minute * 60 + second for minute in minutes for second in seconds]
        self._known = frozenset(self._units)

    def after(self, moment: datetime, until: datetime, shift: timedelta) -> Iterator[datetime]:
        """Its times after `moment` and not after the day of `until`, soonest first; dates are looked for `shift` later.

        Raises:
            ValueError, OverflowError: that is beyond the year 9999.
        """
        if not self._units or not self._within:
            return
        midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
        for day in self._days(midnight, until, shift):
            since = (moment - day) // timedelta(seconds=self._unit_s) if day == midnight else 0
            for unit in self._ticks(day, since):
                start = day + timedelta(seconds=unit * self._unit_s)
                for second in self._within:
                    time = start + timedelta(seconds=second)
                    if time > moment:
                        yield time

    def _days(self, midnight: datetime, until: datetime, shift: timedelta) -> Iterator[datetime]:
        if self._dates is not None:
            for day in self._dates.replace(dtstart=midnight + shift):
                if day - shift > until:
                    return
                yield day - shift
            return
        while midnight <= until:
            yield midnight
            midnight += _DAY

    def _ticks(self, day: datetime, since: int) -> Iterator[int]:
        """The units of a day, from one on, that are ticks at a time of day of the rule."""
        begun = (day - self._first) // timedelta(seconds=self._unit_s)
        since = max(since, -begun)
        if len(self._units) * self._interval <= _DAY_S // self._unit_s:
            some = self._units[bisect_left(self._units, since) :]
            yield from (unit for unit in some if (begun + unit) % self._interval == 0)
            return
        first = since + -(begun + since) % self._interval
        yield from (unit for unit in range(first, _DAY_S // self._unit_s, self._interval) if unit in self._known)
