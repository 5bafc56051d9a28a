"""The ledger: every nominal time of a schedule, and what became of it.

What fired is told by its run, what did not by a row of its own, written by the transaction that moved the cursor. So
between them there is exactly one account of each nominal time before the cursor.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID

LATE_AFTER = timedelta(seconds=10)


class Outcome(StrEnum):
    """What became of a nominal time."""

    PENDING = "pending"
    RAN = "ran"
    LATE = "late"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """The fields are those of rota.scheduler.v1.LedgerEntry.

    Attributes:
        due_at: When the run should have started.
        reason: Why it was skipped: a `SkipReason` of schedules.
        backfilled: Whether its run was asked for afterwards.
    """

    nominal_time: datetime
    through: datetime | None = None
    reason: str | None = None
    run_id: UUID | None = None
    due_at: datetime | None = None
    started_at: datetime | None = None
    backfilled: bool = False

    @property
    def lateness(self) -> timedelta | None:
        """How long after it was due the run started; None while it has not."""
        return None if self.started_at is None else self.started_at - (self.due_at or self.nominal_time)

    @property
    def outcome(self) -> Outcome:
        """What became of it."""
        if self.reason is not None:
            return Outcome.SKIPPED
        if self.lateness is None:
            return Outcome.PENDING
        return Outcome.RAN if self.backfilled or self.lateness <= LATE_AFTER else Outcome.LATE
