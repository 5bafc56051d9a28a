"""When a calendar changes: the next times of the schedules that keep to it are worked out anew.

A calendar knows from which of its versions the next times come; that is written after the last of them. Two that follow
at once take turns by the rows' locks, and the second finds nothing to change; what one that dies has left, another
does, from the beginning. A calendar that changes meanwhile is followed once more. Nominal times that have come are
never touched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.logs import logger

from rota_scheduler.calendars import store
from rota_scheduler.schedules import store as schedules
from rota_scheduler.schedules.replanning import replan
from rota_scheduler.schedules.spec import next_after

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from rota_scheduler.calendars.dependencies import Calendars
    from rota_scheduler.schedules.domain import Schedule

_LOG = logger(__name__)


async def follow_calendars(calendars: Calendars) -> datetime | None:
    """Follow one calendar that has changed; when to look next: at once after one, None when there is none."""
    calendar = await store.next_changed(calendars.database)
    if calendar is None:
        return None
    changed = await replan(
        calendars.database,
        calendars.clock,
        lock=lambda work, *, ahead_of, after, limit: schedules.lock_using(
            work,
            workspace_id=calendar.workspace_id,
            calendar_id=calendar.id,
            ahead_of=ahead_of,
            after=after and after["id"],
            limit=limit,
        ),
        moved=_moved,
    )
    async with calendars.database.transaction() as work:
        await store.followed(work, calendar)
    if changed:
        calendars.on_due()
    _LOG.info("calendar.followed", calendar_id=calendar.id, version=calendar.version, changed=changed)
    return calendars.clock.now()


def _moved(found: Sequence[Schedule], now: datetime) -> Sequence[tuple[Schedule, datetime | None]]:
    """The schedules whose next time is another now, with it; those that have started all their runs have none."""
    moved = []
    for schedule in found:
        most = schedule.policies.max_runs
        if most is not None and schedule.runs_started >= most:
            continue
        cursor = _next(schedule, now)
        if cursor != schedule.next_fire_at:
            moved.append((schedule, cursor))
    return moved


def _next(schedule: Schedule, now: datetime) -> datetime | None:
    """Its next time by its calendars; one that counts from the end of a run only leaves a day that is off now."""
    cursor = schedule.next_fire_at
    if schedule.timing.delay_s is None:
        return next_after(schedule.spec, now)
    passed = [each for days in schedule.days_off if cursor and (each := days.passed(cursor)) is not None]
    return next_after(schedule.spec, max(passed)) if passed else cursor
