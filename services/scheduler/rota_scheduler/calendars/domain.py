"""A calendar: days off, which schedules keep to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from rota_scheduler.schedules.days_off import DaysOff
from rota_scheduler.schedules.recurrence import InvalidRecurrence, NeverRecurs, RecurrenceRule
from rota_scheduler.schedules.zones import UnknownZone, zone

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

_RULES_FROM = datetime(1970, 1, 1)  # noqa: DTZ001 (a local time)
_TIMES_OF_DAY = ("BYHOUR", "BYMINUTE", "BYSECOND")
_KEPT = 1_000


class RefusedCalendar(ValueError):
    """Words that mean no days; the attributes are those of `schedules.timing.RefusedTiming`."""

    def __init__(self, code: str, field: str, description: str) -> None:
        super().__init__(f"The calendar's {field} {description}.")
        self.code = code
        self.field = field
        self.description = description


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """The fields are those of rota.scheduler.v1.Calendar.

    Attributes:
        weekdays: Monday is 0.
    """

    id: UUID
    workspace_id: UUID
    name: str
    time_zone: str = "UTC"
    dates: tuple[str, ...] = ()
    weekdays: tuple[int, ...] = ()
    rrules: tuple[str, ...] = ()
    created_by: UUID
    created_at: datetime
    updated_at: datetime
    version: int = 1

    @property
    def etag(self) -> str:
        """Strong entity tag of this version, quotes included."""
        return f'"v{self.version}"'

    @property
    def days_off(self) -> DaysOff:
        """The days that it means.

        Raises:
            RefusedCalendar: it means none, as it is written.
        """
        return _days_off(self.time_zone, self.dates, self.weekdays, self.rrules)


def revise(calendar: Calendar, members: Mapping[str, Any], *, now: datetime) -> Calendar:
    """The calendar with other members; itself when they are the same."""
    revised = replace(calendar, **members)
    return calendar if revised == calendar else replace(revised, updated_at=now, version=calendar.version + 1)


@lru_cache(maxsize=_KEPT)
def _days_off(time_zone: str, dates: tuple[str, ...], weekdays: tuple[int, ...], rrules: tuple[str, ...]) -> DaysOff:
    try:
        where = zone(time_zone)
    except UnknownZone as error:
        raise RefusedCalendar(
            "UNKNOWN_TIME_ZONE", "time_zone", "is not an IANA time zone such as Europe/Warsaw"
        ) from error
    for index, each in enumerate(dates):
        try:
            date.fromisoformat(each)
        except ValueError as error:
            raise RefusedCalendar("INVALID_CALENDAR", f"dates[{index}]", "is no day") from error
    rules = []
    for index, text in enumerate(rrules):
        field = f"rrules[{index}]"
        try:
            rule = RecurrenceRule(text, _RULES_FROM, where)
        except (InvalidRecurrence, NeverRecurs) as error:
            raise RefusedCalendar("INVALID_CALENDAR", field, f"is no recurrence rule of days: {error}") from error
        if rule.ticks or any(each in text for each in _TIMES_OF_DAY):
            raise RefusedCalendar("INVALID_CALENDAR", field, "is a rule of times of day; give days")
        rules.append(rule)
    return DaysOff(where, frozenset(dates), frozenset(weekdays), tuple(rules))
