"""Runs that cannot be handled: they fail, without an attempt, and land in the dead letters."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from rota_chassis.batches import put_aside

from rota_scheduler.runs import store
from rota_scheduler.runs.messages import run_ended, run_message
from rota_scheduler.runs.tables import run_of
from rota_scheduler.schedules import store as schedules
from rota_scheduler.schedules.rearming import rearm

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from rota_chassis.batches import Fault
    from rota_chassis.postgres.database import Database
    from rota_chassis.postgres.work import UnitOfWork


async def give_up(work: UnitOfWork, row: Mapping[str, Any], fault: Fault, *, fence: int, now: datetime) -> None:
    """Let a run fail, if it still has this fence. What nobody could show of it is taken from it.

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
    if taken_away := _unreadable(failed):
        failed = await store.rewrite(work, failed, taken_away)
    await store.release(work, [of_schedule], available_at=now)
    if fault.is_told:
        await rearm(work, waiting, now)
        work.append(*run_ended(run_of(failed), now))


async def give_up_waiting(
    database: Database, unreadable: Sequence[tuple[Mapping[str, Any], Exception]], *, now: datetime
) -> None:
    """Let runs fail that nobody could claim, by their rows, for what is wrong with each."""
    for row, error in unreadable:
        set_aside = partial(give_up, fence=row["fence"], now=now)
        await put_aside(database, "run", row, error, set_aside, workspace_id=row["workspace_id"], id=row["id"])


def _unreadable(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is to be changed of a run that has failed so that it can be shown among the others."""
    shared = {"allocation": None, "work": None}
    projects = row["action"].get("of_projects") if isinstance(row["action"], dict) else None
    hidden = {"of_projects": [each for each in projects if isinstance(each, str)]} if isinstance(projects, list) else {}
    for changes in ({}, shared):
        try:
            run_message(run_of({**row, **changes}))
        except (AttributeError, KeyError, TypeError, ValueError):
            continue
        return changes
    # Whoever may not see a project must not see the run either.
    return shared | {"action": hidden}
