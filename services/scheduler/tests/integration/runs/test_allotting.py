"""What runs share, in the database: who claims at once, who dies, and whose turn it is."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from rota.events.v1 import events_pb2
from rota_chassis.ids import uuid7
from rota_chassis.postgres.database import Database
from rota_chassis.postgres.statements import statement
from rota_chassis.testing.waiting import eventually
from rota_scheduler.resource_pools import store as pools
from rota_scheduler.resource_pools.domain import ResourcePool
from rota_scheduler.runs import claims, finishing, holding, store
from rota_scheduler.runs.allocation import NO_PLACE, SUPERSEDED, allocation_of
from rota_scheduler.runs.claims import FROM_THE_FIRST, Backlog, Claimed
from rota_scheduler.runs.domain import LEASE, End, Run, Status, Succeeded
from rota_scheduler.runs.finishing import Ended
from rota_scheduler.runs.history import tend_history
from rota_scheduler.runs.worker import Worker
from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from rota_chassis.testing.clock import ManualClock
    from rota_chassis.testing.service_plugin import MakeDatabase
    from rota_scheduler.runs.domain import Execute, Outcome

ACTION = {"create_task": {"title": "Water the plants"}}
CLAIMERS = 50
MANY = 100_000


@pytest.fixture
def make(make_run: Callable[[Mapping[str, Any]], Run]) -> Callable[..., Run]:
    """Makes runs of one workspace that share something; the later, the shorter they have waited."""
    workspace_id, made = uuid7(), 0

    def make(*, resources: dict[str, int] | None = None, **fields: Any) -> Run:
        nonlocal made
        made += 1
        run = replace(make_run(ACTION), workspace_id=workspace_id)
        shared = {
            name: fields.pop(name)
            for name in ("concurrency_policy", "concurrency_group", "rate_limit")
            if name in fields
        }
        allocation = allocation_of(concurrency_key=fields.get("concurrency_key"), resources=resources, **shared)
        waited = timedelta(milliseconds=made - MANY)
        return replace(
            run,
            **{
                "nominal_time": run.nominal_time + waited,
                "available_at": (run.available_at or run.nominal_time) + waited,
                "allocation": allocation,
                **fields,
            },
        )

    return make


async def add(database: Database, *runs: Run) -> None:
    async with database.transaction() as work:
        assert await store.add(work, runs) == len(runs)


async def make_pool(database: Database, clock: ManualClock, workspace_id: UUID, name: str, units: int) -> None:
    async with database.transaction() as work:
        now = clock.now()
        pool = ResourcePool(
            id=uuid7(),
            workspace_id=workspace_id,
            name=name,
            units=units,
            description="",
            created_at=now,
            updated_at=now,
        )
        assert await pools.add(work, pool, request_key=None, fingerprint=None)


async def look(database: Database, clock: ManualClock, *, limit: int = 100, **how: Any) -> Claimed:
    async with database.transaction() as work:
        return await claims.claim(work, now=clock.now(), lease_until=clock.now() + LEASE, limit=limit, **how)


async def claim(database: Database, clock: ManualClock, *, limit: int = 100) -> Sequence[Run]:
    return (await look(database, clock, limit=limit)).runs


async def end(database: Database, clock: ManualClock, runs: Sequence[Run]) -> None:
    async with database.transaction() as work:
        done = [Ended(run, End(Status.SUCCEEDED)) for run in runs]
        assert len(await finishing.finish(work, done, finished_at=clock.now())) == len(runs)


async def test_fifty_who_claim_at_once_never_take_more_units_than_a_pool_has(
    make_database: MakeDatabase, clock: ManualClock, make: Callable[..., Run]
) -> None:
    url = await make_database("scheduler")
    units = {"gpus": 4, "licences": 2}
    async with AsyncExitStack() as stack:
        databases = []
        for number in range(CLAIMERS):
            databases.append(await Database.connect(url, size=1, name=f"claimer-{number}"))
            stack.push_async_callback(databases[-1].close)
        runs = [make(resources={"gpus": 1 + number % 3}) for number in range(30)]
        runs += [make(resources={"gpus": 1, "licences": 1}) for _ in range(15)]
        runs += [make(resources={"licences": 2}, concurrency_key="oven", concurrency_limit=3) for _ in range(5)]
        for name, number in units.items():
            await make_pool(databases[0], clock, runs[0].workspace_id, name, number)
        await add(databases[0], *runs, *(make() for _ in range(50)))
        seen: list[Run] = []
        while len(seen) < len(runs) + 50:
            found = await asyncio.gather(*(claim(each, clock, limit=5) for each in databases))
            held = [run for some in found for run in some]
            assert held
            for name, number in units.items():
                assert sum(((run.allocation or {}).get("resources") or {}).get(name, 0) for run in held) <= number
            await end(databases[0], clock, held)
            seen += held
        assert len({run.id for run in seen}) == len(seen)


async def test_units_come_free_when_a_run_is_given_back_or_its_lease_is_over(
    database: Database, clock: ManualClock, make: Callable[..., Run]
) -> None:
    first, second = make(resources={"gpus": 1}), make(resources={"gpus": 1})
    await make_pool(database, clock, first.workspace_id, "gpus", 1)
    await add(database, first, second)
    (held,) = await claim(database, clock)
    assert held.id == first.id
    assert await claim(database, clock) == []
    async with database.transaction() as work:
        await holding.give_back(work, [held], available_at=clock.now() + timedelta(hours=1))
    (held,) = await claim(database, clock)
    assert held.id == second.id
    clock.advance(LEASE.total_seconds())
    (again,) = await claim(database, clock)
    assert (again.id, again.fence) == (second.id, 2)


async def test_what_waits_for_a_full_pool_holds_up_nobody_else(
    database: Database, clock: ManualClock, make: Callable[..., Run]
) -> None:
    waiting = [make(resources={"gpus": 1}) for _ in range(300)]
    other, free = make(resources={"cpus": 1}), make()
    await make_pool(database, clock, other.workspace_id, "gpus", 0)
    await make_pool(database, clock, other.workspace_id, "cpus", 1)
    await add(database, *waiting, other, free)
    assert {run.id for run in await claim(database, clock)} == {other.id, free.id}


async def test_fifty_who_claim_at_once_never_start_more_than_a_rate_limit_lets(
    make_database: MakeDatabase, clock: ManualClock, make: Callable[..., Run]
) -> None:
    url = await make_database("scheduler")
    rate = {"limit": 7, "period_s": 60}
    async with AsyncExitStack() as stack:
        databases = []
        for number in range(CLAIMERS):
            databases.append(await Database.connect(url, size=1, name=f"claimer-{number}"))
            stack.push_async_callback(databases[-1].close)
        runs = [make(concurrency_key="api", concurrency_limit=100, rate_limit=rate) for _ in range(20)]
        await add(databases[0], *runs)
        starts: list[float] = []
        begun = clock.now()
        while len(starts) < len(runs):
            found = await asyncio.gather(*(claim(each, clock, limit=3) for each in databases))
            held = [run for some in found for run in some]
            await end(databases[0], clock, held)
            starts += [(clock.now() - begun).total_seconds()] * len(held)
            clock.advance(10)
    for start in starts:
        assert sum(start <= other < start + 60 for other in starts) <= 7
    assert starts[-1] <= 200


async def test_the_limits_of_a_key_count_instead_of_what_its_runs_say(
    database: Database, clock: ManualClock, make: Callable[..., Run]
) -> None:
    runs = [make(concurrency_key="api", concurrency_limit=1) for _ in range(6)]
    await add(database, *runs)
    put = statement(text("INSERT INTO concurrency_keys VALUES (:workspace_id, 'api', :most, :starts, :period_s)"))
    async with database.transaction() as work:
        await work.execute(put, workspace_id=runs[0].workspace_id, most=3, starts=4, period_s=60)
    first = await claim(database, clock)
    assert len(first) == 3
    await end(database, clock, first)
    assert len(await claim(database, clock)) == 1
    clock.advance(60)
    # The lease of the last is over, and the period of all.
    assert len(await claim(database, clock)) == 3


async def test_a_newer_run_ends_the_one_that_runs_and_the_event_says_why(
    database: Database, clock: ManualClock, make: Callable[..., Run], events: Callable[[], Awaitable[list[Any]]]
) -> None:
    how = {"concurrency_key": "deploy", "concurrency_policy": "cancel_in_progress"}
    old, new = make(**how), make(**how)
    await add(database, old)
    (held,) = await claim(database, clock)
    await add(database, new)
    claimed = await look(database, clock)
    assert [run.id for run in claimed.runs] == [new.id]
    assert [(run.id, run.status, run.error) for run in claimed.ended] == [(old.id, Status.CANCELLED, SUPERSEDED)]
    (event,) = [each for each in await events() if isinstance(each, events_pb2.RunFinished)]
    assert (event.run.id, event.run.error) == (str(old.id), SUPERSEDED)
    # What the holder of the old one says counts no more.
    async with database.transaction() as work:
        assert not await finishing.finish(work, [Ended(held, End(Status.SUCCEEDED))], finished_at=clock.now())


async def test_fifty_who_claim_at_once_leave_one_run_of_a_key_whose_newest_counts(
    make_database: MakeDatabase, clock: ManualClock, make: Callable[..., Run]
) -> None:
    url = await make_database("scheduler")
    how = {"concurrency_key": "deploy", "concurrency_policy": "cancel_in_progress"}
    async with AsyncExitStack() as stack:
        databases = []
        for number in range(CLAIMERS):
            databases.append(await Database.connect(url, size=1, name=f"claimer-{number}"))
            stack.push_async_callback(databases[-1].close)
        runs = [make(**how) for _ in range(40)]
        for some in range(0, 40, 10):
            await add(databases[0], *runs[some : some + 10])
            await asyncio.gather(*(claim(each, clock) for each in databases))
        found = [await store.get(databases[0], workspace_id=run.workspace_id, run_id=run.id) for run in runs]
    assert [run.status for run in found if run] == [Status.CANCELLED] * 39 + [Status.RUNNING]


async def test_the_newest_run_ends_when_there_is_no_place_for_it(
    database: Database, clock: ManualClock, make: Callable[..., Run]
) -> None:
    how = {"concurrency_key": "sync", "concurrency_policy": "cancel_newest"}
    first, second = make(**how), make(**how)
    await add(database, first, second)
    claimed = await look(database, clock)
    assert [run.id for run in claimed.runs] == [first.id]
    assert [(run.id, run.error) for run in claimed.ended] == [(second.id, NO_PLACE)]


async def test_groups_of_a_key_take_turns_however_many_wait_of_each(
    database: Database, clock: ManualClock, make: Callable[..., Run]
) -> None:
    how = {"concurrency_key": "api", "concurrency_policy": "round_robin"}
    await add(database, *(make(**how, concurrency_group="busy") for _ in range(50)))
    await add(database, *(make(**how, concurrency_group="quiet") for _ in range(3)))
    order = []
    for _ in range(6):
        (run,) = await claim(database, clock)
        order.append((run.allocation or {})["group"])
        await end(database, clock, [run])
        clock.advance(1)
    assert order == ["busy", "quiet"] * 3


CROWD = statement(
    text("""
    INSERT INTO runs (workspace_id, id, schedule_id, nominal_time, action, acts_for, available_at, status, fence,
        attempts, buffered, manual, backfilled)
    SELECT workspace_id, new_id, new_id, nominal_time, action, acts_for, available_at, status, fence,
        attempts, buffered, manual, backfilled
    FROM (SELECT gen_random_uuid() AS new_id, * FROM runs CROSS JOIN generate_series(1, :count)) AS many
    """)
)


async def _crowd(database: Database, run: Run, count: int) -> None:
    """As many runs as this one, of its workspace."""
    await add(database, run)
    async with database.transaction() as work:
        await work.connection.execute("SET LOCAL statement_timeout = 0")
        await work.execute(CROWD, count=count - 1)
    async with database.connection() as connection:
        await connection.execute("ANALYZE runs")


async def test_a_workspace_with_many_runs_does_not_starve_one_that_adds_one(
    database: Database, clock: ManualClock, make: Callable[..., Run]
) -> None:
    crowd = make()
    await _crowd(database, crowd, MANY)
    single = make(workspace_id=uuid7())
    await add(database, single)
    # By rank alone it would be the last of all.
    first = await look(database, clock, limit=1)
    assert [run.workspace_id for run in first.runs] == [crowd.workspace_id]
    assert first.full
    second = await look(database, clock, limit=1, backlog=Backlog({crowd.workspace_id: 1}, first.workspace))
    assert [run.id for run in second.runs] == [single.id]
    third = await look(database, clock, limit=10, backlog=Backlog({crowd.workspace_id: 1}, second.workspace))
    assert {run.workspace_id for run in third.runs} == {crowd.workspace_id}
    assert len(third.runs) == 10


async def test_claiming_reads_few_of_many_runs_by_the_indexes(
    database: Database, clock: ManualClock, make: Callable[..., Run]
) -> None:
    await _crowd(database, make(), MANY)
    workspaces = [uuid7() for _ in range(20)]
    await add(database, *(make(workspace_id=each) for each in workspaces))
    for made, parameters in (
        (claims._CLAIM, {}),
        (claims._LANES, {"workspace_id": FROM_THE_FIRST, "lane": ""}),
        (claims._WORKSPACES, {"after": FROM_THE_FIRST}),
        (
            claims._CLAIM_BY_TURN,
            {
                "workspace_ids": workspaces,
                "held": [0] * len(workspaces),
                "of_each": 5,
                **{name: [] for name in ("allotted_workspaces", "allotted", "turns", "ranks")},
            },
        ),
    ):
        given = {"now": clock.now(), "lease_until": clock.now() + LEASE, "limit": 100, **parameters}
        known = {name: given[name] for name, _ in made._parameters if name in given}
        async with database.connection() as connection:
            transaction = connection.transaction()
            await transaction.start()
            rows = await connection.fetch(f"EXPLAIN (ANALYZE, BUFFERS) {made.sql}", *made.arguments(known))
            await transaction.rollback()
        plan = "\n".join(row[0] for row in rows)
        assert "Seq Scan on runs" not in plan, plan


@asynccontextmanager
async def working(database: Database, clock: ManualClock, act: Execute, *, slots: int) -> AsyncIterator[Worker]:
    """A worker that executes runs within the block."""
    worker = Worker(database, clock, {"create_task": act}, slots=slots)
    task = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_the_attempt_of_a_run_that_another_has_ended_is_broken_off(
    database: Database, clock: ManualClock, make: Callable[..., Run]
) -> None:
    broken_off, begun = list[UUID](), list[UUID]()

    async def act(run: Run) -> Outcome:
        begun.append(run.id)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            broken_off.append(run.id)
            raise
        return Succeeded()

    how = {"concurrency_key": "deploy", "concurrency_policy": "cancel_in_progress"}
    old, new = make(**how), make(**how)
    async with working(database, clock, act, slots=4) as worker:
        for run in (old, new):
            await add(database, run)
            worker.wake()
            await eventually(lambda run=run: run.id in begun)
        await eventually(lambda: broken_off == [old.id])


async def test_a_process_that_is_busy_with_one_workspace_lets_another_have_its_turn(
    database: Database, clock: ManualClock, make: Callable[..., Run]
) -> None:
    order, go_on = list[UUID](), asyncio.Semaphore(0)

    async def act(run: Run) -> Outcome:
        order.append(run.workspace_id)
        await go_on.acquire()
        return Succeeded()

    crowd, single = [make() for _ in range(500)], make(workspace_id=uuid7())
    await add(database, *crowd)
    async with working(database, clock, act, slots=2):
        await eventually(lambda: len(order) == 2)
        await add(database, single)

        async def has_had_its_turn() -> bool:
            go_on.release()
            return single.workspace_id in order

        await eventually(has_had_its_turn)
    assert len(order) < 250


async def test_two_processes_divide_themselves_evenly_among_two_workspaces_that_both_wait(
    replicas: Sequence[Database], clock: ManualClock, make: Callable[..., Run]
) -> None:
    order, other = list[UUID](), uuid7()

    async def act(run: Run) -> Outcome:
        order.append(run.workspace_id)
        return Succeeded()

    crowd, later = [make() for _ in range(24_000)], [make(workspace_id=other) for _ in range(6_000)]
    await add(replicas[0], *crowd)
    async with working(replicas[0], clock, act, slots=4), working(replicas[1], clock, act, slots=4):
        await eventually(lambda: len(order) > 100)
        await add(replicas[0], *later)
        await eventually(lambda: order.count(other) >= 5_400, timeout_s=60)
    # From when both have seen that others wait, and have ended what they had claimed ahead before.
    places = [place for place, each in enumerate(order) if each == other]
    among = order[places[3_000] : places[5_400 - 1]]
    assert among.count(other) * 3 > len(among)


async def test_the_workspaces_come_round_when_there_are_more_than_are_looked_at_at_once(
    database: Database, clock: ManualClock, make: Callable[..., Run]
) -> None:
    crowd = [make() for _ in range(300)]
    others = [make(workspace_id=uuid7()) for _ in range(150)]
    await add(database, *crowd, *others)
    held: dict[UUID, int] = {crowd[0].workspace_id: 1}
    after, found = FROM_THE_FIRST, set[UUID]()
    for _ in range(2):
        claimed = await look(database, clock, limit=100, backlog=Backlog(held, after))
        found |= {run.workspace_id for run in claimed.runs}
        after = claimed.workspace
    assert len(found) >= 150


async def test_what_is_noted_of_keys_goes_when_its_time_is_over(
    database: Database, clock: ManualClock, make: Callable[..., Run]
) -> None:
    how = {"concurrency_key": "api", "concurrency_policy": "round_robin", "concurrency_limit": 9}
    await add(database, make(**how, rate_limit={"limit": 5, "period_s": 60}), make(**how, concurrency_group="a"))
    assert len(await claim(database, clock)) == 2
    counted = statement(text("SELECT (SELECT count(*) FROM run_starts) + (SELECT count(*) FROM concurrency_turns)"))
    await tend_history(database, clock, days=90)
    assert await database.fetch_value(counted) == 3
    clock.advance(86_401)
    await tend_history(database, clock, days=90)
    assert await database.fetch_value(counted) == 0
