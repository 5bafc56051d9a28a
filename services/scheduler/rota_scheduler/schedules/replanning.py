"""Working out the next times of many schedules anew, as what they follow from has changed."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from rota_chassis.batches import handle_batch

from rota_scheduler.schedules import store
from rota_scheduler.schedules.firing import set_aside

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from rota_chassis.clock import Clock
    from rota_chassis.postgres.database import Database
    from rota_chassis.postgres.work import UnitOfWork

    from rota_scheduler.schedules.domain import Schedule

BATCH = 200


class Lock(Protocol):
    """Locks the next schedules after one whose row is given, in an order of their own."""

    async def __call__(
        self, work: UnitOfWork, *, ahead_of: datetime, after: Mapping[str, Any] | None, limit: int
    ) -> Sequence[Mapping[str, Any]]:
        """The rows of at most `limit` schedules whose next time is later than `ahead_of`."""
        ...


async def replan(
    database: Database,
    clock: Clock,
    *,
    lock: Lock,
    moved: Callable[[Sequence[Schedule], datetime], Sequence[tuple[Schedule, datetime | None]]],
) -> int:
    """Move the cursors of schedules, some in a transaction; one that cannot be read is paused.

    Args:
        database: Where they are.
        clock: Whose time counts.
        lock: Which they are.
        moved: Those of them whose next time is another, with it.

    Returns:
        How many have moved.
    """
    changed = 0
    last: Mapping[str, Any] | None = None
    asked, rows = 0, []

    async def take(work: UnitOfWork, limit: int) -> Sequence[Mapping[str, Any]]:
        nonlocal asked, rows
        asked, rows = limit, list(await lock(work, ahead_of=clock.now(), after=last, limit=limit))
        return rows

    async def move(work: UnitOfWork, locked: Sequence[Mapping[str, Any]]) -> int:
        # In a thread: a rule that hardly ever matches may take a moment.
        found = await asyncio.to_thread(moved, await store.whole(work, locked), clock.now())
        await store.advance(work, [(schedule, cursor, 0) for schedule, cursor in found])
        return len(found)

    while True:
        count = await handle_batch(
            database, "schedule", most=BATCH, take=take, handle=move, set_aside=partial(set_aside, now=clock.now())
        )
        changed += count or 0
        if len(rows) < asked:
            return changed
        last = rows[-1]
