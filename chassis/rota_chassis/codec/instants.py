"""Timestamps and durations as text."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from google.protobuf.duration_pb2 import Duration
    from google.protobuf.timestamp_pb2 import Timestamp

    from rota_chassis.codec.problems import Problems

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = _EPOCH.toordinal()
_SECONDS_PER_DAY = 86_400
_MINUTES_PER_DAY = 1_440
# Looked up rather than formatted, which takes twice as long.
_MINUTES = tuple(f"T{minute // 60:02}:{minute % 60:02}:" for minute in range(_MINUTES_PER_DAY))
_DIGITS_2 = tuple(f"{number:02}" for number in range(60))
_DIGITS_3 = tuple(f"{number:03}" for number in range(1_000))
_NANOS_PER_MICRO = 1_000

# Seconds of 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z, between which both Timestamp and datetime live.
MIN_SECONDS = -62_135_596_800
MAX_SECONDS = 253_402_300_799

_LONGEST_INSTANT = 64
_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:([0-9]{2})(?:\.[0-9]{1,9})?(?:[Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
)
_DURATION = re.compile(r"(-?)([0-9]{1,12})(?:\.([0-9]{1,9}))?s")
_MAX_DURATION_SECONDS = 315_576_000_000


@lru_cache(maxsize=4096)
def _day_text(days: int) -> str:
    if not MIN_SECONDS <= days * _SECONDS_PER_DAY <= MAX_SECONDS:
        raise ValueError("JSON has only timestamps within the years 1 to 9999")
    return date.fromordinal(_EPOCH_DAY + days).isoformat()


def instant_text(instant: Timestamp) -> str:
    """RFC 3339 in UTC; six fractional digits when there is a fraction, which is cut to microseconds.

    Raises:
        ValueError: the year is not within 1..9999.
    """
    elapsed, nanos = instant.seconds, instant.nanos
    head = _day_text(elapsed // _SECONDS_PER_DAY) + _MINUTES[elapsed // 60 % _MINUTES_PER_DAY] + _DIGITS_2[elapsed % 60]
    if nanos < _NANOS_PER_MICRO:
        return head + "Z"
    return f"{head}.{_DIGITS_3[nanos // 1_000_000]}{_DIGITS_3[nanos // _NANOS_PER_MICRO % 1_000]}Z"


def read_instant(value: object, target: Timestamp, pointer: str, problems: Problems) -> None:
    """Set `target` from RFC 3339 text with an offset; digits beyond microseconds are cut off."""
    if type(value) is not str:
        problems.add(pointer, "wrong_type", "must be a string, a date and time as of RFC 3339")
        return
    match = _RFC3339.fullmatch(value) if len(value) <= _LONGEST_INSTANT else None
    if match is None:
        problems.add(
            pointer,
            "invalid_timestamp",
            'must be a date and time with an offset (RFC 3339), like "2026-01-02T03:04:05Z"',
        )
        return
    try:
        elapsed = datetime.fromisoformat(value.upper()) - _EPOCH
    except ValueError:
        problems.add(pointer, "invalid_timestamp", _why_not(value, match.group(1)))
        return
    seconds = elapsed.days * _SECONDS_PER_DAY + elapsed.seconds
    if not MIN_SECONDS <= seconds <= MAX_SECONDS:
        problems.add(pointer, "out_of_range", "must be within the years 1 to 9999 in UTC")
        return
    target.seconds = seconds
    target.nanos = elapsed.microseconds * _NANOS_PER_MICRO


def _why_not(value: str, second: str) -> str:
    if second == "60":
        return "must not be a leap second; use second 59 or the next minute"
    if value.startswith("0000"):
        return "must be within the years 1 to 9999"
    return "is not a date and time that exists"


def duration_text(duration: Duration) -> str:
    """Seconds with 0, 3, 6 or 9 fractional digits and an "s", as in protobuf's own JSON."""
    text: str = duration.ToJsonString()
    return text


def read_duration(value: object, target: Duration, pointer: str, problems: Problems) -> None:
    """Set `target` from text like "1.5s"."""
    if type(value) is not str:
        problems.add(pointer, "wrong_type", 'must be a string, seconds like "1.5s"')
        return
    match = _DURATION.fullmatch(value)
    if match is None:
        problems.add(pointer, "invalid_duration", 'must be seconds with at most nine fractional digits, like "1.5s"')
        return
    sign = -1 if match.group(1) else 1
    seconds, nanos = int(match.group(2)), int((match.group(3) or "").ljust(9, "0"))
    if seconds + (nanos > 0) > _MAX_DURATION_SECONDS:
        problems.add(pointer, "out_of_range", "must be within 10,000 years")
        return
    target.seconds = sign * seconds
    target.nanos = sign * nanos
    target.SetInParent()
