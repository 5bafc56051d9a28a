"""What reads runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.errors import NotFound

from rota_scheduler.runs import allotting, calls
from rota_scheduler.runs.domain import Status

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal

    from rota_scheduler.runs.allocation import WaitReason
    from rota_scheduler.runs.dependencies import Runs
    from rota_scheduler.runs.domain import Run


async def get_run(runs: Runs, user: UserPrincipal, *, run_id: UUID) -> tuple[Run, str]:
    """One run, and the user's role in its workspace.

    Raises:
        NotFound: it does not exist, or not for the user.
    """
    found = await calls.find(runs.database, user_id=user.user_id, run_id=run_id)
    if found is None:
        await runs.memberships.refresh(user.user_id)
        found = await calls.find(runs.database, user_id=user.user_id, run_id=run_id)
    if found is None:
        raise no_such_run()
    return found


async def wait_reason(runs: Runs, run: Run) -> WaitReason | None:
    """Why a run does not start whose time has come; None when it does, or somebody is about to take it."""
    now = runs.clock.now()
    is_due = run.status is Status.PENDING and run.available_at is not None and run.available_at <= now
    if not run.is_allotted or not is_due:
        return None
    return await allotting.wait_reason(runs.database, run, now=now)


async def list_runs(
    runs: Runs,
    user: UserPrincipal,
    *,
    workspace_id: UUID | None,
    status: Status | None,
    limit: int,
    before: UUID | None,
) -> Sequence[Run]:
    """The newest runs that the user may see (see `calls.page`).

    Raises:
        NotFound: the user does not belong to the workspace.
    """
    if workspace_id is not None:
        await runs.memberships.require(user.user_id, workspace_id)
    return await calls.page(
        runs.database, user_id=user.user_id, workspace_id=workspace_id, status=status, limit=limit, before=before
    )


async def list_dead_letters(
    runs: Runs, user: UserPrincipal, *, workspace_id: UUID | None, limit: int, before: UUID | None
) -> Sequence[Run]:
    """The newest dead letters that the user may see (see `calls.dead`).

    Raises:
        NotFound: the user does not belong to the workspace.
    """
    if workspace_id is not None:
        await runs.memberships.require(user.user_id, workspace_id)
    return await calls.dead(runs.database, user_id=user.user_id, workspace_id=workspace_id, limit=limit, before=before)


def no_such_run() -> NotFound:
    """The answer for a run that does not exist, or that the caller may not see."""
    return NotFound("There is no such run.", code="RUN_NOT_FOUND")
