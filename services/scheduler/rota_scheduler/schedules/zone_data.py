"""When the rules of time zones change: cursors ahead are worked out anew.

The version of the data that the cursors come from is in the database, and is written after the last of them. Two
that start at once take turns by the rows' locks, and the second finds nothing to change; what one that dies has left,
the next start does. Nominal times that have come are never touched.
"""

from __future__ import annotations

from importlib.metadata import version as version_of
from typing import TYPE_CHECKING

from rota_chassis.logs import logger
from rota_chassis.postgres.statements import statement
from sqlalchemy import Column, MetaData, Table, Text, bindparam, select, update

from rota_scheduler.schedules import store
from rota_scheduler.schedules.replanning import replan
from rota_scheduler.schedules.spec import next_after

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from rota_chassis.clock import Clock
    from rota_chassis.postgres.database import Database

    from rota_scheduler.schedules.domain import Schedule

_INSTALLED = version_of("tzdata")
ZONE_DATA = Table("zone_data", MetaData(), Column("version", Text, nullable=False))
_GET = statement(select(ZONE_DATA.c.version))
_SET = statement(update(ZONE_DATA).values(version=bindparam("version")))
_LOG = logger(__name__)


async def follow_zone_data(
    database: Database, clock: Clock, *, on_due: Callable[[], None], version: str = _INSTALLED
) -> int:
    """Work out the cursors of schedules with a time zone anew, if they come from another version of the data.

    Returns:
        How many have changed.
    """
    if await database.fetch_value(_GET) == version:
        return 0
    changed = await replan(
        database,
        clock,
        lock=lambda work, *, ahead_of, after, limit: store.lock_zoned(
            work, ahead_of=ahead_of, after=after and (after["workspace_id"], after["id"]), limit=limit
        ),
        moved=_moved,
    )
    async with database.transaction() as work:
        await work.execute(_SET, version=version)
    if changed:
        on_due()
    _LOG.info("zone_data.followed", version=version, changed=changed)
    return changed


def _moved(schedules: Sequence[Schedule], now: datetime) -> Sequence[tuple[Schedule, datetime | None]]:
    """The schedules whose next time is another now, with it."""
    moved = []
    for schedule in schedules:
        if schedule.timing.delay_s is not None:
            # It counts from the end of a run, whatever the clocks show.
            continue
        cursor = next_after(schedule.spec, now)
        if cursor != schedule.next_fire_at:
            moved.append((schedule, cursor))
    return moved
