"""How a task recurs, as its author says it; the times that this means are the scheduler's to compute."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from datetime import tzinfo

_TIME_OF_DAY = re.compile(r"FREQ=(?:HOURLY|MINUTELY|SECONDLY)|BY(?:HOUR|MINUTE|SECOND)=", re.IGNORECASE)
_COUNT = re.compile(r"\bCOUNT=(\d+)", re.IGNORECASE)


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
class Carried:
    """What the next occurrence takes over; the fields are those of rota.tasks.v1.CarriedOver."""

    checklist: bool = True
    subtasks: bool = True
    fields: bool = True
    attachments: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Recurrence:
    """The fields are those of rota.tasks.v1.Recurrence.

    Attributes:
        time_zone: Empty while it is not said, which no series has.
        start: The day or the instant from which the rule counts; None while it is not said.
        carried_over: None where it is not said, which means `Carried()`.
    """

    rrule: str | None = None
    cron: str | None = None
    every: str | None = None
    anchor: Anchor = Anchor.SCHEDULE
    catch_up: CatchUp = CatchUp.ONE
    time_zone: str = ""
    start: date | datetime | None = None
    carried_over: Carried | None = None

    @property
    def zone(self) -> tzinfo:
        """Where its local times are."""
        return ZoneInfo(self.time_zone) if self.time_zone else UTC

    @property
    def has_time_of_day(self) -> bool:
        """Whether the rule itself says at which time of day."""
        if self.every is not None:
            return self.every[-1] in "mh"
        return self.cron is not None or bool(_TIME_OF_DAY.search(self.rrule or ""))

    def asked_again(self, known: Recurrence) -> Recurrence:
        """Itself, which someone gives for a task that has `known`: what it leaves out, or repeats, stays open."""
        return replace(
            self,
            start=None if self.start == known.start else self.start,
            carried_over=self.carried_over or known.carried_over,
        )

    def is_that_of(self, known: Recurrence) -> bool:
        """Whether whoever gives it for a task that has `known` asks for nothing new."""
        return self == replace(
            known,
            time_zone=known.time_zone if self.time_zone else "",
            start=known.start if self.start is not None else None,
            carried_over=(known.carried_over or Carried()) if self.carried_over is not None else None,
        )

    def after(self, occurrences: int) -> Recurrence:
        """What is left of it after some occurrences."""
        found = _COUNT.search(self.rrule or "")
        if found is None or self.rrule is None:
            return self
        left = max(1, int(found[1]) - occurrences)
        return replace(self, rrule=f"{self.rrule[: found.start(1)]}{left}{self.rrule[found.end(1) :]}")
