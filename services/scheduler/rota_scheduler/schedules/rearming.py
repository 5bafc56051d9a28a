"""Giving schedules whose times count from completions their next time, in the transaction that ends a run of theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_scheduler.schedules import store
from rota_scheduler.schedules.domain import after_completion

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from uuid import UUID

    from rota_chassis.postgres.work import UnitOfWork


async def rearm(work: UnitOfWork, waiting: Iterable[tuple[UUID, UUID]], now: datetime) -> None:
    """Let locked schedules, by (workspace, id), of which a run has just ended, have a next time if they wait for it."""
    for workspace_id, schedule_id in waiting:
        schedule = await store.lock_alone(work, workspace_id=workspace_id, schedule_id=schedule_id)
        if schedule is None:
            continue
        armed = after_completion(schedule, now=now)
        if armed is not schedule:
            await store.advance(work, [(schedule, armed.next_fire_at, 0)])
