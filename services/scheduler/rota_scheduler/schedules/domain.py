"""A schedule: when, and what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rota_scheduler.schedules.catchup import first_fire_at
from rota_scheduler.schedules.timing import RefusedTiming, spec_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from rota_scheduler.schedules.spec import Spec
    from rota_scheduler.schedules.timing import Timing


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The fields are those of rota.scheduler.v1.Schedule.

    Attributes:
        action: In the JSON form of rota.scheduler.v1.Action.
        next_fire_at: The cursor: every nominal time before it is settled. Firing moves it, and nothing else of a
            schedule, so `version` stays.
    """

    id: UUID
    workspace_id: UUID
    name: str
    timing: Timing
    action: Mapping[str, Any]
    next_fire_at: datetime | None
    created_by: UUID
    created_at: datetime
    updated_at: datetime
    version: int = 1

    @property
    def etag(self) -> str:
        """Strong entity tag of this version, quotes included."""
        return f'"v{self.version}"'

    @property
    def spec(self) -> Spec:
        """Its nominal times."""
        return spec_of(self.timing, created_at=self.created_at, seed=str(self.id))


def cursor_of(timing: Timing, *, created_at: datetime, seed: str) -> datetime:
    """Where the cursor of a new schedule stands.

    Raises:
        RefusedTiming: see `timing.spec_of`.
    """
    cursor = first_fire_at(spec_of(timing, created_at=created_at, seed=seed), created_at)
    if cursor is None:
        field = next(name for name in ("cron", "spec", "interval_s") if getattr(timing, name) is not None)
        raise RefusedTiming("SCHEDULE_NEVER_FIRES", field, "has no time from now on")
    return cursor
