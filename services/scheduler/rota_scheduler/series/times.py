"""The times of a recurring task: which occurrences its rule means, and how they are named.

An occurrence is an instant, or a whole day. Days are found on the calendar alone, so that no change of the clock moves
them; instants are resolved as those of schedules are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from rota_scheduler.schedules.cron import CronExpression, InvalidCron, NeverFires
from rota_scheduler.schedules.local import Zoned
from rota_scheduler.schedules.recurrence import InvalidRecurrence, NeverRecurs, RecurrenceRule
from rota_scheduler.schedules.spec import EARLIEST, LATEST
from rota_scheduler.schedules.zones import UnknownZone, local_time, resolve, zone

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from rota_scheduler.schedules.local import LocalTimes

_INSTANT = timedelta(microseconds=1)
_UNITS = {"m": "MINUTELY", "h": "HOURLY", "d": "DAILY", "w": "WEEKLY", "mo": "MONTHLY", "y": "YEARLY"}
_EVERY = re.compile(r"([1-9]\d{0,3})(m|h|d|w|mo|y)")
_COUNT = re.compile(r";?\bCOUNT=(\d+)", re.IGNORECASE)
_SHORTEST_MONTH = 28
_SHORTEST_GAP = timedelta(minutes=1)
_GAPS_LOOKED_AT = 10
_RULES_KEPT = 10_000


class RefusedRecurrence(ValueError):
    """A rule that means no times, or too many.

    Attributes:
        code: Stable reason, UPPER_SNAKE.
        field: The field of the recurrence that is wrong.
        description: What is wrong with it, for a person.
    """

    def __init__(self, code: str, field: str, description: str) -> None:
        super().__init__(f"The recurrence's {field} {description}.")
        self.code = code
        self.field = field
        self.description = description


class Anchor(StrEnum):
    """What the next occurrence is counted from."""

    SCHEDULE = "schedule"
    COMPLETION = "completion"


class CatchUp(StrEnum):
    """What becomes of times that have passed."""

    SKIP = "skip"
    ONE = "one"
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recurrence:
    """How a task recurs: exactly one of the first three.

    Attributes:
        start: The day, or the instant in UTC, from which the rule counts.
    """

    rrule: str | None = None
    cron: str | None = None
    every: str | None = None
    anchor: Anchor = Anchor.SCHEDULE
    catch_up: CatchUp = CatchUp.ONE
    time_zone: str = "UTC"
    start: date | datetime

    @property
    def field(self) -> str:
        """Which of the three it is."""
        return "rrule" if self.rrule is not None else "cron" if self.cron is not None else "every"

    @property
    def count(self) -> int | None:
        """How many occurrences there are at most, if the rule says."""
        found = _COUNT.search(self.rrule or "")
        return int(found[1]) if found else None


@dataclass(frozen=True, slots=True, order=True)
class Occurrence:
    """One time.

    Attributes:
        at: The instant, or the one at which the day begins.
        name: As rota.tasks.v1.Occurrence names it.
        ends: When it has passed: at once, or with the day.
    """

    at: datetime
    name: str
    ends: datetime


class Times(Protocol):
    """A sequence of occurrences."""

    def after(self, moment: datetime) -> Occurrence | None:
        """The first that begins after `moment`; None when there is none."""
        ...


@dataclass(frozen=True, slots=True)
class _Instants:
    zoned: Zoned
    start: datetime

    def after(self, moment: datetime) -> Occurrence | None:
        at = self.zoned.next_after(max(moment, self.start - _INSTANT))
        return None if at is None or at >= LATEST else _instant(at)


@dataclass(frozen=True, slots=True)
class _Days:
    times: LocalTimes
    zone: ZoneInfo
    start: date

    def after(self, moment: datetime) -> Occurrence | None:
        last = max(local_time(moment, self.zone).date(), self.start - timedelta(days=1))
        while True:
            found = self.times.next_local(datetime.combine(last, time.max))
            if found is None or found.year >= LATEST.year:
                return None
            occurrence = _day(found.date(), self.zone)
            if occurrence.at > moment:
                return occurrence
            # A day without a midnight, which begins late, or one that the zone leaves out.
            last = found.date()


def times_of(recurrence: Recurrence) -> Times:
    """The occurrences that a rule means, with the anchor `schedule`.

    Raises:
        RefusedRecurrence: the zone is unknown (code UNKNOWN_TIME_ZONE), the rule is none (INVALID_CRON, INVALID_RRULE),
            or means no times (RECURRENCE_NEVER_OCCURS).
    """
    where = zone_of(recurrence)
    start = recurrence.start
    if not isinstance(start, datetime):
        begins = datetime.combine(start, time.min)
        _require_year(start.year)
        return _Days(_local_times(recurrence, begins, where), where, start)
    _require_year(start.year)
    return _Instants(Zoned(_local_times(recurrence, local_time(start, where), where), where), start)


def times_from(recurrence: Recurrence, closed_at: datetime) -> Times:
    """The occurrences that a rule means when it counts from a completion: later ones, at the same time of day.

    Raises:
        RefusedRecurrence: there are none, since the rule has ended by then.
    """
    where = zone_of(recurrence)
    done = local_time(closed_at, where).replace(microsecond=0)
    rrule = _COUNT.sub("", recurrence.rrule).replace(":;", ":").strip(";") if recurrence.rrule else None
    start = recurrence.start
    if not isinstance(start, datetime):
        return times_of(replace(recurrence, rrule=rrule, start=done.date()))
    zoned = replace(recurrence, rrule=rrule)
    if recurrence.cron is not None:
        return _Instants(Zoned(_local_times(zoned, done, where), where), closed_at)
    if not _local_times(zoned, done, where).ticks:
        done = datetime.combine(done.date(), local_time(start, where).time())
    # Not the very time that it counts from.
    return _Instants(Zoned(_local_times(zoned, done, where), where), resolve(done, where) + _INSTANT)


def zone_of(recurrence: Recurrence) -> ZoneInfo:
    """The zone of a rule.

    Raises:
        RefusedRecurrence: there is no such zone (code UNKNOWN_TIME_ZONE).
    """
    try:
        return zone(recurrence.time_zone)
    except UnknownZone as error:
        raise RefusedRecurrence(
            "UNKNOWN_TIME_ZONE", "time_zone", "is not an IANA time zone such as Europe/Warsaw"
        ) from error


def occurrence_of(name: str, where: ZoneInfo) -> Occurrence:
    """The occurrence of a name.

    Raises:
        ValueError: it names none.
    """
    if "T" not in name:
        return _day(date.fromisoformat(name), where)
    return _instant(datetime.fromisoformat(name).astimezone(UTC))


def first_of(recurrence: Recurrence) -> Occurrence:
    """The first occurrence of a rule, the next of which are at least a minute apart.

    Raises:
        RefusedRecurrence: there are none (code RECURRENCE_NEVER_OCCURS), they are closer (RECURRENCE_TOO_FREQUENT), or
            the rule is none (see `times_of`).
    """
    times = times_of(recurrence)
    first = times.after(EARLIEST - _INSTANT)
    if first is None:
        raise _never_occurs(recurrence.field)
    last = first
    for _ in range(_GAPS_LOOKED_AT):
        found = times.after(last.at)
        if found is None:
            break
        if found.at - last.at < _SHORTEST_GAP:
            raise RefusedRecurrence("RECURRENCE_TOO_FREQUENT", recurrence.field, "has times less than a minute apart")
        last = found
    return first


def _local_times(recurrence: Recurrence, start: datetime, where: ZoneInfo) -> LocalTimes:
    """The local times of a rule that counts from a naive local time."""
    start = start.replace(microsecond=0)
    if recurrence.cron is not None:
        try:
            return _cron(recurrence.cron)
        except InvalidCron as error:
            raise RefusedRecurrence("INVALID_CRON", "cron", f"is not a cron expression: {error}") from error
        except NeverFires as error:
            raise _never_occurs("cron") from error
    field, text = ("rrule", recurrence.rrule) if recurrence.rrule else ("every", _rule(recurrence.every or "", start))
    try:
        return _recurrence(text or "", start, where)
    except InvalidRecurrence as error:
        raise RefusedRecurrence("INVALID_RRULE", field, f"is not a recurrence rule: {error}") from error
    except NeverRecurs as error:
        raise _never_occurs(field) from error


def _rule(every: str, start: datetime) -> str:
    """The recurrence rule of a number and a unit; the last day of a month stands in for days that it does not have."""
    match = _EVERY.fullmatch(every)
    if match is None:
        raise RefusedRecurrence("INVALID_RRULE", "every", "is not a number and one of m, h, d, w, mo, y")
    rule = f"FREQ={_UNITS[match[2]]};INTERVAL={match[1]}"
    if match[2] not in {"mo", "y"} or start.day <= _SHORTEST_MONTH:
        return rule
    days = ",".join(map(str, range(_SHORTEST_MONTH, start.day + 1)))
    month = f";BYMONTH={start.month}" if match[2] == "y" else ""
    return f"{rule}{month};BYMONTHDAY={days};BYSETPOS=-1"


@lru_cache(maxsize=_RULES_KEPT)
def _cron(text: str) -> CronExpression:
    return CronExpression(text)


@lru_cache(maxsize=_RULES_KEPT)
def _recurrence(text: str, start: datetime, where: ZoneInfo) -> RecurrenceRule:
    return RecurrenceRule(text, start, where)


def _day(day: date, where: ZoneInfo) -> Occurrence:
    begins, ends = (resolve(datetime.combine(each, time.min), where) for each in (day, day + timedelta(days=1)))
    return Occurrence(begins, day.isoformat(), ends)


def _instant(at: datetime) -> Occurrence:
    return Occurrence(at, at.isoformat().replace("+00:00", "Z"), at)


def _require_year(year: int) -> None:
    if not EARLIEST.year <= year < LATEST.year:
        raise RefusedRecurrence("RECURRENCE_NEVER_OCCURS", "start", "is not in the years 1900 to 9899")


def _never_occurs(field: str) -> RefusedRecurrence:
    return RefusedRecurrence("RECURRENCE_NEVER_OCCURS", field, "matches no date")
