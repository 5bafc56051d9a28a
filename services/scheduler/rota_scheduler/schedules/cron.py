"""Cron expressions: Debian's rules for the fields (by `cronsim`), and `H` for a value of the schedule's own.

`cronsim` walks over times of a clock that never changes; which instants those are is resolved in `local`.

`H` spreads schedules over time: it stands for a value that depends on nothing but the schedule and the field. `H/15`
starts at such a value and steps by 15, `H(9-17)` and `H(0-29)/10` keep to a range. A day of the month is one of 1-28.
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime

from cronsim import CronSim, CronSimError

_FIELDS = ("second", "minute", "hour", "day", "month", "weekday")
_RANGES = {"second": (0, 59), "minute": (0, 59), "hour": (0, 23), "day": (1, 28), "month": (1, 12), "weekday": (0, 6)}
_LAST_DAY = 31
_MONTH = -2
_LAST_LOCAL = datetime(9999, 1, 1)  # noqa: DTZ001 (a local time)
_HASHED = re.compile(r"[Hh](?:\((\d{1,2})-(\d{1,2})\))?(?:/(\d{1,2}))?")


class InvalidCron(ValueError):
    """The text is no cron expression; the message says which field is wrong."""


class NeverFires(ValueError):
    """No date matches, for example February 30."""


class CronExpression:
    """Five fields, or six with seconds first.

    Args:
        text: The expression.
        seed: What the values of `H` depend on, beside the field.

    Attributes:
        ticks: Whether it means every matching minute of the real clock rather than fixed local times, as cron(8) of
            Debian tells them apart: the minute or the hour begins with `*`.

    Raises:
        InvalidCron: `text` is not one.
        NeverFires: no date will ever match.
    """

    def __init__(self, text: str, seed: str = "") -> None:
        fields = text.split()
        names = _FIELDS[-len(fields) :]
        if len(names) == len(fields):
            fields = [_unhashed(field, name, seed) for field, name in zip(fields, names, strict=True)]
        self._text = " ".join(fields)
        try:
            CronSim(self._text, datetime.min)  # noqa: DTZ901 (a local time)
        except CronSimError as error:
            if _is_valid([*fields[:_MONTH], "*", *fields[_MONTH + 1 :]]):
                raise NeverFires(text) from error
            raise InvalidCron(str(error)) from error
        self.ticks = fields[-5].startswith("*") or fields[-4].startswith("*")

    def next_local(self, after: datetime) -> datetime | None:
        """The first naive local time after `after` that matches; None when there is none in 50 years."""
        if after >= _LAST_LOCAL:
            return None
        found: datetime | None = next(CronSim(self._text, after), None)
        return found


def _unhashed(field: str, name: str, seed: str) -> str:
    return ",".join(_unhashed_term(term, name, seed) for term in field.split(","))


def _unhashed_term(term: str, name: str, seed: str) -> str:
    match = _HASHED.fullmatch(term)
    if match is None:
        return term
    low, high = _RANGES[name] if match[1] is None else (int(match[1]), int(match[2]))
    if low > high or high > max(_RANGES[name][1], _LAST_DAY if name == "day" else 0):
        raise InvalidCron(f"Bad {name}")
    digest = int.from_bytes(hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest())
    if match[3] is None:
        return str(low + digest % (high - low + 1))
    step = int(match[3])
    if step == 0:
        raise InvalidCron(f"Bad {name}")
    start = low + digest % min(step, high - low + 1)
    return ",".join(map(str, range(start, high + 1, step)))


def _is_valid(fields: list[str]) -> bool:
    try:
        CronSim(" ".join(fields), datetime.min)  # noqa: DTZ901 (a local time)
    except CronSimError:
        return False
    return True
