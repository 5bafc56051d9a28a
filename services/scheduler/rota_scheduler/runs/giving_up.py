"""Runs that cannot be handled: they fail, without an attempt, and land in the dead letters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota_scheduler.runs import store
from rota_scheduler.runs.messages import run_ended
from rota_scheduler.runs.tables import run_of
from rota_scheduler.schedules import store as schedules
from rota_scheduler.schedules.rearming import rearm

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from rota_chassis.batches import Fault
    from rota_chassis.postgres.database import UnitOfWork


async def give_up(work: UnitOfWork, row: Mapping[str, Any], fault: Fault, *, fence: int, now: datetime) -> None:
    """Let a run fail, if it still has this fence.

    Args:
        work: The transaction.
        row: Names the run, by `workspace_id`, `id` and `schedule_id`.
        fault: Why; when it is told, its schedule goes on that waits for its end.
        fence: As it was before it was taken.
        now: When that is.
    """
    of_schedule = (row["workspace_id"], row["schedule_id"])
    # As whoever ends runs does: the schedule first.
    _, waiting = await schedules.lock_counts(work, [of_schedule])
    error = f"It could not be run ({fault.reason})."
    failed = await store.fail(
        work, workspace_id=row["workspace_id"], run_id=row["id"], fence=fence, error=error, finished_at=now
    )
    if failed is None:
        return
    await store.release(work, [of_schedule], available_at=now)
    if fault.is_told:
        await rearm(work, waiting, now)
        work.append(*run_ended(run_of(failed), now))
