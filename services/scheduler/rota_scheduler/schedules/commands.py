"""What changes schedules.

Two at once: the schedule's row is locked first, so they take turns, and `If-Match` tells the loser; two that put the
same name take turns by a lock on the name. Dying before the commit leaves nothing; after it everything, the event
included. A call that comes twice changes nothing the second time, or answers with what the first one made.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid5

from rota.events.v1 import events_pb2
from rota_chassis.errors import Conflict, PreconditionFailed, Unavailable
from rota_chassis.ids import uuid7
from rota_chassis.memberships import WRITERS, require_role

from rota_scheduler.actions.checks import check_action
from rota_scheduler.calendars import store as calendars
from rota_scheduler.calendars.queries import require_all
from rota_scheduler.resource_pools.checks import check_resources
from rota_scheduler.runs import store as runs
from rota_scheduler.runs.domain import Run
from rota_scheduler.schedules import domain, queries, store, system
from rota_scheduler.schedules.days_off import days_left_out
from rota_scheduler.schedules.domain import Edits, Schedule, cursor_of
from rota_scheduler.schedules.firing import priority_of, settle
from rota_scheduler.schedules.messages import event_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import datetime
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal
    from rota_chassis.postgres.work import UnitOfWork

    from rota_scheduler.schedules.days_off import DaysOff, OnlyOn
    from rota_scheduler.schedules.dependencies import Schedules
    from rota_scheduler.schedules.policies import Policies
    from rota_scheduler.schedules.timing import Timing

ANY_ETAG = "*"
Result = TypeVar("Result")
_ROUNDS = 100


async def create_schedule(
    schedules: Schedules,
    user: UserPrincipal,
    *,
    workspace_id: UUID,
    name: str,
    timing: Timing,
    policies: Policies,
    action: Mapping[str, Any],
) -> Schedule:
    """Create a schedule.

    Raises:
        InvalidArgument: its times or its action will not do (codes of `timing.spec_of` and `actions.checks`).
        NotFound: the workspace does not exist for the user.
        PermissionDenied: the user's role does not allow writing.
    """
    schedule = await asyncio.to_thread(
        _new,
        schedules,
        user,
        workspace_id=workspace_id,
        name=name,
        timing=timing,
        policies=policies,
        action=action,
    )
    check_action(action, schedules.egress)
    await schedules.memberships.require(user.user_id, workspace_id, WRITERS)
    async with schedules.database.transaction() as work:
        schedule = await _keeping_to_calendars(work, schedule)
        await check_resources(work, workspace_id=workspace_id, resources=policies.resources)
        await store.add(work, schedule)
        work.append(event_of(events_pb2.ScheduleCreated, schedule, schedule.created_at))
    schedules.on_due()
    return schedule


async def put_schedule(
    schedules: Schedules,
    user: UserPrincipal,
    *,
    workspace_id: UUID,
    name: str,
    timing: Timing,
    policies: Policies,
    action: Mapping[str, Any],
) -> Schedule:
    """Create the schedule of a name, or make the one that has it so.

    Raises:
        InvalidArgument, NotFound, PermissionDenied: as for `create_schedule`.
        Conflict: several schedules of the workspace have the name.
    """
    created = await asyncio.to_thread(
        _new,
        schedules,
        user,
        workspace_id=workspace_id,
        name=name,
        timing=timing,
        policies=policies,
        action=action,
    )
    check_action(action, schedules.egress)
    await schedules.memberships.require(user.user_id, workspace_id, WRITERS)
    async with schedules.database.transaction() as work:
        await check_resources(work, workspace_id=workspace_id, resources=policies.resources)
        named = await store.lock_named(work, workspace_id=workspace_id, name=name)
        if len(named) > 1:
            raise Conflict(
                "Several schedules have this name; change them by their ids.", code="SCHEDULE_NAME_AMBIGUOUS"
            )
        if named:
            members = {member: getattr(timing, member) for member in asdict(timing)}
            of_policies = {member: getattr(policies, member) for member in asdict(policies)}
            edits = Edits(action=action, timing=members, policies=of_policies)
            schedule = await _edit(work, named[0], edits, schedules.clock.now())
        else:
            schedule = await _keeping_to_calendars(work, created)
            await store.add(work, schedule)
            work.append(event_of(events_pb2.ScheduleCreated, schedule, schedule.created_at))
    schedules.on_due()
    schedules.on_runs()
    return schedule


async def edit_schedule(
    schedules: Schedules, user: UserPrincipal, *, schedule_id: UUID, edits: Edits, if_match: str = ""
) -> Schedule:
    """Change some members of a schedule (see `domain.edit`); what has come before is settled as it was.

    Raises:
        InvalidArgument: its new times or action will not do.
        NotFound: it does not exist, or not for the user.
        PermissionDenied: the user's role does not allow writing.
        PreconditionFailed: its entity tag is another.
    """
    check_action(edits.attempts if edits.action is None else edits.action, schedules.egress)

    async def change(work: UnitOfWork, schedule: Schedule) -> Schedule:
        if schedule.is_system and (edits.name is not None or edits.action is not None or edits.attempts):
            raise system.refused("Of a schedule of the system itself only the times can be changed.")
        await check_resources(work, workspace_id=schedule.workspace_id, resources=edits.policies.get("resources"))
        return await _edit(work, schedule, edits, schedules.clock.now())

    return await change_schedule(schedules, user, schedule_id, change, if_match=if_match)


async def pause_schedule(schedules: Schedules, user: UserPrincipal, *, schedule_id: UUID, note: str | None) -> Schedule:
    """Pause a schedule, from now on. Raises as `edit_schedule`."""
    now = schedules.clock.now()
    return await change_schedule(
        schedules,
        user,
        schedule_id,
        _switch(lambda schedule: domain.pause(schedule, note, now=now), events_pb2.SchedulePaused, now),
    )


async def resume_schedule(schedules: Schedules, user: UserPrincipal, *, schedule_id: UUID) -> Schedule:
    """Resume a schedule; what has come while it was paused stays skipped. Raises as `edit_schedule`."""
    now = schedules.clock.now()

    async def change(work: UnitOfWork, schedule: Schedule) -> Schedule:
        unfinished = await runs.unfinished(work, [(schedule.workspace_id, schedule.id)])
        is_running = schedule.id in unfinished
        with queries.refusing_timing():
            resume = _switch(
                lambda settled: domain.resume(settled, now=now, is_running=is_running), events_pb2.ScheduleResumed, now
            )
            return await resume(work, schedule)

    return await change_schedule(schedules, user, schedule_id, change)


async def run_schedule(schedules: Schedules, user: UserPrincipal, *, schedule_id: UUID, request_id: str | None) -> Run:
    """Start a run beside the schedule's times; with the same request id again, it is the same run.

    Raises as `edit_schedule`.
    """

    async def change(work: UnitOfWork, schedule: Schedule) -> Run:
        now = schedules.clock.now()
        run = Run(
            workspace_id=schedule.workspace_id,
            id=uuid5(schedule.id, f"{user.user_id}/{request_id}") if request_id else uuid7(),
            schedule_id=schedule.id,
            nominal_time=now,
            action=schedule.action,
            acts_for=schedule.created_by,
            available_at=now,
            manual=True,
            **priority_of(schedule),
        )
        return await runs.add_manual(work, run)

    return await change_schedule(schedules, user, schedule_id, change)


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
    now, user_id = schedules.clock.now(), system.as_seen(user, schedule_id)
    async with schedules.database.transaction() as work:
        found = await store.lock(work, user_id=user_id, schedule_id=schedule_id)
        if found is None:
            return False
        schedule, role = found
        require_role(role, WRITERS)
        if schedule.is_system:
            raise system.refused("Schedules of the system itself cannot be deleted; pause it.")
        await store.remove(work, schedule)
        work.append(event_of(events_pb2.ScheduleDeleted, schedule, now, version=schedule.version + 1))
    return True


def _new(
    schedules: Schedules,
    user: UserPrincipal,
    *,
    workspace_id: UUID,
    name: str,
    timing: Timing,
    policies: Policies,
    action: Mapping[str, Any],
) -> Schedule:
    now, schedule_id = schedules.clock.now(), uuid7()
    with queries.refusing_timing():
        next_fire_at = cursor_of(timing, policies, created_at=now, now=now, seed=str(schedule_id))
    return Schedule(
        id=schedule_id,
        workspace_id=workspace_id,
        name=name,
        timing=timing,
        policies=policies,
        action=action,
        next_fire_at=next_fire_at,
        created_by=user.user_id,
        created_at=now,
        updated_at=now,
    )


async def change_schedule(
    schedules: Schedules,
    user: UserPrincipal,
    schedule_id: UUID,
    change: Callable[[UnitOfWork, Schedule], Awaitable[Result]],
    *,
    if_match: str = "",
) -> Result:
    """Lock the schedule and let `change` do what it does; what that returns."""
    user_id = system.as_seen(user, schedule_id)
    for _attempt in range(2):
        async with schedules.database.transaction() as work:
            found = await store.lock(work, user_id=user_id, schedule_id=schedule_id)
            if found is not None:
                schedule, role = found
                require_role(role, WRITERS)
                if if_match not in ("", ANY_ETAG, schedule.etag):
                    raise PreconditionFailed(
                        f"The schedule has changed: its entity tag is {schedule.etag}.",
                        code="ETAG_MISMATCH",
                        metadata={"etag": schedule.etag},
                    )
                changed = await change(work, schedule)
        if found is not None:
            schedules.on_due()
            schedules.on_runs()
            return changed
        await schedules.memberships.refresh(user.user_id)
    raise queries.no_such_schedule()


async def _edit(work: UnitOfWork, locked: Schedule, edits: Edits, now: datetime) -> Schedule:
    # A time that has come and only waits for its part of the jitter starts now: afterwards it may be none.
    hurried = replace(locked, policies=replace(locked.policies, jitter_s=0))
    if edits.timing or edits.policies:
        hurried = await settle_all(work, hurried, now)
    schedule = replace(hurried, policies=locked.policies)
    is_running = False
    if edits.timing:
        timing = replace(locked.timing, **edits.timing)
        schedule = replace(schedule, days_off=await _days_off(work, schedule.workspace_id, timing))
        if timing.delay_s is not None:
            is_running = bool(await runs.unfinished(work, [(schedule.workspace_id, schedule.id)]))
    with queries.refusing_timing():
        edited = domain.edit(schedule, edits, now=now, is_running=is_running)
    await store.save(work, edited)
    if edited is not schedule:
        work.append(event_of(events_pb2.ScheduleUpdated, edited, now))
    return edited


async def _keeping_to_calendars(work: UnitOfWork, schedule: Schedule) -> Schedule:
    """A new schedule with its calendars, held until the commit, and the first time that they leave."""
    days_off = await _days_off(work, schedule.workspace_id, schedule.timing)
    if not days_off:
        return schedule
    with queries.refusing_timing():
        cursor = await asyncio.to_thread(
            cursor_of,
            schedule.timing,
            schedule.policies,
            created_at=schedule.created_at,
            now=schedule.created_at,
            seed=str(schedule.id),
            days_off=days_off,
        )
    return replace(schedule, days_off=days_off, next_fire_at=cursor)


async def _days_off(work: UnitOfWork, workspace_id: UUID, timing: Timing) -> tuple[DaysOff | OnlyOn, ...]:
    found = await calendars.hold(work, workspace_id=workspace_id, ids=timing.calendar_ids)
    require_all(timing, found)
    return days_left_out(timing, found)


def _switch(
    decide: Callable[[Schedule], Schedule], event: Any, now: datetime
) -> Callable[[UnitOfWork, Schedule], Awaitable[Schedule]]:
    async def change(work: UnitOfWork, locked: Schedule) -> Schedule:
        schedule = await settle_all(work, locked, now)
        switched = decide(schedule)
        if switched is not schedule:
            await store.save(work, switched)
            work.append(event_of(event, switched, now))
        return switched

    return change


async def settle_all(work: UnitOfWork, schedule: Schedule, now: datetime) -> Schedule:
    """Settle everything of a locked schedule that has come."""
    for _round in range(_ROUNDS):
        before = schedule
        ((schedule, _starts),) = await settle(work, [before], now)
        if schedule.next_fire_at == before.next_fire_at:
            return schedule
    raise Unavailable("The schedule is still catching up with missed times; try again shortly.", code="CATCHING_UP")
