"""Which jobs are claimed when many claim at once, on connections of their own."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from rota_chassis.ids import uuid7
from rota_chassis.postgres.database import Database
from rota_chassis.postgres.statements import statement
from rota_scheduler.queues import commands
from rota_scheduler.queues import store as queue_store
from rota_scheduler.queues.dependencies import Queues
from rota_scheduler.queues.losing import GRACE, Losing
from rota_scheduler.queues.waiting import Waiting
from rota_scheduler.resource_pools import store as pools
from rota_scheduler.resource_pools.domain import ResourcePool
from rota_scheduler.runs import claims, finishing, store
from rota_scheduler.runs.allocation import allocation_of
from rota_scheduler.runs.domain import LEASE, End, Run, Status
from rota_scheduler.runs.finishing import Ended
from rota_scheduler.runs.tables import FIELDS, run_of
from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from rota_chassis.identity import UserPrincipal
    from rota_chassis.memberships import Memberships
    from rota_chassis.testing.clock import ManualClock
    from rota_chassis.testing.service_plugin import MakeDatabase

import pytest

CLAIMERS = 50
JOB = {"job": {"queue": "ovens"}}
CALL = {"event": {"type": "oven.free"}}
_STORED = statement(
    text(
        f"SELECT {', '.join(FIELDS)} FROM runs WHERE id = ANY(CAST(:ids AS uuid[])) UNION ALL "  # noqa: S608 (constants)
        f"SELECT {', '.join(FIELDS)} FROM run_history WHERE id = ANY(CAST(:ids AS uuid[]))"
    )
)


class AnyMember:
    """Everybody is an owner of every workspace."""

    async def require(self, *_: object) -> str:
        return "owner"


class Claimers:
    """Claimers with a connection each."""

    def __init__(self, databases: Sequence[Database], clock: ManualClock) -> None:
        self.clock = clock
        self.databases = databases
        self.user = cast("UserPrincipal", replace_user())
        self._queues = [
            Queues(
                database,
                cast("Memberships", AnyMember()),
                clock,
                Waiting(database, clock),
                random.uniform,
                lambda: None,
            )
            for database in databases
        ]

    async def add(self, *runs: Run) -> None:
        async with self.databases[0].transaction() as work:
            assert await store.add(work, runs) == len(runs)

    async def claim(self, number: int, workspace_id: Any, *, limit: int = 5, lease_s: int = 60) -> Sequence[Run]:
        return await commands.claim_runs(
            self._queues[number],
            self.user,
            place=(workspace_id, "ovens"),
            limit=limit,
            wait_s=0,
            lease_s=lease_s,
            worker="",
            told=lambda run: run,
        )

    def losing(self, number: int) -> Losing:
        return Losing(self._queues[number])

    async def stored(self, *runs: Run) -> Sequence[Run]:
        """The runs as they are, ended or not."""
        ids = [run.id for run in runs]
        found = await self.databases[0].fetch(_STORED, ids=ids)
        return sorted((run_of(row) for row in found), key=lambda run: ids.index(run.id))

    async def claim_here(self, *, limit: int = 100) -> Sequence[Run]:
        """What those claim who execute."""
        now = self.clock.now()
        async with self.databases[0].transaction() as work:
            return (await claims.claim(work, now=now, lease_until=now + LEASE, limit=limit)).runs

    async def end(self, runs: Sequence[Run]) -> None:
        async with self.databases[0].transaction() as work:
            ends = [Ended(run, End(Status.SUCCEEDED)) for run in runs]
            assert len(await finishing.finish(work, ends, finished_at=self.clock.now())) == len(runs)


def replace_user() -> Any:
    class Somebody:
        user_id = uuid7()

    return Somebody()


@pytest.fixture
async def claimers(make_database: MakeDatabase, clock: ManualClock) -> AsyncIterator[Claimers]:
    url = await make_database("scheduler")
    async with AsyncExitStack() as stack:
        databases = []
        for number in range(CLAIMERS):
            databases.append(await Database.connect(url, size=1, name=f"claimer-{number}"))
            stack.push_async_callback(databases[-1].close)
        yield Claimers(databases, clock)


@pytest.fixture
def make(make_run: Callable[[Mapping[str, Any]], Run]) -> Callable[..., Run]:
    """Makes runs of one workspace."""
    workspace_id = uuid7()

    def make(action: Mapping[str, Any] = JOB, **fields: Any) -> Run:
        return replace(make_run(action), **{"workspace_id": workspace_id, **fields})

    return make


async def test_fifty_who_claim_at_once_never_get_a_job_twice_nor_exceed_the_limit_of_a_key(
    claimers: Claimers, make: Callable[..., Run]
) -> None:
    limits = {"small": 1, "large": 4}
    runs = [
        make(concurrency_key=key, concurrency_limit=limit) for key, limit in limits.items() for _ in range(10 * limit)
    ] + [make() for _ in range(200)]
    await claimers.add(*runs, make(workspace_id=uuid7()))
    seen: list[Run] = []
    while len(seen) < len(runs):
        found = await asyncio.gather(*(claimers.claim(number, runs[0].workspace_id) for number in range(CLAIMERS)))
        held = [run for some in found for run in some]
        assert held
        for key, limit in limits.items():
            assert sum(run.concurrency_key == key for run in held) <= limit
        await claimers.end(held)
        seen += held
    assert {run.id for run in seen} == {run.id for run in runs}
    assert {run.fence for run in seen} == {1}


async def test_workers_and_those_who_execute_never_take_more_units_together_than_a_pool_has(
    claimers: Claimers, make: Callable[..., Run], clock: ManualClock
) -> None:
    shared = allocation_of(concurrency_key=None, resources={"gas": 2})
    runs = [make(action, allocation=shared) for action in (JOB, CALL) for _ in range(15)]
    pool = ResourcePool(
        id=uuid7(),
        workspace_id=runs[0].workspace_id,
        name="gas",
        units=7,
        description="",
        created_at=clock.now(),
        updated_at=clock.now(),
    )
    async with claimers.databases[0].transaction() as work:
        assert await pools.add(work, pool, request_key=None, fingerprint=None)
    await claimers.add(*runs)
    seen: list[Run] = []
    while len(seen) < len(runs):
        found = await asyncio.gather(
            claimers.claim_here(),
            *(claimers.claim(number, pool.workspace_id, limit=2) for number in range(1, CLAIMERS)),
            claimers.claim_here(),
        )
        held = [run for some in found for run in some]
        assert 0 < len(held) <= 3
        await claimers.end(held)
        seen += held
    assert len({run.id for run in seen}) == len(runs)


async def test_a_key_counts_what_runs_here_and_what_workers_have(claimers: Claimers, make: Callable[..., Run]) -> None:
    job = make(concurrency_key="oven")
    await claimers.add(job, make(CALL, concurrency_key="oven"))
    (held,) = await claimers.claim(0, job.workspace_id)
    assert await claimers.claim_here() == []
    await claimers.end([held])
    (here,) = await claimers.claim_here()
    assert here.kind == "event"
    await claimers.add(make(concurrency_key="oven"))
    assert await claimers.claim(0, job.workspace_id) == []
    await claimers.end([here])
    assert len(await claimers.claim(0, job.workspace_id)) == 1


async def test_those_who_execute_leave_jobs_alone(claimers: Claimers, make: Callable[..., Run]) -> None:
    await claimers.add(make(), make(concurrency_key="oven"), make(CALL))
    assert [run.kind for run in await claimers.claim_here()] == ["event"]
    assert await claims.next_available(claimers.databases[0]) == claimers.clock.now() + LEASE


async def test_every_key_comes_round_when_there_are_more_than_are_looked_at_at_once(
    claimers: Claimers, make: Callable[..., Run]
) -> None:
    runs = [make(concurrency_key=f"key {number:04}") for number in range(claims.LANES_AT_ONCE * 2 + 5)]
    await claimers.add(*runs)
    seen: list[Run] = []
    while some := await claimers.claim(0, runs[0].workspace_id, limit=1):
        seen += some
    assert len({run.concurrency_key for run in seen}) == len(runs)
    assert {run.concurrency_key for run in seen[:3]} == {"key 0000", "key 0100", "key 0200"}


async def test_a_lease_is_as_long_as_was_asked_for(claimers: Claimers, make: Callable[..., Run]) -> None:
    run = make()
    await claimers.add(run)
    (held,) = await claimers.claim(0, run.workspace_id, lease_s=3600)
    assert held.available_at == claimers.clock.now() + timedelta(hours=1)
    claimers.clock.advance(3599)
    assert await claimers.claim(1, run.workspace_id) == []
    claimers.clock.advance(1)
    (again,) = await claimers.claim(1, run.workspace_id)
    assert (again.id, again.fence) == (run.id, 2)


async def test_who_stops_waiting_while_it_is_looked_for_them_is_not_missed(
    claimers: Claimers, make: Callable[..., Run], clock: ManualClock
) -> None:
    run = make()
    waiting = Waiting(claimers.databases[0], clock)
    with waiting.at((run.workspace_id, "ovens")):
        look = asyncio.create_task(waiting.tick())
        await asyncio.sleep(0)
    assert await look is None
    await claimers.add(run, make(available_at=clock.now() + timedelta(minutes=1)))
    with waiting.at((run.workspace_id, "ovens")) as first, waiting.at((run.workspace_id, "ovens")) as second:
        assert await waiting.tick() == clock.now() + timedelta(minutes=1)
        assert (first.is_set(), second.is_set()) == (True, False)


async def test_a_job_whose_last_worker_is_never_heard_of_again_fails_though_nobody_claims(
    claimers: Claimers, make: Callable[..., Run]
) -> None:
    last, first = make({**JOB, "retry": {"max_attempts": 1}}), make()
    await claimers.add(last, first)
    losing = [claimers.losing(number) for number in range(8)]
    assert len(await claimers.claim(0, last.workspace_id)) == 2
    claimers.clock.advance(60 + GRACE.total_seconds() - 1)
    await losing[0].tick()
    assert {run.status for run in await claimers.stored(last, first)} == {Status.RUNNING}
    claimers.clock.advance(1)
    await asyncio.gather(*(each.tick() for each in losing))
    failed, waits = await claimers.stored(last, first)
    assert (failed.status, failed.attempts, failed.error) == (
        Status.FAILED,
        1,
        "Every attempt ended without a word.",
    )
    assert waits.status is Status.RUNNING
    (again,) = await claimers.claim(1, last.workspace_id)
    assert (again.id, again.attempts) == (first.id, 2)


async def test_dying_after_a_job_without_a_worker_is_taken_leaves_it_to_another(
    claimers: Claimers, make: Callable[..., Run]
) -> None:
    run = make({**JOB, "retry": {"max_attempts": 1}})
    await claimers.add(run)
    losing = claimers.losing(1)
    await claimers.claim(0, run.workspace_id)
    claimers.clock.advance(60 + GRACE.total_seconds())
    now = claimers.clock.now()
    async with claimers.databases[0].transaction() as work:
        taken = await queue_store.take_spent(
            work, since=now - timedelta(hours=1), until=now - GRACE, lease_until=now + LEASE, limit=10
        )
    assert len(taken) == 1
    await losing.tick()
    assert [each.status for each in await claimers.stored(run)] == [Status.RUNNING]
    claimers.clock.advance((LEASE + GRACE).total_seconds())
    await losing.tick()
    assert [each.status for each in await claimers.stored(run)] == [Status.FAILED]


async def test_workers_have_a_while_to_be_heard_of_after_a_scheduler_has_started(
    claimers: Claimers, make: Callable[..., Run]
) -> None:
    run = make({**JOB, "retry": {"max_attempts": 1}})
    await claimers.add(run)
    await claimers.claim(0, run.workspace_id)
    claimers.clock.advance(3600)
    losing = claimers.losing(1)
    assert await losing.tick() == claimers.clock.now() + GRACE
    assert [each.status for each in await claimers.stored(run)] == [Status.RUNNING]
    claimers.clock.advance(GRACE.total_seconds())
    await losing.tick()
    assert [each.status for each in await claimers.stored(run)] == [Status.FAILED]
