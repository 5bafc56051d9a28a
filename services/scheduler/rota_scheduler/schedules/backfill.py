"""Starting runs for nominal times that have passed.

Two at once: the schedule's row is locked first, so the second finds the runs of the first. Dying before the commit
leaves nothing. A call that comes twice starts nothing the second time, since a nominal time has one run at most.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice, takewhile
from typing import TYPE_CHECKING

from rota_chassis.errors import InvalidArgument, Violation
from rota_chassis.ids import uuid7

from rota_scheduler.ledger import store as ledger
from rota_scheduler.runs import store as runs
from rota_scheduler.runs.domain import Run
from rota_scheduler.schedules.catchup import latest_up_to
from rota_scheduler.schedules.commands import change_schedule, settle_all
from rota_scheduler.schedules.firing import priority_of
from rota_scheduler.schedules.spec import next_after, times_after

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal
    from rota_chassis.postgres.work import UnitOfWork

    from rota_scheduler.schedules.dependencies import Schedules
    from rota_scheduler.schedules.domain import Schedule

MOST = 10_000
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Backfilled:
    """The fields are those of rota.scheduler.v1.BackfillScheduleResponse."""

    nominal_times: int
    started: int


async def backfill_schedule(
    schedules: Schedules,
    user: UserPrincipal,
    *,
    schedule_id: UUID,
    start: datetime,
    end: datetime,
    one_by_one: bool,
    dry_run: bool,
) -> Backfilled:
    """Start runs for the nominal times from `start` on and before `end` that have none.

    Raises:
        InvalidArgument: the range is empty, not past, or has more than `MOST` nominal times (INVALID_BACKFILL).
        NotFound, PermissionDenied: as for `commands.edit_schedule`.
    """
    now = schedules.clock.now()
    if not start < end <= now:
        raise _refused("to", "must be later than `from` and not ahead")

    async def change(work: UnitOfWork, locked: Schedule) -> Backfilled:
        if locked.timing.delay_s is not None:
            raise _refused("from", "is before runs from whose ends the times would count")
        # What has come and waits only for a scheduler fires, or is skipped, as it would have been.
        schedule = locked if dry_run else await settle_all(work, locked, now)
        # In a thread: a rule that hardly ever matches may take a moment.
        times = await asyncio.to_thread(_times, schedule, start, end)
        if len(times) > MOST:
            raise _refused("to", f"leaves more than {MOST:,} nominal times in the range")
        have = await runs.nominal_times(
            work, workspace_id=schedule.workspace_id, schedule_id=schedule.id, start=start, end=end
        )
        missing = [time for time in times if time not in have]
        if not dry_run and missing:
            await _start(work, schedule, missing, now, one_by_one=one_by_one)
            await _take_out(work, schedule, start, end, missing)
        return Backfilled(len(times), len(missing))

    return await change_schedule(schedules, user, schedule_id, change)


def _times(schedule: Schedule, start: datetime, end: datetime) -> Sequence[datetime]:
    """The nominal times of the range that are settled, one more than `MOST` at most."""
    before = end if schedule.next_fire_at is None else min(end, schedule.next_fire_at)
    times = takewhile(lambda time: time < before, times_after(schedule.spec, start - _INSTANT))
    return list(islice(times, MOST + 1))


async def _start(
    work: UnitOfWork, schedule: Schedule, times: Sequence[datetime], now: datetime, *, one_by_one: bool
) -> None:
    await runs.add(
        work,
        [
            Run(
                workspace_id=schedule.workspace_id,
                id=uuid7(),
                schedule_id=schedule.id,
                nominal_time=time,
                action=schedule.action,
                acts_for=schedule.created_by,
                available_at=None if one_by_one else now,
                due_at=now,
                buffered=one_by_one,
                backfilled=True,
                **priority_of(schedule),
            )
            for time in times
        ],
    )
    if one_by_one:
        await runs.release(work, [(schedule.workspace_id, schedule.id)], available_at=now)


async def _take_out(
    work: UnitOfWork, schedule: Schedule, start: datetime, end: datetime, times: Sequence[datetime]
) -> None:
    """Let the ledger no longer say of the times that they were skipped."""
    taken = await ledger.take_skips(
        work, workspace_id=schedule.workspace_id, schedule_id=schedule.id, start=start, end=end
    )
    ran, kept = frozenset(times), []
    for skip in taken:
        if skip.through == skip.first:
            kept += [] if skip.first in ran else [skip]
            continue
        if skip.first < start:
            kept.append(skip.until(latest_up_to(schedule, skip.first, start - _INSTANT)))
        later = next_after(schedule.spec, end - _INSTANT) if skip.through >= end else None
        if later is not None and later <= skip.through:
            kept.append(skip.since(later))
    await ledger.add(work, [(schedule, skip) for skip in kept])


def _refused(field: str, description: str) -> InvalidArgument:
    return InvalidArgument(
        f"The field {field} {description}.",
        code="INVALID_BACKFILL",
        violations=[Violation(field, description, "invalid_backfill")],
    )
