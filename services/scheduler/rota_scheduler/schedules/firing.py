"""Firing the schedules that are due."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.ids import uuid7

from rota_scheduler.metrics import LATENESS_SECONDS
from rota_scheduler.runs import store as runs
from rota_scheduler.runs.domain import Run
from rota_scheduler.schedules import catchup, store
from rota_scheduler.ticker import next_tick

if TYPE_CHECKING:
    from datetime import datetime

    from rota_scheduler.schedules.dependencies import Schedules
    from rota_scheduler.schedules.domain import Schedule

BATCH = 200


async def fire_schedules(schedules: Schedules) -> datetime | None:
    """Fire a batch of the schedules that are due; each cursor moves in the transaction that adds its runs.

    Returns:
        When to fire next: at once while there may be more, None when no schedule waits.
    """
    next_due = await store.next_due(schedules.database)
    now = schedules.clock.now()
    if next_due is None or next_due > now:
        return next_due
    async with schedules.database.transaction() as work:
        taken = await store.take_due(work, now=now, limit=BATCH)
        owed = [(schedule, catchup.due(schedule.spec, schedule.next_fire_at or now, now)) for schedule in taken]
        await store.advance(work, [(schedule, due.next_fire_at) for schedule, due in owed])
        await runs.add(work, [_run(schedule, time, now) for schedule, due in owed for time in due.nominal_times])
    for _, due in owed:
        LATENESS_SECONDS.labels("schedule").observe((now - due.nominal_times[-1]).total_seconds())
    if owed:
        schedules.on_runs()
    return next_tick(now, taken=len(taken), batch=BATCH, due=await store.next_due(schedules.database))


def _run(schedule: Schedule, nominal_time: datetime, now: datetime) -> Run:
    return Run(
        workspace_id=schedule.workspace_id,
        id=uuid7(),
        schedule_id=schedule.id,
        nominal_time=nominal_time,
        action=schedule.action,
        acts_for=schedule.created_by,
        available_at=now,
    )
