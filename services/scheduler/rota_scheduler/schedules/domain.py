"""A schedule: when, and what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rota_chassis.errors import InvalidArgument, NotFound, Violation

from rota_scheduler.schedules.cron import CronExpression, InvalidCron, NeverFires
from rota_scheduler.schedules.spec import Cron, Interval, Once
from rota_scheduler.schedules.zones import UnknownZone, zone

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from rota.scheduler.v1 import schedules_pb2

    from rota_scheduler.schedules.spec import Spec


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
        next_fire_at: The cursor: every nominal time before it is settled. Firing moves it, and nothing else of a
            schedule, so `version` stays.
    """

    id: UUID
    workspace_id: UUID
    name: str
    timing: Timing
    timezone: str
    action: schedules_pb2.Action
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
        InvalidArgument: the zone is unknown (code UNKNOWN_TIME_ZONE), the cron expression is none (INVALID_CRON) or
            matches no date (SCHEDULE_NEVER_FIRES).
    """
    try:
        where = zone(timezone)
    except UnknownZone as error:
        raise _invalid("UNKNOWN_TIME_ZONE", "timezone", "is not an IANA time zone such as Europe/Warsaw") from error
    if timing.at is not None:
        return Once(timing.at)
    if timing.interval_s is not None:
        return Interval(timing.interval_s, created_at)
    try:
        return Cron(CronExpression(timing.cron or ""), where)
    except InvalidCron as error:
        raise _invalid("INVALID_CRON", "cron", f"is not a cron expression: {error}") from error
    except NeverFires as error:
        raise never_fires() from error


def never_fires() -> InvalidArgument:
    """The refusal of a cron expression that no date matches."""
    return _invalid("SCHEDULE_NEVER_FIRES", "cron", "matches no date")


def no_such_schedule() -> NotFound:
    """The answer to whoever may not know whether the schedule exists."""
    return NotFound("There is no such schedule.", code="SCHEDULE_NOT_FOUND")


def _invalid(code: str, field: str, description: str) -> InvalidArgument:
    return InvalidArgument(
        f"The schedule's {field} {description}.",
        code=code,
        violations=[Violation(field, description, code.lower())],
    )
