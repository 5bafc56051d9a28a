"""What changes schedules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota.events.v1 import events_pb2
from rota_chassis.events.log import NewEvent
from rota_chassis.ids import uuid7
from rota_chassis.memberships import WRITERS, require_role

from rota_scheduler.actions.checks import check_action
from rota_scheduler.schedules import queries, store
from rota_scheduler.schedules.domain import Schedule, cursor_of
from rota_scheduler.schedules.messages import schedule_message

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal

    from rota_scheduler.schedules.dependencies import Schedules
    from rota_scheduler.schedules.timing import Timing


async def create_schedule(
    schedules: Schedules,
    user: UserPrincipal,
    *,
    workspace_id: UUID,
    name: str,
    timing: Timing,
    action: Mapping[str, Any],
) -> Schedule:
    """Create a schedule.

    Raises:
        InvalidArgument: its times or its action will not do (codes of `timing.spec_of` and `actions.checks`).
        NotFound: the workspace does not exist for the user.
        PermissionDenied: the user's role does not allow writing.
    """
    now, schedule_id = schedules.clock.now(), uuid7()
    with queries.refusing_timing():
        next_fire_at = cursor_of(timing, created_at=now, seed=str(schedule_id))
    check_action(action, schedules.egress)
    await schedules.memberships.require(user.user_id, workspace_id, WRITERS)
    schedule = Schedule(
        id=schedule_id,
        workspace_id=workspace_id,
        name=name,
        timing=timing,
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
        raise queries.no_such_schedule()


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
