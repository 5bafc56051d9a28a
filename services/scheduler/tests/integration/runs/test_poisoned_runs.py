"""A run that cannot be executed fails: the others of its batch go on, and no restart brings it back."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from poisoned import MANY, drain, ended_as, spoil
from rota.scheduler.v1 import schedules_pb2
from rota_chassis.ids import uuid7
from rota_chassis.testing.metrics import set_aside
from rota_scheduler.resource_pools import store as pools
from rota_scheduler.resource_pools.domain import ResourcePool
from rota_scheduler.runs import claims
from rota_scheduler.runs import store as runs
from rota_scheduler.runs.allocation import allocation_of
from rota_scheduler.runs.domain import LEASE, Succeeded
from rota_scheduler.runs.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from rota_chassis.postgres.database import Database
    from rota_chassis.testing.clock import ManualClock
    from rota_scheduler.runs.domain import Outcome, Run

    Events = Callable[[], Awaitable[list[Any]]]
    MakeRun = Callable[[Mapping[str, Any]], Run]

ACTION = {"event": {"type": "plants.watered"}}


class Doing:
    """The action `event`, which counts its attempts."""

    def __init__(self) -> None:
        self.attempts: list[UUID] = []

    async def __call__(self, run: Run) -> Outcome:
        self.attempts.append(run.id)
        return Succeeded()


@pytest.mark.parametrize(
    "action",
    [
        *("{}", '{"nothing": {}}', '{"event": {}, "of_task": 7}', '{"nothing": {}, "retry": {"often": true}}'),
        "[7]",
    ],
    ids=[
        *("no action", "an unknown action", "a task that is none", "a policy that is none"),
        "no object",
    ],
)
async def test_a_run_that_cannot_be_executed_lands_in_the_dead_letters_and_the_others_are(
    replicas: Sequence[Database], clock: ManualClock, make_run: MakeRun, action: str
) -> None:
    found = [make_run(ACTION) for _ in range(MANY)]
    async with replicas[0].transaction() as work:
        await runs.add(work, found)
    poisoned = found[0]
    await spoil(
        replicas[0],
        "UPDATE runs SET action = CAST(CAST(:action AS text) AS jsonb) WHERE id = CAST(:id AS uuid)",
        id=poisoned.id,
        action=action,
    )
    done = Doing()
    worker = Worker(replicas[0], clock, {"event": done}, slots=8)

    async def tick() -> datetime | None:
        due = await worker.tick()
        await worker.idle()
        return due

    await drain(tick, clock)
    assert sorted(done.attempts) == [run.id for run in found[1:]]
    await ended_as(replicas[0], found, failed=poisoned)
    clock.advance(60)
    assert await Worker(replicas[1], clock, {"event": done}, slots=8).tick() is None


ALLOCATIONS = {
    "no object": "[7]",
    "an unknown policy": '{"policy": "never"}',
    "a rate without a period": '{"rate": {"limit": 1}}',
    "a rate beyond all numbers": '{"rate": {"limit": 1, "period_s": 9999999999}}',
    "a group that is none": '{"policy": "round_robin", "group": 7}',
    "units that are none": '{"resources": {"gas": "much"}}',
    "pools that are none": '{"resources": 7}',
}


@pytest.mark.parametrize("allocation", ALLOCATIONS.values(), ids=ALLOCATIONS)
async def test_a_run_of_which_nobody_can_tell_what_it_shares_fails_and_the_others_are_executed(
    replicas: Sequence[Database], clock: ManualClock, make_run: MakeRun, events: Events, allocation: str
) -> None:
    found = [replace(make_run(ACTION), concurrency_key="oven", concurrency_limit=2) for _ in range(MANY)]
    found = [replace(each, workspace_id=found[0].workspace_id) for each in found]
    async with replicas[0].transaction() as work:
        await runs.add(work, found)
    poisoned = found[0]
    await spoil_allocation(replicas[0], poisoned, allocation)
    before = set_aside("run")
    done = Doing()
    worker = Worker(replicas[0], clock, {"event": done}, slots=8)

    async def tick() -> datetime | None:
        due = await worker.tick()
        await worker.idle()
        clock.advance(1)
        return clock.now() if len(done.attempts) < MANY - 1 else due

    await drain(tick, clock)
    assert set_aside("run") - before == 1
    assert sorted(done.attempts) == [run.id for run in found[1:]]
    await ended_as(replicas[0], found, failed=poisoned)
    (told,) = [each.run for each in await events() if each.run.status == schedules_pb2.RUN_STATUS_FAILED]
    assert told.error.startswith("It could not be run (ValueError: its allocation cannot be read")
    assert await Worker(replicas[1], clock, {"event": done}, slots=8).tick() is None


async def spoil_allocation(database: Database, run: Run, allocation: str) -> None:
    await spoil(
        database,
        "UPDATE runs SET allocation = CAST(CAST(:allocation AS text) AS jsonb) WHERE id = CAST(:id AS uuid)",
        id=run.id,
        allocation=allocation,
    )


async def test_units_that_a_running_run_holds_and_nobody_can_read_keep_none_from_the_others(
    replicas: Sequence[Database], clock: ManualClock, make_run: MakeRun
) -> None:
    shared = allocation_of(concurrency_key=None, resources={"gas": 1})
    running, waiting = (replace(make_run(ACTION), allocation=shared) for _ in range(2))
    waiting = replace(waiting, workspace_id=running.workspace_id)
    pool = ResourcePool(
        id=uuid7(),
        workspace_id=running.workspace_id,
        name="gas",
        units=1,
        description="",
        created_at=clock.now(),
        updated_at=clock.now(),
    )
    now = clock.now()
    async with replicas[0].transaction() as work:
        assert await pools.add(work, pool, request_key=None, fingerprint=None)
        await runs.add(work, [running])
        assert (await claims.claim(work, now=now, lease_until=now + LEASE, limit=9)).runs
        await runs.add(work, [waiting])
    await spoil_allocation(replicas[0], running, '{"resources": {"gas": "much"}}')
    async with replicas[1].transaction() as work:
        (claimed,) = (await claims.claim(work, now=now, lease_until=now + LEASE, limit=9)).runs
    assert claimed.id == waiting.id
