"""Cron expressions: Debian's rules for the fields (by `cronsim`), ours for time zones.

`cronsim` walks over times of a clock that never changes; which instants those are is resolved here, as cron(8) of
Debian does it:

- An expression with fixed times (neither the minute nor the hour begins with `*`) runs once for each of them: in a gap
  at its end, in a fold the first time.
- Any other runs at each real minute that matches: not in a gap, twice in a fold.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cronsim import CronSim, CronSimError

from rota_scheduler.schedules import zones

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

_FIELDS_WITH_SECONDS = 6
_MONTH = -2
_LAST_LOCAL = datetime(9999, 1, 1)  # noqa: DTZ001 (a local time)


class InvalidCron(ValueError):
    """The text is no cron expression; the message says which field is wrong."""


class NeverFires(ValueError):
    """No date matches, for example February 30."""


class CronExpression:
    """Five fields, or six with seconds first.

    Raises:
        InvalidCron: `text` is not one.
        NeverFires: no date will ever match.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        fields = text.split()
        try:
            CronSim(text, datetime.min)  # noqa: DTZ901 (a local time)
        except CronSimError as error:
            if _is_valid([*fields[:_MONTH], "*", *fields[_MONTH + 1 :]]):
                raise NeverFires(text) from error
            raise InvalidCron(str(error)) from error
        minute, hour = fields[-5], fields[-4]
        self._has_fixed_times = not minute.startswith("*") and not hour.startswith("*")

    def next_after(self, moment: datetime, where: ZoneInfo) -> datetime | None:
        """The first instant after `moment` that matches in the zone, in UTC; None when there is none in 50 years."""
        if self._has_fixed_times:
            return self._next_fixed(moment, where)
        return self._next_ticking(moment, where)

    def _next_fixed(self, moment: datetime, where: ZoneInfo) -> datetime | None:
        local: datetime | None = zones.local_time(moment, where)
        while (local := self._next_local(local)) is not None:
            instant = zones.resolve(local, where)
            if instant > moment:
                return instant
        return None

    def _next_ticking(self, moment: datetime, where: ZoneInfo) -> datetime | None:
        start = moment.astimezone(UTC)
        shift = zones.offset(start, where)
        # A local time that comes once, for sure, since the offset is known: naive, and shifted by it.
        after = start.replace(tzinfo=None) + shift
        while (local := self._next_local(after)) is not None:
            instant = (local - shift).replace(tzinfo=UTC)
            change = zones.first_change(start, instant, where)
            if change is None:
                return instant
            start, shift = change, zones.offset(change, where)
            # Strictly after the second before the change: the change itself may match.
            after = start.replace(tzinfo=None) + shift - timedelta(seconds=1)
        return None

    def _next_local(self, after: datetime | None) -> datetime | None:
        if after is None or after >= _LAST_LOCAL:
            return None
        found: datetime | None = next(CronSim(self.text, after), None)
        return found


def _is_valid(fields: list[str]) -> bool:
    try:
        CronSim(" ".join(fields), datetime.min)  # noqa: DTZ901 (a local time)
    except CronSimError:
        return False
    return True
