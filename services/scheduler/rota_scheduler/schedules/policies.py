"""How a schedule fires: what bounds its times, delays them, and keeps them from firing."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from rota_scheduler.runs.allocation import ConcurrencyPolicy, allocation_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID


MOST_BUFFERED = 100


class Misfire(StrEnum):
    """What becomes of times that are missed by more than the catch-up window."""

    SKIP = "skip"
    ONE = "one"
    ALL = "all"


class Overlap(StrEnum):
    """What happens when a time comes while a run has not ended."""

    SKIP = "skip"
    BUFFER_ONE = "buffer_one"
    ALLOW_ALL = "allow_all"
    BUFFER_ALL = "buffer_all"
    CANCEL_OTHER = "cancel_other"
    TERMINATE_OTHER = "terminate_other"

    @property
    def ends_others(self) -> bool:
        """Whether a run that starts ends those that have not."""
        return self in (Overlap.CANCEL_OTHER, Overlap.TERMINATE_OTHER)

    @property
    def buffer(self) -> int:
        """How many runs may wait."""
        return {Overlap.BUFFER_ONE: 1, Overlap.BUFFER_ALL: MOST_BUFFERED}.get(self, 0)


class SkipReason(StrEnum):
    """Why a time did not fire."""

    PAUSED = "paused"
    OVERLAP = "overlap"
    CATCH_UP = "catch_up"
    EXPIRED = "expired"
    BUFFER_FULL = "buffer_full"
    CANCELLED = "cancelled"
    UNIQUE = "unique"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """The fields are those of rota.scheduler.v1.Schedule."""

    overlap: Overlap = Overlap.ALLOW_ALL
    catch_up_s: int = 60
    misfire: Misfire = Misfire.ONE
    jitter_s: int = 0
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    max_runs: int | None = None
    pause_after_failures: int | None = None
    priority: int = 0
    concurrency_key: str | None = None
    concurrency_limit: int = 1
    concurrency_policy: ConcurrencyPolicy = ConcurrencyPolicy.QUEUE
    concurrency_group: str | None = None
    rate_limit: Mapping[str, int] | None = None
    resources: Mapping[str, int] | None = None
    unique: Mapping[str, Any] | None = None

    @property
    def allocation(self) -> Mapping[str, Any] | None:
        """What its runs share beyond the number of their key."""
        return allocation_of(
            concurrency_key=self.concurrency_key,
            concurrency_policy=self.concurrency_policy,
            concurrency_group=self.concurrency_group,
            rate_limit=self.rate_limit,
            resources=self.resources,
        )

    def admits(self, nominal_time: datetime) -> bool:
        """Whether a time is within the bounds."""
        is_early = self.starts_at is not None and nominal_time < self.starts_at
        return not is_early and (self.ends_at is None or nominal_time < self.ends_at)

    def delay(self, schedule_id: UUID, nominal_time: datetime) -> timedelta:
        """How much later a time starts, the same whenever it is asked."""
        if self.jitter_s == 0:
            return timedelta(0)
        digest = hashlib.blake2b(f"{schedule_id}/{nominal_time.isoformat()}".encode(), digest_size=8).digest()
        return timedelta(milliseconds=int.from_bytes(digest) % (self.jitter_s * 1000))
