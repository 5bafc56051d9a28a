"""Days on which schedules do not fire, or on which alone they do: what calendars take out of their times."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING

from rota_scheduler.schedules import zones
from rota_scheduler.schedules.spec import LATEST

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID
    from zoneinfo import ZoneInfo

    from rota_scheduler.schedules.local import Note
    from rota_scheduler.schedules.recurrence import RecurrenceRule
    from rota_scheduler.schedules.spec import Spec
    from rota_scheduler.schedules.timing import Timing

MOST_PASSED = 4_000
"""How many days, or times, in a row may be off before the search ends: about eleven years of days."""
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class DaysOff:
    """Whole local days in `zone`.

    Attributes:
        dates: Single days, as RFC 3339 writes them.
        weekdays: Days of every week, Monday is 0.
        rules: Recurrence rules whose times are midnights.
    """

    zone: ZoneInfo
    dates: frozenset[str]
    weekdays: frozenset[int]
    rules: tuple[RecurrenceRule, ...]

    def passed(self, instant: datetime) -> datetime | None:
        """None when the instant is not on a day off; otherwise a moment after which to look on."""
        return self.end_of_day(instant) if self.has(instant) else None

    def end_of_day(self, instant: datetime) -> datetime:
        """The last instant of its day; where a fold brings the day back, what follows is to be looked at again."""
        next_day = datetime.combine(zones.local_time(instant, self.zone).date() + timedelta(days=1), time.min)
        return max(instant, zones.resolve(next_day, self.zone) - _INSTANT)

    def has(self, instant: datetime) -> bool:
        """Whether the instant is on one of the days."""
        day = zones.local_time(instant, self.zone).date()
        if day.weekday() in self.weekdays or day.isoformat() in self.dates:
            return True
        midnight = datetime.combine(day, time.min)
        return any(rule.next_local(midnight - _INSTANT) == midnight for rule in self.rules)


@dataclass(frozen=True, slots=True)
class OnlyOn:
    """All days but those of some calendars, each in its own zone; there is at least one."""

    calendars: tuple[DaysOff, ...]

    def passed(self, instant: datetime) -> datetime | None:
        """None when the instant is on a day of one of them; otherwise a moment after which to look on."""
        if any(each.has(instant) for each in self.calendars):
            return None
        return min(each.end_of_day(instant) for each in self.calendars)


def days_left_out(timing: Timing, found: Mapping[UUID, DaysOff]) -> tuple[DaysOff | OnlyOn, ...]:
    """What the calendars of a schedule take out of its times, by what they mean; those that are gone take nothing."""
    left_out: list[DaysOff | OnlyOn] = [found[each] for each in timing.excluded_calendar_ids if each in found]
    only = tuple(found[each] for each in timing.only_calendar_ids if each in found)
    return (*left_out, OnlyOn(only)) if only else tuple(left_out)


@dataclass(frozen=True, slots=True)
class WorkingTimes:
    """The times of a sequence that are on no day off."""

    spec: Spec
    days_off: Sequence[DaysOff | OnlyOn]

    def next_after(self, moment: datetime) -> datetime | None:
        """The first of them; None also when `MOST_PASSED` in a row are off."""
        for _ in range(MOST_PASSED):
            found = self.spec.next_after(moment)
            if found is None or found >= LATEST:
                return found
            passed = [each for days in self.days_off if (each := days.passed(found)) is not None]
            if not passed:
                return found
            moment = max(passed)
        return None

    def note(self, instant: datetime) -> Note | None:
        """That of the sequence."""
        return self.spec.note(instant)
