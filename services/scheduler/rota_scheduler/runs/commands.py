"""What people do with runs: order, cancel, and try them once more; one function a use case, one transaction each.

Two at once: a run is locked before it is cancelled or replayed, so the second finds it ended, or replayed. Dying before
the commit leaves nothing. A call that is repeated with its request id returns the run of the first.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rota_chassis.errors import Conflict, InvalidArgument, NotFound, Unprocessable, Violation
from rota_chassis.ids import uuid7
from rota_chassis.memberships import WRITERS, require_role

from rota_scheduler import origins
from rota_scheduler.actions.checks import check_action
from rota_scheduler.resource_pools.checks import check_resources
from rota_scheduler.runs import calls, queries, store, uniques
from rota_scheduler.runs.allocation import allocation_of
from rota_scheduler.runs.domain import Debounce, Run, Status
from rota_scheduler.runs.messages import run_ended
from rota_scheduler.schedules import store as schedules
from rota_scheduler.schedules.rearming import rearm

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal
    from rota_chassis.postgres.work import UnitOfWork
    from rota_chassis.requests import Request

    from rota_scheduler.runs.dependencies import Runs

_CANCELLED = "It was cancelled."
_AT_ONCE = 500


async def create_run(
    runs: Runs,
    user: UserPrincipal,
    *,
    workspace_id: UUID,
    action: Mapping[str, Any],
    at: datetime | None,
    after: Sequence[UUID],
    request: Request | None,
    shares: Mapping[str, Any],
    unique: Mapping[str, Any] | None,
    debounce: Debounce | None,
    **of_run: Any,
) -> Run:
    """Order a run; it, or the one that stands for it.

    Args:
        runs: What it needs.
        user: Who orders it; it acts for them.
        workspace_id: Where.
        action: What to do, in the JSON form of rota.scheduler.v1.Action.
        at: When; None for now.
        after: The runs that must have ended before.
        request: Makes the call idempotent, if given.
        shares: What it shares beyond the number of its key, as `allocation_of` takes it.
        unique: The `key` of which there is to be one run in `period_s` seconds.
        debounce: Of which requests it is one, neither with a time nor with other runs to wait for.
        of_run: Priority and concurrency, as `Run` has them.

    Raises:
        NotFound: the workspace does not exist for the user, or one of the runs not in the workspace.
        PermissionDenied: the user's role does not allow writing.
        InvalidArgument: the action cannot be taken, or what it asks for is not there.
        Unprocessable: the request id was used for another content.
    """
    await runs.memberships.require(user.user_id, workspace_id, WRITERS)
    check_action(action, runs.egress)
    _check_debounce(debounce, after, unique)
    now = runs.clock.now()
    starts = debounce.starts_at(now, now) if debounce else max(at, now) if at else now
    run_id = uuid7()
    run = Run(
        workspace_id=workspace_id,
        id=run_id,
        schedule_id=run_id,
        nominal_time=starts,
        action=action,
        acts_for=user.user_id,
        available_at=None if after else starts,
        buffered=bool(after),
        manual=True,
        allocation=allocation_of(concurrency_key=of_run["concurrency_key"], **shares),
        **of_run,
    )
    async with runs.database.transaction() as work:
        first = await _first(work, user, run, request, now)
        if first is not None:
            return first
        await check_resources(work, workspace_id=workspace_id, resources=shares["resources"])
        stands = await _stands_for(work, run, unique, debounce, now)
        if stands is not None:
            if request is not None:
                await calls.point_request(work, user_id=user.user_id, request_id=request.id, run=stands)
            return stands
        strangers = await calls.strangers(work, user_id=user.user_id, workspace_id=workspace_id, run_ids=after)
        if strangers:
            raise NotFound(
                "There is no such run in the workspace to wait for.",
                code="RUN_NOT_FOUND",
                violations=[
                    Violation(f"after[{list(after).index(each)}]", "is no run of the workspace", "not_found")
                    for each in strangers
                ],
            )
        await store.add(work, [run])
        await calls.wait_for(work, run, after)
    runs.on_runs()
    return run


async def cancel_run(runs: Runs, user: UserPrincipal, *, run_id: UUID) -> Run:
    """End a run that has not ended; it, as it then is.

    Raises:
        NotFound: it does not exist, or not for the user.
        PermissionDenied: the user's role does not allow writing.
        Conflict: it has ended.
    """
    run, _role = await queries.get_run(runs, user, run_id=run_id)
    now = runs.clock.now()
    async with runs.database.transaction() as work:
        # As whoever ends runs does: the schedule first.
        _, waiting = await schedules.lock_counts(work, [(run.workspace_id, run.schedule_id)])
        found = await calls.lock_open(work, user_id=user.user_id, run_id=run_id)
        if found is None:
            raise Conflict("The run has ended already.", code="RUN_ENDED")
        run, role = found
        require_role(role, WRITERS)
        cancelled = await calls.cancel(work, run, error=_CANCELLED, finished_at=now)
        await store.release(work, [(run.workspace_id, run.schedule_id)], available_at=now)
        await rearm(work, waiting, now)
        work.append(*run_ended(cancelled, now))
    if run.status is Status.RUNNING:
        runs.on_terminated()
    runs.on_runs()
    return cancelled


async def retry_run(runs: Runs, user: UserPrincipal, *, run_id: UUID, request: Request | None) -> Run:
    """Take the action of a run that has ended once more; the new run.

    Raises:
        NotFound: it does not exist, or not for the user.
        PermissionDenied: the user's role does not allow writing.
        Conflict: it has not ended.
        Unprocessable: the request id was used for another content.
    """
    await queries.get_run(runs, user, run_id=run_id)
    now = runs.clock.now()
    async with runs.database.transaction() as work:
        ended = await _lock_ended(work, user, run_id)
        again = _again(ended, user, now)
        first = await _first(work, user, again, request, now)
        if first is not None:
            return first
        await _add_again(work, again, ended)
    runs.on_runs()
    return again


async def replay_dead_letter(runs: Runs, user: UserPrincipal, *, run_id: UUID) -> Run:
    """Take the action of a run that has failed once more; the new run, or the one there is.

    Raises:
        NotFound: it does not exist, or not for the user.
        PermissionDenied: the user's role does not allow writing.
        Conflict: it has not failed.
    """
    await queries.get_run(runs, user, run_id=run_id)
    now = runs.clock.now()
    async with runs.database.transaction() as work:
        failed = await _lock_ended(work, user, run_id)
        if failed.status is not Status.FAILED:
            raise Conflict("The run has not failed; only what has failed is replayed.", code="RUN_NOT_FAILED")
        there_is = await calls.retry_of(work, failed)
        if there_is is not None:
            found = await store.get(work, workspace_id=failed.workspace_id, run_id=there_is)
            if found is not None:
                return found
        again = _again(failed, user, now)
        await _add_again(work, again, failed)
    runs.on_runs()
    return again


async def start_waiting(runs: Runs) -> datetime | None:
    """Let runs start that wait for none any more; when to look again, None for in a while."""
    now = runs.clock.now()
    async with runs.database.transaction() as work:
        started = await calls.let_start(work, now=now, limit=_AT_ONCE)
    if started:
        runs.on_runs()
    return now if started == _AT_ONCE else None


async def _lock_ended(work: UnitOfWork, user: UserPrincipal, run_id: UUID) -> Run:
    found = await calls.lock_ended(work, user_id=user.user_id, run_id=run_id)
    if found is None:
        raise Conflict("The run has not ended yet; cancel it first.", code="RUN_NOT_ENDED")
    run, role = found
    require_role(role, WRITERS)
    return run


def _again(run: Run, user: UserPrincipal, now: datetime) -> Run:
    """A run as if somebody had ordered the action of another now."""
    run_id = uuid7()
    return Run(
        workspace_id=run.workspace_id,
        id=run_id,
        schedule_id=run.schedule_id if origins.is_of_schedule(run) else run_id,
        nominal_time=now,
        action=run.action,
        acts_for=user.user_id,
        available_at=now,
        manual=True,
        priority=run.priority,
        concurrency_key=run.concurrency_key,
        concurrency_limit=run.concurrency_limit,
        allocation=run.allocation,
    )


async def _add_again(work: UnitOfWork, again: Run, run: Run) -> None:
    # So that no two runs of a schedule have one nominal time.
    await schedules.lock_counts(work, [(again.workspace_id, again.schedule_id)])
    added = await store.add_manual(work, again)
    origin = await origins.of_run(work, run)
    await origins.add(work, [added], replace(origin, retry_of=run.id))


def _check_debounce(debounce: Debounce | None, after: Sequence[UUID], unique: Mapping[str, Any] | None) -> None:
    clashing = [name for name, given in (("after", after), ("unique", unique)) if given]
    if debounce is not None and clashing:
        raise InvalidArgument(
            f"debounce cannot be given together with {' and '.join(clashing)}.",
            code="INVALID_FIELDS",
            violations=[
                Violation("debounce", f"cannot be given together with {each}", "conflict") for each in clashing
            ],
        )


async def _stands_for(
    work: UnitOfWork, run: Run, unique: Mapping[str, Any] | None, debounce: Debounce | None, now: datetime
) -> Run | None:
    """The run that stands for a new one; None when that stands for itself."""
    if unique is not None:
        wanted = uniques.Wanted(run.workspace_id, unique["key"], unique["period_s"], run.id)
        if run.id in await uniques.take(work, [wanted], now=now):
            return None
        taken_by = await uniques.taken_by(work, workspace_id=run.workspace_id, key=unique["key"])
        found = taken_by and await store.get(work, workspace_id=run.workspace_id, run_id=taken_by)
        if not found:
            await uniques.point(work, wanted, now=now)
        return found or None
    if debounce is not None:
        run_id, first_at = await uniques.follow(work, run, key=debounce.key, now=now)
        if run_id == run.id:
            return None
        starts = debounce.starts_at(now, first_at)
        found = await uniques.put_off(work, run_id, replace(run, nominal_time=starts, available_at=starts))
        if found is None:
            await uniques.begin(work, run, key=debounce.key, now=now)
        return found
    return None


async def _first(work: UnitOfWork, user: UserPrincipal, run: Run, request: Request | None, now: datetime) -> Run | None:
    """The run of the first call with this request id; None when this is the first."""
    if request is None:
        return None
    first = await calls.record_request(
        work,
        workspace_id=run.workspace_id,
        user_id=user.user_id,
        request_id=request.id,
        fingerprint=request.fingerprint,
        run_id=run.id,
        now=now,
    )
    if first is None:
        return None
    fingerprint, run_id = first
    if fingerprint != request.fingerprint:
        raise Unprocessable("This idempotency key was used for another run; use a new one.", code="REQUEST_ID_REUSED")
    found = await store.get(work, workspace_id=run.workspace_id, run_id=run_id)
    if found is None:
        raise queries.no_such_run()
    return found
