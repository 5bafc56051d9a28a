"""A schedule: when, and what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rota_scheduler.schedules.cron import CronExpression, InvalidCron, NeverFires
from rota_scheduler.schedules.spec import Cron, Interval, Once, first_fire_at
from rota_scheduler.schedules.zones import UnknownZone, zone

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from rota_scheduler.schedules.spec import Spec


class RefusedTiming(ValueError):
    """An author's words that mean no times.

    Attributes:
        code: Stable reason, UPPER_SNAKE.
        field: The field that is wrong.
        description: What is wrong with it, for a person.
    """

    def __init__(self, code: str, field: str, description: str) -> None:
        super().__init__(f"The schedule's {field} {description}.")
        self.code = code
        self.field = field
        self.description = description


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """When a schedule fires, in the words of its author: exactly one of the three.

    Attributes:
        cron: Expression, read in the schedule's time zone.
        interval_s: Seconds, counted from the schedule's creation.
        at: The one time.
    """

    cron: str | None = None
    interval_s: int | None = None
    at: datetime | None = None


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
    timezone: str
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
        return spec_of(self.timing, timezone=self.timezone, created_at=self.created_at)


def spec_of(timing: Timing, *, timezone: str, created_at: datetime) -> Spec:
    """The nominal times that the author's words mean.

    Raises:
        RefusedTiming: the zone is unknown (code UNKNOWN_TIME_ZONE), the cron expression is none (INVALID_CRON) or
            matches no date (SCHEDULE_NEVER_FIRES).
    """
    try:
        where = zone(timezone)
    except UnknownZone as error:
        raise RefusedTiming(
            "UNKNOWN_TIME_ZONE", "timezone", "is not an IANA time zone such as Europe/Warsaw"
        ) from error
    if timing.at is not None:
        return Once(timing.at)
    if timing.interval_s is not None:
        return Interval(timing.interval_s, created_at)
    try:
        return Cron(CronExpression(timing.cron or ""), where)
    except InvalidCron as error:
        raise RefusedTiming("INVALID_CRON", "cron", f"is not a cron expression: {error}") from error
    except NeverFires as error:
        raise RefusedTiming("SCHEDULE_NEVER_FIRES", "cron", "matches no date") from error


def cursor_of(timing: Timing, *, timezone: str, created_at: datetime) -> datetime:
    """Where the cursor of a new schedule stands.

    Raises:
        RefusedTiming: see `spec_of`.
    """
    cursor = first_fire_at(spec_of(timing, timezone=timezone, created_at=created_at), created_at)
    if cursor is None:
        raise RefusedTiming("SCHEDULE_NEVER_FIRES", "cron", "matches no date")
    return cursor
