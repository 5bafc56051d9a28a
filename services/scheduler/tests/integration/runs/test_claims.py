"""Which runs are claimed, and in which order."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rota_chassis.ids import uuid7
from rota_chassis.postgres.database import Database
from rota_scheduler.runs import claims, finishing, holding, store
from rota_scheduler.runs.domain import LEASE, End, Run, Status
from rota_scheduler.runs.finishing import Ended

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rota_chassis.testing.clock import ManualClock
    from rota_chassis.testing.service_plugin import MakeDatabase

    MakeRun = Callable[[Mapping[str, Any]], Run]

ACTION = {"create_task": {"title": "Water the plants"}}
CLAIMERS = 50


async def add(database: Database, *runs: Run) -> None:
    async with database.transaction() as work:
        assert await store.add(work, runs) == len(runs)


async def claim(database: Database, clock: ManualClock, *, limit: int = 100) -> Sequence[Run]:
    async with database.transaction() as work:
        return (await claims.claim(work, now=clock.now(), lease_until=clock.now() + LEASE, limit=limit)).runs


async def end(database: Database, clock: ManualClock, runs: Sequence[Run]) -> None:
    async with database.transaction() as work:
        done = [Ended(run, End(Status.SUCCEEDED)) for run in runs]
        assert len(await finishing.finish(work, done, finished_at=clock.now())) == len(runs)


async def test_fifty_who_claim_at_once_never_exceed_the_limit_of_a_key(
    make_database: MakeDatabase, clock: ManualClock, make_run: MakeRun
) -> None:
    url, workspace_id = await make_database("scheduler"), uuid7()
    limits = {"printer": 3, "oven": 1, "dock": 7}
    async with AsyncExitStack() as stack:
        databases = []
        for number in range(CLAIMERS):
            databases.append(await Database.connect(url, size=1, name=f"claimer-{number}"))
            stack.push_async_callback(databases[-1].close)
        runs = [
            replace(make_run(ACTION), workspace_id=workspace_id, concurrency_key=key, concurrency_limit=limit)
            for key, limit in limits.items()
            for _ in range(20)
        ]
        elsewhere = replace(make_run(ACTION), concurrency_key="printer", concurrency_limit=1)
        await add(databases[0], *runs, elsewhere, *(make_run(ACTION) for _ in range(100)))
        seen: list[Run] = []
        while len(seen) < len(runs) + 101:
            found = await asyncio.gather(*(claim(each, clock, limit=5) for each in databases))
            held = [run for some in found for run in some]
            assert held
            for key, limit in limits.items():
                assert sum(run.concurrency_key == key for run in held if run.workspace_id == workspace_id) <= limit
            await end(databases[0], clock, held)
            seen += held
        assert len({run.id for run in seen}) == len(runs) + 101


async def test_what_holds_a_key_beyond_its_lease_no_longer_counts(
    database: Database, clock: ManualClock, make_run: MakeRun
) -> None:
    first = replace(make_run(ACTION), concurrency_key="printer")
    second = replace(make_run(ACTION), workspace_id=first.workspace_id, concurrency_key="printer")
    await add(database, first, second)
    (held,) = await claim(database, clock)
    assert await claim(database, clock) == []
    clock.advance(LEASE.total_seconds())
    (again,) = await claim(database, clock)
    assert {held.id, again.id} <= {first.id, second.id}
    assert again.fence == (2 if again.id == held.id else 1)


async def test_every_key_comes_round_when_there_are_more_than_are_looked_at_at_once(
    database: Database, clock: ManualClock, make_run: MakeRun
) -> None:
    workspace_id, count = uuid7(), claims.LANES_AT_ONCE * 2 + 5
    await add(
        database,
        *(replace(make_run(ACTION), workspace_id=workspace_id, concurrency_key=f"key {n:04}") for n in range(count)),
    )
    found, after = set[str | None](), None
    for _ in range(3):
        async with database.transaction() as work:
            claimed = await claims.claim(
                work, now=clock.now(), lease_until=clock.now() + LEASE, limit=1000, after=after
            )
        found |= {run.concurrency_key for run in claimed.runs}
        after = claimed.lane
        assert claimed.more == (after is not None)
    assert len(found) == count
    assert after is None


async def test_a_step_of_priority_is_worth_six_seconds_of_waiting(
    database: Database, clock: ManualClock, make_run: MakeRun
) -> None:
    def waiting(seconds: float, priority: int, key: str | None = None) -> Run:
        available_at = clock.now() - timedelta(seconds=seconds)
        return replace(make_run(ACTION), available_at=available_at, priority=priority, concurrency_key=key)

    runs = [
        waiting(601, 0),
        waiting(0, 100),
        waiting(599, 0),
        waiting(61, 0, "printer"),
        waiting(0, 10),
        waiting(0, -1),
    ]
    await add(database, *reversed(runs))
    order = [(await claim(database, clock, limit=1))[0].id for _ in runs]
    assert order == [run.id for run in runs]


async def test_a_low_priority_is_not_overtaken_for_ever(
    database: Database, clock: ManualClock, make_run: MakeRun
) -> None:
    low = replace(make_run(ACTION), available_at=clock.now(), priority=-100)
    await add(database, low)
    minutes = 0
    while True:
        # More of the highest priority than are claimed, always.
        await add(database, *(replace(make_run(ACTION), available_at=clock.now(), priority=100) for _ in range(3)))
        claimed = await claim(database, clock, limit=2)
        if low.id in {run.id for run in claimed}:
            break
        await end(database, clock, claimed)
        clock.advance(60)
        minutes += 1
    # Two hundred steps are twenty minutes; after that it takes its turn among those that came with it.
    assert minutes <= 61


async def test_what_was_given_back_counts_as_never_claimed(
    database: Database, clock: ManualClock, make_run: MakeRun
) -> None:
    run = make_run(ACTION)
    await add(database, run)
    held = await claim(database, clock)
    async with database.transaction() as work:
        await holding.give_back(work, held, available_at=clock.now())
    found = await store.get(database, workspace_id=run.workspace_id, run_id=run.id)
    assert found is not None
    assert (found.status, found.attempts, found.started_at, found.fence) == (Status.PENDING, 0, None, 1)
