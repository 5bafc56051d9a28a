"""What reads schedules and their runs."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from rota_chassis.errors import InvalidArgument, NotFound, Violation
from rota_chassis.identity import ROLE_ADMIN

from rota_scheduler.calendars import store as calendars
from rota_scheduler.calendars.queries import require_all
from rota_scheduler.ledger import store as ledger
from rota_scheduler.runs import store as runs
from rota_scheduler.schedules import store, system
from rota_scheduler.schedules.days_off import WorkingTimes, days_left_out
from rota_scheduler.schedules.local import Note
from rota_scheduler.schedules.spec import next_after, times_after
from rota_scheduler.schedules.timing import RefusedTiming, spec_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal

    from rota_scheduler.ledger.domain import Entry
    from rota_scheduler.runs.domain import Run
    from rota_scheduler.schedules.dependencies import Schedules
    from rota_scheduler.schedules.domain import Schedule
    from rota_scheduler.schedules.spec import Spec
    from rota_scheduler.schedules.timing import Timing

Times = tuple[tuple["datetime", "Note | None"], ...]


PREVIEW_AT_MOST_S = 1.0


def no_such_schedule() -> NotFound:
    """The answer to whoever may not know whether the schedule exists."""
    return NotFound("There is no such schedule.", code="SCHEDULE_NOT_FOUND")


@contextmanager
def refusing_timing() -> Iterator[None]:
    """Answers words that mean no times, as `InvalidArgument` of the same code."""
    try:
        yield
    except RefusedTiming as error:
        violation = Violation(error.field, error.description, error.code.lower())
        raise InvalidArgument(str(error), code=error.code, violations=[violation]) from error


async def get_schedule(schedules: Schedules, user: UserPrincipal, *, schedule_id: UUID) -> Schedule:
    """One schedule.

    Raises:
        NotFound: it does not exist, or not for the user.
    """
    user_id = system.as_seen(user, schedule_id)
    schedule = await store.get(schedules.database, user_id=user_id, schedule_id=schedule_id)
    if schedule is None:
        await schedules.memberships.refresh(user.user_id)
        schedule = await store.get(schedules.database, user_id=user_id, schedule_id=schedule_id)
    if schedule is None:
        raise no_such_schedule()
    return schedule


async def list_schedules(
    schedules: Schedules, user: UserPrincipal, *, limit: int, before: UUID | None, workspace_id: UUID | None
) -> Sequence[Schedule]:
    """The newest schedules that the user may see (see `store.page`).

    Raises:
        NotFound: the user does not belong to the workspace.
    """
    if workspace_id is not None:
        await schedules.memberships.require(user.user_id, workspace_id)
    found = await store.page(
        schedules.database, user_id=user.user_id, limit=limit, before=before, workspace_id=workspace_id
    )
    if workspace_id is None and user.role == ROLE_ADMIN and len(found) < limit:
        # Their ids are lower than any other, so they follow.
        own = await store.page(
            schedules.database, user_id=system.USER, limit=limit - len(found), before=before, workspace_id=None
        )
        return [*found, *own]
    return found


async def list_runs(
    schedules: Schedules, user: UserPrincipal, *, schedule_id: UUID, limit: int, before: datetime | None
) -> Sequence[Run]:
    """The newest runs of a schedule (see `runs.store.page`).

    Raises:
        NotFound: the schedule does not exist, or not for the user.
    """
    schedule = await get_schedule(schedules, user, schedule_id=schedule_id)
    return await runs.page(
        schedules.database,
        workspace_id=schedule.workspace_id,
        schedule_id=schedule.id,
        limit=limit,
        before=before,
    )


async def list_ledger(
    schedules: Schedules,
    user: UserPrincipal,
    *,
    schedule_id: UUID,
    start: datetime | None,
    end: datetime | None,
    after: datetime | None,
    limit: int,
) -> Sequence[Entry]:
    """What became of the nominal times of a schedule, oldest first (see `ledger.store.page`).

    Raises:
        NotFound: the schedule does not exist, or not for the user.
    """
    schedule = await get_schedule(schedules, user, schedule_id=schedule_id)
    return await ledger.page(
        schedules.database,
        workspace_id=schedule.workspace_id,
        schedule_id=schedule.id,
        start=start,
        end=end,
        after=after,
        limit=limit,
    )


async def preview_spec(
    schedules: Schedules, user: UserPrincipal, timing: Timing, *, after: datetime | None, count: int
) -> Times:
    """The next `count` times after `after`, or from now on, that an author's words mean.

    Raises:
        InvalidArgument: they mean none (codes of `timing.spec_of`).
        NotFound: they name a calendar that does not exist for the user.
    """
    start = after or schedules.clock.now()
    with refusing_timing():
        # In a thread, as below: a rule that hardly ever matches may take a moment.
        spec = bare = await asyncio.to_thread(spec_of, timing, created_at=start)
    ids = timing.calendar_ids
    if ids:
        found = await calendars.visible(schedules.database, user_id=user.user_id, ids=ids)
        if len(found) < len(ids):
            await schedules.memberships.refresh(user.user_id)
            found = await calendars.visible(schedules.database, user_id=user.user_id, ids=ids)
        require_all(timing, found)
        spec = WorkingTimes(spec, days_left_out(timing, found))
    return await asyncio.to_thread(_upcoming, spec, bare, start, count if timing.delay_s is None else 1)


async def preview_schedule(
    schedules: Schedules, user: UserPrincipal, *, schedule_id: UUID, after: datetime | None, count: int
) -> tuple[Schedule, Times]:
    """A schedule and its next `count` times after `after`, or from now on.

    Raises:
        NotFound: it does not exist, or not for the user.
    """
    schedule = await get_schedule(schedules, user, schedule_id=schedule_id)
    if schedule.timing.delay_s is not None:
        ahead = schedule.next_fire_at
        return schedule, ((ahead, None),) if ahead is not None and (after is None or ahead > after) else ()
    bare = replace(schedule, days_off=()).spec
    return schedule, await asyncio.to_thread(_upcoming, schedule.spec, bare, after or schedules.clock.now(), count)


def _upcoming(spec: Spec, bare: Spec, after: datetime, count: int) -> Times:
    """The next times of a sequence, noting what is peculiar about each; `bare` is the sequence without calendars."""
    found: list[tuple[datetime, Note | None]] = []
    stop_at = time.monotonic() + PREVIEW_AT_MOST_S
    for moment in islice(times_after(spec, after), count):
        before = found[-1][0] if found else after
        is_next = bare is spec or next_after(bare, before) == moment
        found.append((moment, spec.note(moment) or (None if is_next else Note.CALENDAR)))
        if time.monotonic() > stop_at:
            break
    return tuple(found)
