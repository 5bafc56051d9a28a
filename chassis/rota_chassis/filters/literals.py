"""Values as filters write them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import TYPE_CHECKING
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from rota_chassis.errors import InvalidArgument, Violation
from rota_chassis.filters.ast import Field, Kind, Value
from rota_chassis.filters.lexer import Token, TokenKind, invalid

if TYPE_CHECKING:
    from collections.abc import Callable

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_RELATIVE = re.compile(r"(now|today|tomorrow|yesterday)(?:\s*([+-])\s*(\d{1,7})([smhdw]))?")
_DAYS = {"yesterday": -1, "today": 0, "tomorrow": 1}
_LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Context:
    """What relative words mean.

    Attributes:
        now: The instant `now`.
        zone: Where days begin.
        me: The user `me`; None where there is none.
    """

    now: datetime
    zone: tzinfo = UTC
    me: UUID | None = None


@dataclass(frozen=True, slots=True)
class Day:
    """A whole day, in place of an instant.

    Attributes:
        first: Its first instant.
        last: Its last one, to the microsecond.
    """

    first: datetime
    last: datetime


def time_zone(name: str) -> tzinfo:
    """The IANA zone of a name; empty is UTC.

    Raises:
        InvalidArgument: there is no such zone (code INVALID_FIELDS).
    """
    if not name:
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidArgument(
            f"There is no time zone {name}; use an IANA name such as Europe/Warsaw.",
            code="INVALID_FIELDS",
            violations=[Violation("time_zone", "is not an IANA time zone", "time_zone")],
        ) from error


def value_of(field: Field, token: Token, context: Context) -> Value | Day:
    """The value that a token writes for a field; for an instant it may be a day.

    Raises:
        InvalidArgument: it writes none of the field's kind (code INVALID_FILTER).
    """
    if token.kind not in {TokenKind.WORD, TokenKind.TEXT}:
        raise invalid(token.position, _expected(field))
    try:
        return _READERS[field.kind](field, token.text, context)
    except (ValueError, OverflowError) as error:
        raise invalid(token.position, _expected(field)) from error


def _expected(field: Field) -> str:
    what = f"one of {', '.join(field.choices)}" if field.choices else field.kind.value
    return f"{what}, for {field.name}"


def _text(_field: Field, text: str, _context: Context) -> str:
    return text


def _name(field: Field, text: str, _context: Context) -> str:
    return field.key(text)


def _choice(field: Field, text: str, _context: Context) -> str:
    if text not in field.choices:
        raise ValueError(text)
    return text


def _integer(_field: Field, text: str, _context: Context) -> int:
    if not re.fullmatch(r"-?[0-9]{1,19}", text) or abs(int(text)) > _LARGEST:
        raise ValueError(text)
    return int(text)


def _number(_field: Field, text: str, _context: Context) -> float:
    if not re.fullmatch(r"-?[0-9]{1,15}(\.[0-9]{1,15})?", text):
        raise ValueError(text)
    return float(text)


def _date(_field: Field, text: str, context: Context) -> date:
    return instant(text, context).astimezone(context.zone).date()


def _boolean(_field: Field, text: str, _context: Context) -> bool:
    if text not in {"true", "false"}:
        raise ValueError(text)
    return text == "true"


def _id(_field: Field, text: str, context: Context) -> UUID:
    if text == "me" and context.me is not None:
        return context.me
    return UUID(text)


def instant(text: str, context: Context) -> datetime:
    """The instant that a text writes: an instant, a date, or a relative word such as `today+7d`.

    Raises:
        ValueError: it writes none.
        OverflowError: it lies beyond the dates there are.
    """
    relative = _RELATIVE.fullmatch(text)
    if relative is None:
        given = datetime.fromisoformat(text.upper())
        return (given if given.tzinfo else given.replace(tzinfo=context.zone)).astimezone(UTC)
    word, sign, count, unit = relative.groups()
    away = timedelta(**{_UNITS[unit]: int(count) * (1 if sign == "+" else -1)}) if unit else timedelta()
    if word == "now":
        return (context.now + away).astimezone(UTC)
    # Days are days of the calendar, whatever the clocks do; shorter units are counted from the beginning of the day.
    days, rest = (away, timedelta()) if unit in {"d", "w"} else (timedelta(), away)
    day = context.now.astimezone(context.zone).date() + timedelta(days=_DAYS[word]) + days
    return datetime.combine(day, time(), context.zone).astimezone(UTC) + rest


def _instant(_field: Field, text: str, context: Context) -> datetime | Day:
    first = instant(text, context)
    if not _is_day(text):
        return first
    # With fold, so that an hour that the clock shows twice at the end of the day belongs to it both times.
    last = datetime.combine(first.astimezone(context.zone), time.max.replace(fold=1), context.zone)
    try:
        return Day(first, last.astimezone(UTC))
    except OverflowError:
        # The last day there is, whose rest lies beyond it in UTC.
        return Day(first, datetime.max.replace(tzinfo=UTC))


def _is_day(text: str) -> bool:
    relative = _RELATIVE.fullmatch(text)
    if relative is not None:
        return relative[1] in _DAYS and relative[4] in {None, "d", "w"}
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


_READERS: dict[Kind, Callable[[Field, str, Context], Value | Day]] = {
    Kind.TEXT: _text,
    Kind.ENUM: _choice,
    Kind.INTEGER: _integer,
    Kind.NUMBER: _number,
    Kind.BOOLEAN: _boolean,
    Kind.DATE: _date,
    Kind.INSTANT: _instant,
    Kind.ID: _id,
    Kind.IDS: _id,
    Kind.NAMES: _name,
}
