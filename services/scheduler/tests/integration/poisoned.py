"""Rows such as nobody writes, and what becomes of their batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota_chassis.postgres.statements import statement
from rota_scheduler.runs import store as runs
from rota_scheduler.runs.domain import Status
from rota_scheduler.runs.messages import listed
from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime

    from rota_chassis.postgres.database import Database
    from rota_chassis.testing.clock import ManualClock
    from rota_scheduler.runs.domain import Run

    Tick = Callable[[], Awaitable[datetime | None]]

MANY = 7
"""Rows of a batch, one of which is poisoned."""


async def spoil(database: Database, sql: str, **values: Any) -> None:
    """Make a row such as nobody writes."""
    async with database.transaction() as work:
        assert await work.execute(statement(text(sql)), **values) == 1


async def drain(tick: Tick, clock: ManualClock) -> None:
    """Tick until nothing is due."""
    for _ in range(100):
        due = await tick()
        if due is None or due > clock.now():
            return
    raise AssertionError("it goes on for ever")


async def ended_as(database: Database, found: Sequence[Run], *, failed: Run) -> None:
    """One has failed, and all others have succeeded; each can be listed."""
    for each in found:
        run = await runs.get(database, workspace_id=each.workspace_id, run_id=each.id)
        assert run is not None
        assert run.status is (Status.FAILED if each is failed else Status.SUCCEEDED)
        assert bool(listed(run).error) is (each is failed)
