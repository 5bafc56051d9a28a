"""What changes schedules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rota.events.v1 import events_pb2
from rota_chassis.events.log import NewEvent
from rota_chassis.ids import uuid7
from rota_chassis.memberships import WRITERS, require_role

from rota_scheduler.actions.checks import check_action
from rota_scheduler.schedules import store
from rota_scheduler.schedules.domain import Schedule, never_fires, no_such_schedule, spec_of
from rota_scheduler.schedules.messages import schedule_message
from rota_scheduler.schedules.spec import first_fire_at

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from rota.scheduler.v1 import schedules_pb2
    from rota_chassis.clock import Clock
    from rota_chassis.identity import UserPrincipal
    from rota_chassis.memberships import Memberships
    from rota_chassis.postgres.database import Database

    from rota_scheduler.actions.egress import EgressPolicy
    from rota_scheduler.schedules.domain import Timing


@dataclass(frozen=True)
class Schedules:
    """What the use cases of schedules need.

    Attributes:
        egress: Where HTTP actions may connect to.
        on_due: Called when a schedule with a new due time has been committed.
        on_runs: Called when new runs have been committed.
    """

    database: Database
    memberships: Memberships
    clock: Clock
    egress: EgressPolicy
    on_due: Callable[[], None]
    on_runs: Callable[[], None]


async def create_schedule(
    schedules: Schedules,
    user: UserPrincipal,
    *,
    workspace_id: UUID,
    name: str,
    timing: Timing,
    timezone: str,
    action: schedules_pb2.Action,
) -> Schedule:
    """Create a schedule.

    Raises:
        InvalidArgument: its times or its action will not do (see `domain.spec_of` and `actions.checks`).
        NotFound: the workspace does not exist for the user.
        PermissionDenied: the user's role does not allow writing.
    """
    now = schedules.clock.now()
    next_fire_at = first_fire_at(spec_of(timing, timezone=timezone, created_at=now), now)
    if next_fire_at is None:
        raise never_fires()
    check_action(action, schedules.egress)
    await schedules.memberships.require(user.user_id, workspace_id, WRITERS)
    schedule = Schedule(
        id=uuid7(),
        workspace_id=workspace_id,
        name=name,
        timing=timing,
        timezone=timezone,
        action=action,
        next_fire_at=next_fire_at,
        created_by=user.user_id,
        created_at=now,
        updated_at=now,
    )
    async with schedules.database.transaction() as work:
        await store.add(work, schedule)
        work.append(
            NewEvent(
                workspace_id=workspace_id,
                aggregate_id=schedule.id,
                aggregate_version=schedule.version,
                data=events_pb2.ScheduleCreated(schedule=schedule_message(schedule)),
                time=now,
            )
        )
    schedules.on_due()
    return schedule


async def delete_schedule(schedules: Schedules, user: UserPrincipal, *, schedule_id: UUID) -> None:
    """Delete a schedule. Runs whose time has come are executed all the same.

    Raises:
        NotFound: it does not exist, or not for the user.
        PermissionDenied: the user's role does not allow writing.
    """
    if await _delete(schedules, user, schedule_id):
        return
    await schedules.memberships.refresh(user.user_id)
    if not await _delete(schedules, user, schedule_id):
        raise no_such_schedule()


async def _delete(schedules: Schedules, user: UserPrincipal, schedule_id: UUID) -> bool:
    """Delete the schedule if it is there for the user; returns whether it was."""
    now = schedules.clock.now()
    async with schedules.database.transaction() as work:
        found = await store.lock(work, user_id=user.user_id, schedule_id=schedule_id)
        if found is None:
            return False
        schedule, role = found
        require_role(role, WRITERS)
        await store.remove(work, schedule)
        work.append(
            NewEvent(
                workspace_id=schedule.workspace_id,
                aggregate_id=schedule.id,
                aggregate_version=schedule.version + 1,
                data=events_pb2.ScheduleDeleted(schedule=schedule_message(schedule)),
                time=now,
            )
        )
    return True
