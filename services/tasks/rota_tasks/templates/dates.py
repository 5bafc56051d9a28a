"""Dates of templates: so many days before or after a day that is said when the template is used. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import tzinfo

_FORM = re.compile(r"(?:\{\{(\w+)\}\}|(\d{4}-\d\d-\d\d))?(?:([+-]\d{1,4})([dw]))?(?:T(\d\d):(\d\d))?")
_MOST = 9_999


@dataclass(frozen=True, slots=True)
class Moment:
    """A day, with a time of day if one is said."""

    day: date
    clock: time | None

    def instant(self, zone: tzinfo, otherwise: time) -> datetime:
        """The instant in UTC, at another time of day when none is said.

        Raises:
            OverflowError: it lies outside the calendar.
        """
        return datetime.combine(self.day, self.clock or otherwise, zone).astimezone(UTC)


def moment(text: str, values: Mapping[str, str], start_on: date) -> Moment | None:
    """What a date such as `+3d` or `{{launch}}-1wT09:00` means; None for an empty one, or one of an empty variable.

    Raises:
        ValueError: it is none.
        OverflowError: it lies outside the calendar.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        raise ValueError("is no date such as +3d or +1wT09:00")
    name, said, days, unit, hours, minutes = found.groups()
    if not text or (name is not None and not values[name]):
        return None
    base = said if name is None else values[name]
    day = start_on if base is None else date.fromisoformat(base)
    day += timedelta(days=int(days or 0) * (7 if unit == "w" else 1))
    return Moment(day, None if hours is None else time(int(hours), int(minutes)))


def written(value: date | datetime | None, start_on: date, zone: tzinfo) -> str:
    """A date as a template has it, counted from a day; empty for none, and for one that is too far away."""
    if value is None:
        return ""
    clock = ""
    day = value
    if isinstance(value, datetime):
        local = value.astimezone(zone)
        day, clock = local.date(), f"T{local:%H:%M}"
    days = (day - start_on).days
    return f"{days:+d}d{clock}" if abs(days) <= _MOST else ""
