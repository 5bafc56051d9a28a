"""Recurrence rules (RFC 5545, section 3.3.10) over naive local times.

`dateutil` knows the rules but walks from DTSTART, and walks on to the year 9999 when nothing matches. Here it starts
in the period (year, month, week, day …) that holds the time asked for: which periods INTERVAL keeps is arithmetic. And
it walks in a year between 9500 and 9999: the Gregorian calendar repeats every 400 years, weekdays included, so that the
answer is the same and the end of the walk near. Rules of hours, minutes and seconds are `subdaily`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING

from dateutil import rrule

from rota_scheduler.schedules import zones
from rota_scheduler.schedules.subdaily import SubDaily

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from zoneinfo import ZoneInfo

MOST_COUNT = 10_000
_MOST_INTERVAL = 100_000
_MOST_LISTED = 400
_DATES = ("BYMONTH", "BYWEEKNO", "BYYEARDAY", "BYMONTHDAY", "BYDAY")
_TIMES = ("BYHOUR", "BYMINUTE", "BYSECOND")
_KNOWN = frozenset({"FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST", "BYSETPOS", *_DATES, *_TIMES})
_SUB_DAILY = {"HOURLY": 3600, "MINUTELY": 60, "SECONDLY": 1}
_FREQUENCIES = frozenset({"YEARLY", "MONTHLY", "WEEKLY", "DAILY", *_SUB_DAILY})
_WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_VALUE = re.compile(r"[A-Z0-9,+\-]+")
_CYCLE_YEARS = 400
_CYCLE = timedelta(days=146_097)
_LAST_WALKED = 9999
_FEWEST_YEARS_AHEAD = 50
_SEARCHED = timedelta(days=366) * _FEWEST_YEARS_AHEAD
_SEARCHED_FROM = datetime(9600, 1, 1)  # noqa: DTZ001 (a local time)
_INSTANT = timedelta(microseconds=1)


class InvalidRecurrence(ValueError):
    """The text is no recurrence rule, or one that is not supported; the message says why."""


class NeverRecurs(ValueError):
    """No date matches."""


class RecurrenceRule:
    """The local times of a rule from `dtstart` on, which is one of them only if it matches.

    Args:
        text: "FREQ=MONTHLY;BYDAY=-1FR", with or without "RRULE:" before it.
        dtstart: Naive local time; parts that the rule does not name are taken from it.
        where: The zone in which UNTIL is local, when it is a UTC time.

    Attributes:
        ticks: Whether it is of every hour, minute or second, so that each tick of the real clock counts.

    Raises:
        InvalidRecurrence: `text` is not one.
        NeverRecurs: it matches nothing.
    """

    def __init__(self, text: str, dtstart: datetime, where: ZoneInfo) -> None:
        parts = _parts(text)
        self._frequency = parts["FREQ"]
        self._interval = _number(parts, "INTERVAL", 1, _MOST_INTERVAL)
        self._week_start = parts.get("WKST", "MO")
        if self._week_start not in _WEEKDAYS:
            raise InvalidRecurrence("WKST is a weekday: MO, TU …")
        self._dtstart = dtstart.replace(microsecond=0)
        self.ticks = self._frequency in _SUB_DAILY
        if self.ticks and "BYSETPOS" in parts:
            raise InvalidRecurrence("BYSETPOS needs FREQ=DAILY or longer")
        dates = {name: value for name, value in parts.items() if name in _DATES}
        rest = {name: value for name, value in parts.items() if name not in {"COUNT", "UNTIL"}}
        whole = {**rest, **self._defaults(parts)}
        self._rule = _parsed(_words(whole), self._period_of(self._dtstart))
        if dates and not _matches_any_date(dates):
            raise NeverRecurs(text)
        self._sub_daily = self._ticks(whole, dates) if self.ticks else None
        self._until = _until(parts["UNTIL"], where) if "UNTIL" in parts else None
        if "COUNT" in parts:
            self._until = self._end_of(_number(parts, "COUNT", 1, MOST_COUNT))
        if self.next_local(self._dtstart - _INSTANT) is None:
            raise NeverRecurs(text)

    def next_local(self, after: datetime) -> datetime | None:
        """The first time after `after`; None when there is none, or none in at least 50 years."""
        after = max(after, self._dtstart - _INSTANT)
        if self._until is not None and after >= self._until:
            return None
        cycles = (_LAST_WALKED - _FEWEST_YEARS_AHEAD - after.year) // _CYCLE_YEARS
        if cycles < 0:
            return None
        found = next(self._walk(after, _CYCLE * cycles), None)
        return None if found is None or (self._until is not None and found > self._until) else found

    def _walk(self, after: datetime, shift: timedelta) -> Iterator[datetime]:
        """The times after `after` for at least 50 years, looked for `shift` later."""
        try:
            if self._sub_daily is not None:
                yield from self._sub_daily.after(after, after + _SEARCHED, shift)
                return
            for found in self._rule.replace(dtstart=self._period_of(after) + shift).xafter(after + shift):
                yield found - shift
        except (ValueError, OverflowError):
            # INTERVAL passes over every time of day that the rule names, or the walk ended with the year 9999.
            return

    def _ticks(self, whole: Mapping[str, str], dates: Mapping[str, str]) -> SubDaily:
        """The same rule of hours, minutes or seconds."""
        of_dates = {name: whole[name] for name in (*dates, "WKST") if name in whole}
        return SubDaily(
            unit_s=_SUB_DAILY[self._frequency],
            interval=self._interval,
            first=self._period_of(self._dtstart),
            times={name: [int(each) for each in whole[name].split(",")] for name in _TIMES if name in whole},
            dates=_parsed(_words({"FREQ": "DAILY", **of_dates}), self._dtstart) if dates else None,
        )

    def _defaults(self, parts: dict[str, str]) -> dict[str, str]:
        """What the rule leaves to `dtstart`."""
        start, frequency, defaults = self._dtstart, self._frequency, {}
        if not any(name in parts for name in ("BYWEEKNO", "BYYEARDAY", "BYMONTHDAY", "BYDAY")):
            if frequency == "YEARLY":
                defaults = {"BYMONTH": parts.get("BYMONTH", str(start.month)), "BYMONTHDAY": str(start.day)}
            elif frequency == "MONTHLY":
                defaults = {"BYMONTHDAY": str(start.day)}
            elif frequency == "WEEKLY":
                defaults = {"BYDAY": _WEEKDAYS[start.weekday()]}
        times = dict(zip(_TIMES, (start.hour, start.minute, start.second), strict=True))
        finer = {"HOURLY": 1, "MINUTELY": 2, "SECONDLY": 3}.get(frequency, 0)
        for name in list(times)[finer:]:
            defaults[name] = parts.get(name, str(times[name]))
        return defaults

    def _period_of(self, moment: datetime) -> datetime:
        """The start of the last period that INTERVAL keeps, up to the one that holds `moment`."""
        start, interval = self._dtstart, self._interval
        midnight = start.replace(hour=0, minute=0, second=0)
        moment = max(moment, start)
        if self._frequency == "YEARLY":
            return midnight.replace(year=start.year + _floor(moment.year - start.year, interval), month=1, day=1)
        if self._frequency == "MONTHLY":
            passed = (moment.year - start.year) * 12 + moment.month - start.month
            years, month = divmod(start.month - 1 + _floor(passed, interval), 12)
            return midnight.replace(year=start.year + years, month=month + 1, day=1)
        if self._frequency == "WEEKLY":
            week = midnight - timedelta(days=(start.weekday() - _WEEKDAYS.index(self._week_start)) % 7)
            return week + timedelta(weeks=_floor((moment - week).days // 7, interval))
        if self._frequency == "DAILY":
            return midnight + timedelta(days=_floor((moment - midnight).days, interval))
        unit = timedelta(seconds=_SUB_DAILY[self._frequency])
        first = midnight + (start - midnight) // unit * unit
        return first + _floor((moment - first) // unit, interval) * unit

    def _end_of(self, count: int) -> datetime | None:
        """The last of the first `count` times; None when there are not as many in at least 50 years."""
        self._until = None
        cycles = max(0, (_LAST_WALKED - _FEWEST_YEARS_AHEAD - self._dtstart.year) // _CYCLE_YEARS)
        walk = self._walk(self._dtstart - _INSTANT, _CYCLE * cycles)
        return next(islice(walk, count - 1, None), None)


def _parts(text: str) -> dict[str, str]:
    parts: dict[str, str] = {}
    for part in text.strip().upper().removeprefix("RRULE:").split(";"):
        name, equals, value = part.partition("=")
        if not equals or name not in _KNOWN or not _VALUE.fullmatch(value):
            raise InvalidRecurrence(f"{part[:40]!r} is no part of a rule")
        if name in parts:
            raise InvalidRecurrence(f"{name} comes twice")
        if value.count(",") >= _MOST_LISTED:
            raise InvalidRecurrence(f"{name} has more than {_MOST_LISTED} values")
        parts[name] = value
    if parts.get("FREQ") not in _FREQUENCIES:
        raise InvalidRecurrence("FREQ is one of YEARLY, MONTHLY, WEEKLY, DAILY, HOURLY, MINUTELY, SECONDLY")
    if "COUNT" in parts and "UNTIL" in parts:
        raise InvalidRecurrence("COUNT and UNTIL exclude each other")
    return parts


def _number(parts: dict[str, str], name: str, low: int, high: int) -> int:
    value = parts.get(name, str(low))
    if not value.isdecimal() or len(value) > len(str(high)) or not low <= int(value) <= high:
        raise InvalidRecurrence(f"{name} is a number from {low} to {high}")
    return int(value)


def _words(parts: Mapping[str, str]) -> str:
    return ";".join(f"{name}={value}" for name, value in parts.items())


def _parsed(text: str, dtstart: datetime) -> rrule.rrule:
    try:
        parsed = rrule.rrulestr(f"RRULE:{text}", dtstart=dtstart)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise InvalidRecurrence(f"it cannot be read: {error}") from error
    if isinstance(parsed, rrule.rruleset):
        raise InvalidRecurrence("it is several rules")
    return parsed


def _matches_any_date(dates: dict[str, str]) -> bool:
    """Whether any date fits what the rule says of dates, whichever its period is: quickly found, or quickly not."""
    plain = re.sub(r"[+-]?\d+(?=[A-Z])", "", dates["BYDAY"]) if "BYDAY" in dates else None
    if plain is None and not {"BYMONTHDAY", "BYYEARDAY", "BYWEEKNO"} & dates.keys():
        return True
    loose = {**dates, "BYDAY": plain} if plain else dates
    return next(iter(_parsed(_words({"FREQ": "YEARLY", **loose}), _SEARCHED_FROM)), None) is not None


def _until(value: str, where: ZoneInfo) -> datetime:
    try:
        if value.endswith("Z"):
            return zones.local_time(datetime.strptime(value, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC), where)
        if "T" in value:
            return datetime.strptime(value, "%Y%m%dT%H%M%S")  # noqa: DTZ007 (a local time)
        return datetime.strptime(value, "%Y%m%d") + timedelta(days=1) - _INSTANT  # noqa: DTZ007 (a local date)
    except (ValueError, OverflowError) as error:
        raise InvalidRecurrence("UNTIL is a date or time such as 20271231 or 20271231T235959Z") from error


def _floor(passed: int, interval: int) -> int:
    return passed // interval * interval
