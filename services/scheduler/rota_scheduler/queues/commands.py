"""What workers do with jobs: claim, keep, end and give them back; one function a use case.

Whatever a worker says of a job carries the fence of its claim, and is written on condition that the run still has it.
Two at once: one writes, and the other finds what it has written; the same word said twice is answered as the first.
Dying before the commit leaves the run claimed; its lease ends, and it is claimed again.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from contextvars import copy_context
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from rota_chassis.batches import handle_batch
from rota_chassis.errors import Conflict
from rota_chassis.memberships import WRITERS, require_role

from rota_scheduler.queues import store
from rota_scheduler.runs import calls, completions, holding
from rota_scheduler.runs.completions import Completion
from rota_scheduler.runs.domain import Failed, Status, Succeeded
from rota_scheduler.runs.giving_up import give_up, give_up_waiting
from rota_scheduler.runs.queries import no_such_run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from uuid import UUID

    from rota_chassis.batches import Fault
    from rota_chassis.identity import UserPrincipal
    from rota_chassis.postgres.work import UnitOfWork

    from rota_scheduler.queues.dependencies import Queues
    from rota_scheduler.queues.store import Claimed, Place, Taken
    from rota_scheduler.runs.domain import Outcome, Run

Job = TypeVar("Job")

CONTENDED_TRIES = 20
CONTENDED_S = (0.01, 0.05)


async def claim_runs(
    queues: Queues,
    user: UserPrincipal,
    *,
    place: Place,
    limit: int,
    wait_s: float,
    lease_s: int,
    worker: str,
    told: Callable[[Run], Job],
) -> Sequence[Job]:
    """Take jobs from a queue; when there is none, wait for one. None are given when there was none in time.

    Args:
        queues: What it needs.
        user: Who asks.
        place: The queue.
        limit: How many at most.
        wait_s: How long to wait; no connection to the database is held meanwhile.
        lease_s: How long the leases last.
        worker: Who takes them, for people.
        told: What the worker is told of a job. One of which it cannot be told fails instead.

    Raises:
        NotFound: the workspace does not exist for the user.
        PermissionDenied: the user's role does not allow writing.
    """
    await queues.memberships.require(user.user_id, place[0], WRITERS)
    loop = asyncio.get_running_loop()
    until = loop.time() + wait_s
    with queues.waiting.at(place) as something:
        while True:
            something.clear()
            jobs = await _claim(queues, place, limit=limit, said={"lease_s": lease_s, "worker": worker}, told=told)
            remaining_s = until - loop.time()
            if jobs or remaining_s <= 0:
                return jobs
            with suppress(TimeoutError):
                async with asyncio.timeout(remaining_s):
                    await something.wait()


async def heartbeat_run(
    queues: Queues, user: UserPrincipal, *, run_id: UUID, fence: int, percent: int | None, message: str | None
) -> Run:
    """Prolong the lease of a job, and note how far it is; the run as it is: it may have been cancelled.

    Raises:
        NotFound: it does not exist, or not for the user.
        PermissionDenied: the user's role does not allow writing.
        Conflict: it is not held with the fence (LEASE_LOST).
    """
    run = await _find(queues, user, run_id)
    now = queues.clock.now()
    said: dict[str, Any] = {"reported_at": now.isoformat()}
    said |= {name: value for name, value in (("percent", percent), ("message", message)) if value is not None}
    if run.queue is not None and run.fence == fence:
        async with queues.database.transaction() as work:
            until = await store.keep(work, run, fence=fence, now=now, said=said)
        if until is not None:
            return replace(run, available_at=until)
        run = await _find(queues, user, run_id)
        if run.fence == fence and run.status is Status.CANCELLED:
            return run
    raise _not_held(run, fence)


async def complete_run(queues: Queues, user: UserPrincipal, *, run_id: UUID, fence: int, result: Any) -> Run:
    """End a job that has succeeded; the run as it ended.

    Raises:
        NotFound: it does not exist, or not for the user.
        PermissionDenied: the user's role does not allow writing.
        Conflict: it is not held with the fence (LEASE_LOST), or has been cancelled (RUN_CANCELLED).
    """
    return await _end(queues, user, run_id, fence, Succeeded(result=result), said_before={Status.SUCCEEDED})


async def fail_run(
    queues: Queues, user: UserPrincipal, *, run_id: UUID, fence: int, error: str, retryable: bool
) -> Run:
    """End an attempt at a job that has failed; the run as it is then.

    Raises:
        NotFound: it does not exist, or not for the user.
        PermissionDenied: the user's role does not allow writing.
        Conflict: it is not held with the fence (LEASE_LOST), or has been cancelled (RUN_CANCELLED).
    """
    outcome = Failed(error, retryable=retryable)
    return await _end(queues, user, run_id, fence, outcome, said_before={Status.FAILED, Status.PENDING})


async def release_run(queues: Queues, user: UserPrincipal, *, run_id: UUID, fence: int) -> Run:
    """Give a job back as if it had not been claimed; the run as it is then.

    Raises:
        NotFound: it does not exist, or not for the user.
        PermissionDenied: the user's role does not allow writing.
        Conflict: it is not held with the fence (LEASE_LOST), or has been cancelled (RUN_CANCELLED).
    """
    run = await _find(queues, user, run_id)
    given = 0
    if run.queue is not None:
        async with queues.database.transaction() as work:
            given = await holding.give_back(work, [replace(run, fence=fence)], available_at=queues.clock.now())
    if given:
        queues.on_runs()
    return _as_said(await _find(queues, user, run_id), fence, {Status.PENDING})


async def _claim(
    queues: Queues, place: Place, *, limit: int, said: dict[str, Any], told: Callable[[Run], Job]
) -> list[Job]:
    """What can be claimed now, by one look at each lane at most."""
    after = queues.waiting.after.pop(place, "")
    whole = after == ""
    tries = 0
    while True:
        found = await _look(queues, place, limit=limit, said=said, after=after, told=told)
        if found is None:
            continue
        claimed, jobs = found
        if claimed.ended:
            queues.on_runs()
        if claimed.contended and not jobs and tries < CONTENDED_TRIES:
            tries += 1
            await asyncio.sleep(queues.jitter(*CONTENDED_S))
            continue
        after = claimed.lane or ""
        if jobs or (whole and not after):
            # Who claims next looks at the lanes that come then, so that each has its turn.
            if after:
                queues.waiting.after[place] = after
            return jobs
        whole = whole or not after


async def _look(
    queues: Queues, place: Place, *, limit: int, said: dict[str, Any], after: str, told: Callable[[Run], Job]
) -> tuple[Claimed, list[Job]] | None:
    """Claim what the next look finds; None when what nobody can read failed instead, so that there may be more."""
    now = queues.clock.now()
    taken: Taken

    async def take(work: UnitOfWork, most: int) -> Sequence[Mapping[str, Any]]:
        nonlocal taken
        reported = {**said, "reported_at": now.isoformat()}
        taken = await store.take(work, place, now=now, limit=most, said=reported, after=after)
        return taken.rows

    async def begin(work: UnitOfWork, _rows: Sequence[Mapping[str, Any]]) -> tuple[Claimed, list[Job], list[Run]]:
        claimed = await store.begin(work, taken, now=now)
        jobs, spent = [], []
        for run in claimed.runs:
            if run.attempts <= run.retry.max_attempts:
                jobs.append(told(run))
            else:
                spent.append(run)
        return claimed, jobs, spent

    async def set_aside(work: UnitOfWork, row: Mapping[str, Any], fault: Fault) -> None:
        await give_up(work, row, fault, fence=row["fence"] - 1, now=now)

    begun = await handle_batch(queues.database, "run", most=limit, take=take, handle=begin, set_aside=set_aside)
    if taken.allotted.unreadable:
        await give_up_waiting(queues.database, taken.allotted.unreadable, now=now)
    if begun is None:
        queues.on_runs()
        return None
    claimed, jobs, spent = begun
    await fail_spent(queues, spent)
    if taken.allotted.unreadable:
        queues.on_runs()
        return (claimed, jobs) if jobs else None
    return claimed, jobs


async def fail_spent(queues: Queues, runs: Sequence[Run]) -> None:
    """End taken runs that may not be attempted again, as their workers were never heard of again."""
    if runs:
        lost = "Every attempt ended without a word."
        await _settle(
            queues, [Completion(run, Failed(run.error or lost, retryable=False), copy_context()) for run in runs]
        )


async def _end(
    queues: Queues, user: UserPrincipal, run_id: UUID, fence: int, outcome: Outcome, *, said_before: set[Status]
) -> Run:
    run = await _find(queues, user, run_id)
    if run.queue is not None and run.fence == fence:
        await _settle(queues, [Completion(run, outcome, copy_context())])
        run = await _find(queues, user, run_id)
    return _as_said(run, fence, said_before)


async def _settle(queues: Queues, batch: Sequence[Completion]) -> None:
    writing = completions.write(
        queues.database, batch, now=queues.clock.now(), jitter=queues.jitter, on_runs=queues.on_runs
    )
    async for _ in writing:
        pass


async def _find(queues: Queues, user: UserPrincipal, run_id: UUID) -> Run:
    found = await calls.find_job(queues.database, user_id=user.user_id, run_id=run_id)
    if found is None:
        await queues.memberships.refresh(user.user_id)
        found = await calls.find_job(queues.database, user_id=user.user_id, run_id=run_id)
    if found is None:
        raise no_such_run()
    run, role = found
    require_role(role, WRITERS)
    return run


def _as_said(run: Run, fence: int, said: set[Status]) -> Run:
    """The run, if it is as a worker with this fence has said, now or before."""
    if run.queue is None or run.fence != fence or run.status not in said:
        raise _not_held(run, fence)
    return run


def _not_held(run: Run, fence: int) -> Conflict:
    if run.queue is not None and run.fence == fence and run.status is Status.CANCELLED:
        return Conflict("The run was cancelled; stop working on it.", code="RUN_CANCELLED")
    return Conflict(
        "You do not hold the run: its lease ended, or it has ended; stop working on it, and claim another.",
        code="LEASE_LOST",
    )
