"""Resource pools, concurrency keys, unique and debounced runs, through gRPC, on real servers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from rota.scheduler.v1 import (
    allocation_pb2,
    allocation_pb2_grpc,
    runs_pb2,
    runs_pb2_grpc,
    schedules_pb2,
    schedules_pb2_grpc,
    workers_pb2,
    workers_pb2_grpc,
)
from rota_chassis.errors import (
    AlreadyExists,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    PreconditionFailed,
    Unprocessable,
)
from rota_chassis.events.log import EVENTS
from rota_chassis.events.types import event_types
from rota_chassis.postgres.database import Database
from rota_chassis.postgres.statements import statement
from rota_chassis.testing.services import User
from rota_chassis.testing.waiting import eventually
from sqlalchemy import select

if TYPE_CHECKING:
    from integration.conftest import RunScheduler
    from rota_chassis.testing.auth import SmallAuth
    from rota_chassis.testing.clock import ManualClock
    from rota_chassis.testing.service_plugin import MakeDatabase
    from rota_chassis.testing.tokens import TokenIssuer

QUEUE = "ovens"
RUNNING, CANCELLED = schedules_pb2.RUN_STATUS_RUNNING, schedules_pb2.RUN_STATUS_CANCELLED


@dataclass
class Stage:
    """A running scheduler on a clock of its own, and who calls it; runs are jobs, which only start when claimed."""

    pools: allocation_pb2_grpc.ResourcePoolServiceStub
    keys: allocation_pb2_grpc.ConcurrencyKeyServiceStub
    runs: runs_pb2_grpc.RunServiceStub
    schedules: schedules_pb2_grpc.ScheduleServiceStub
    workers: workers_pb2_grpc.WorkerServiceStub
    clock: ManualClock
    ada: User
    viewer: User
    database_url: str

    async def pool(self, name: str = "gpus", units: int = 2, **fields: Any) -> allocation_pb2.ResourcePool:
        """A new pool."""
        request = allocation_pb2.CreateResourcePoolRequest(name=name, units=units, **fields)
        return (await self.pools.CreateResourcePool(request, metadata=self.ada.metadata)).resource_pool

    async def resize(self, name: str, units: int, **fields: Any) -> allocation_pb2.ResourcePool:
        """A pool with another number of units."""
        request = allocation_pb2.UpdateResourcePoolRequest(
            name=name, units=units, update_mask=FieldMask(paths=["units"]), **fields
        )
        return (await self.pools.UpdateResourcePool(request, metadata=self.ada.metadata)).resource_pool

    async def look(self, name: str = "gpus") -> allocation_pb2.ResourcePool:
        """A pool as it is now."""
        request = allocation_pb2.GetResourcePoolRequest(name=name)
        return (await self.pools.GetResourcePool(request, metadata=self.ada.metadata)).resource_pool

    async def order(self, *, told: str = "", idempotency_key: str = "", **fields: Any) -> schedules_pb2.Run:
        """A new run."""
        job = schedules_pb2.JobAction(queue=QUEUE)
        job.payload.update({"told": told})
        request = runs_pb2.CreateRunRequest(action=schedules_pb2.Action(job=job), request_id=idempotency_key, **fields)
        return (await self.runs.CreateRun(request, metadata=self.ada.metadata)).run

    async def claim(self, limit: int = 10, *, wait_s: int = 0) -> list[workers_pb2.ClaimedRun]:
        """Jobs of the queue."""
        request = workers_pb2.ClaimRunsRequest(name=QUEUE, limit=limit, lease_s=3600, wait_s=wait_s)
        return list((await self.workers.ClaimRuns(request, metadata=self.ada.metadata)).runs)

    async def complete(self, job: Any) -> None:
        """End a job."""
        request = workers_pb2.CompleteRunRequest(id=job.id, fence=job.fence)
        await self.workers.CompleteRun(request, metadata=self.ada.metadata)

    async def read(self, run: Any) -> schedules_pb2.Run:
        """A run as it is now."""
        return (await self.runs.GetRun(runs_pb2.GetRunRequest(id=run.id), metadata=self.ada.metadata)).run

    async def waits_for(self, run: Any) -> str:
        """Why a run waits."""
        return allocation_pb2.WaitReason.Name((await self.read(run)).wait_reason)

    async def schedule(self, **fields: Any) -> schedules_pb2.Schedule:
        """A new schedule, every minute."""
        action = schedules_pb2.Action(job=schedules_pb2.JobAction(queue=QUEUE))
        if "spec" not in fields:
            fields["interval_s"] = 60
        request = schedules_pb2.CreateScheduleRequest(name="Bake", action=action, **fields)
        return (await self.schedules.CreateSchedule(request, metadata=self.ada.metadata)).schedule


@pytest.fixture
async def stage(
    make_database: MakeDatabase, run_scheduler: RunScheduler, auth: SmallAuth, issuer: TokenIssuer, clock: ManualClock
) -> Stage:
    database_url = await make_database("scheduler")
    channel = await run_scheduler(database_url=database_url, clock=clock)
    ada, viewer = User(issuer), User(issuer)
    auth.add_user(ada)
    auth.add_user(viewer)
    auth.add_member(ada.workspace_id, viewer.id, role="viewer")
    return Stage(
        allocation_pb2_grpc.ResourcePoolServiceStub(channel),
        allocation_pb2_grpc.ConcurrencyKeyServiceStub(channel),
        runs_pb2_grpc.RunServiceStub(channel),
        schedules_pb2_grpc.ScheduleServiceStub(channel),
        workers_pb2_grpc.WorkerServiceStub(channel),
        clock,
        ada,
        viewer,
        database_url,
    )


async def test_a_pool_is_made_read_changed_listed_and_deleted(stage: Stage) -> None:
    made = await stage.pool(description="Cards")
    assert (made.name, made.units, made.description, made.version) == ("gpus", 2, "Cards", 1)
    with pytest.raises(AlreadyExists):
        await stage.pool()
    assert (await stage.resize("gpus", 5)).version == 2
    assert (await stage.resize("gpus", 5)).version == 2
    with pytest.raises(PreconditionFailed):
        await stage.resize("gpus", 6, if_match=made.etag)
    for name in ("a", "z"):
        await stage.pool(name)
    names, token = [], ""
    while True:
        request = allocation_pb2.ListResourcePoolsRequest(page_size=2, page_token=token)
        answer = await stage.pools.ListResourcePools(request, metadata=stage.ada.metadata)
        names += [each.name for each in answer.resource_pools]
        token = answer.next_page_token
        if not token:
            break
    assert names == ["a", "gpus", "z"]
    gone = allocation_pb2.DeleteResourcePoolRequest(name="gpus")
    await stage.pools.DeleteResourcePool(gone, metadata=stage.ada.metadata)
    with pytest.raises(NotFound):
        await stage.look()
    with pytest.raises(NotFound):
        await stage.pools.DeleteResourcePool(gone, metadata=stage.ada.metadata)
    with pytest.raises(NotFound):
        await stage.resize("gpus", 1)


async def test_a_pool_that_is_made_again_with_its_idempotency_key_is_the_same(stage: Stage) -> None:
    made = await asyncio.gather(*(stage.pool(request_id="one") for _ in range(10)))
    assert len({pool.id for pool in made}) == 1
    await stage.resize("gpus", 5)
    assert (await stage.pool(request_id="one")).units == 5
    with pytest.raises(Unprocessable):
        await stage.pool("other", request_id="one")
    with pytest.raises(AlreadyExists):
        await stage.pool(request_id="two")


async def test_what_becomes_of_a_pool_is_told(stage: Stage) -> None:
    pool = await stage.pool()
    await stage.resize("gpus", 7)
    await stage.pools.DeleteResourcePool(
        allocation_pb2.DeleteResourcePoolRequest(name="gpus"), metadata=stage.ada.metadata
    )
    of_pool = statement(select(EVENTS).where(EVENTS.c.aggregate_id == UUID(pool.id)).order_by(EVENTS.c.position))
    database = await Database.connect(stage.database_url, size=1)
    rows = await database.fetch(of_pool)
    await database.close()
    told = [event_types()[row["type"]].decode(row["data"]).resource_pool for row in rows]
    assert [(row["type"], each.units, each.version) for row, each in zip(rows, told, strict=True)] == [
        ("resource_pool.created", 2, 1),
        ("resource_pool.updated", 7, 2),
        ("resource_pool.deleted", 7, 3),
    ]


async def test_others_do_not_see_the_pools_of_a_workspace_and_viewers_change_none(stage: Stage) -> None:
    await stage.pool()
    await stage.pools.GetResourcePool(
        allocation_pb2.GetResourcePoolRequest(name="gpus", workspace_id=str(stage.ada.workspace_id)),
        metadata=stage.viewer.metadata,
    )
    here = {"workspace_id": str(stage.ada.workspace_id)}
    with pytest.raises(PermissionDenied):
        await stage.pools.CreateResourcePool(
            allocation_pb2.CreateResourcePoolRequest(name="a", units=1, **here), metadata=stage.viewer.metadata
        )
    with pytest.raises(PermissionDenied):
        await stage.keys.PutConcurrencyKey(
            allocation_pb2.PutConcurrencyKeyRequest(key="a", **here), metadata=stage.viewer.metadata
        )
    there = {"workspace_id": str(stage.viewer.workspace_id)}
    with pytest.raises(NotFound):
        await stage.pools.GetResourcePool(
            allocation_pb2.GetResourcePoolRequest(name="gpus", **there), metadata=stage.ada.metadata
        )
    with pytest.raises(NotFound):
        await stage.keys.ListConcurrencyKeys(
            allocation_pb2.ListConcurrencyKeysRequest(**there), metadata=stage.ada.metadata
        )


async def test_what_a_run_asks_for_has_to_be_there_when_it_is_ordered(stage: Stage) -> None:
    await stage.pool()
    with pytest.raises(InvalidArgument) as unknown:
        await stage.order(resources={"gpu": 1})
    assert unknown.value.code == "UNKNOWN_RESOURCE_POOL"
    assert unknown.value.violations[0].field == 'resources["gpu"]'
    with pytest.raises(InvalidArgument) as too_many:
        await stage.schedule(resources={"gpus": 3})
    assert too_many.value.code == "TOO_MANY_UNITS"
    schedule = await stage.schedule(resources={"gpus": 2})
    with pytest.raises(InvalidArgument):
        await stage.schedules.UpdateSchedule(
            schedules_pb2.UpdateScheduleRequest(
                id=schedule.id, resources={"cpus": 1}, update_mask=FieldMask(paths=["resources"])
            ),
            metadata=stage.ada.metadata,
        )


async def test_a_pool_says_what_is_in_use_and_a_run_why_it_waits(stage: Stage) -> None:
    await stage.pool()
    first, second = await stage.order(resources={"gpus": 2}), await stage.order(resources={"gpus": 1})
    (held,) = await stage.claim()
    assert held.id == first.id
    assert dict((await stage.read(second)).resources) == {"gpus": 1}
    pool = await stage.look()
    assert (pool.units_in_use, pool.runs_waiting) == (2, 1)
    assert await stage.waits_for(second) == "WAIT_REASON_RESOURCES"
    await stage.resize("gpus", 0)
    await stage.complete(held)
    assert await stage.claim() == []
    assert await stage.waits_for(second) == "WAIT_REASON_RESOURCE_POOL"
    await stage.resize("gpus", 1)
    assert await stage.waits_for(second) == "WAIT_REASON_UNSPECIFIED"
    (held,) = await stage.claim()
    assert held.id == second.id


async def test_a_worker_that_waits_gets_a_job_when_units_come_free(stage: Stage) -> None:
    await stage.pool(units=1)
    await stage.order(resources={"gpus": 1})
    second = await stage.order(resources={"gpus": 1})
    (held,) = await stage.claim()
    waiting = asyncio.create_task(stage.claim(wait_s=20))
    await stage.complete(held)
    assert [run.id for run in await waiting] == [second.id]


async def test_a_key_says_what_runs_and_waits_and_may_have_limits_of_its_own(stage: Stage) -> None:
    runs = [await stage.order(concurrency_key="api") for _ in range(3)]
    await stage.order(concurrency_key="db")
    assert len(await stage.claim()) == 2

    async def keys() -> list[tuple[str, int, int]]:
        request = allocation_pb2.ListConcurrencyKeysRequest()
        answer = await stage.keys.ListConcurrencyKeys(request, metadata=stage.ada.metadata)
        return [(each.key, each.running, each.waiting) for each in answer.concurrency_keys]

    assert await keys() == [("api", 1, 2), ("db", 1, 0)]
    assert await stage.waits_for(runs[1]) == "WAIT_REASON_CONCURRENCY"
    put = allocation_pb2.PutConcurrencyKeyRequest(
        key="api", concurrency_limit=3, rate_limit=allocation_pb2.RateLimit(limit=1, period_s=60)
    )
    key = (await stage.keys.PutConcurrencyKey(put, metadata=stage.ada.metadata)).concurrency_key
    assert (key.concurrency_limit, key.rate_limit.limit, key.running, key.starts) == (3, 1, 1, 0)
    assert len(await stage.claim()) == 1
    assert await stage.waits_for(runs[2]) == "WAIT_REASON_RATE_LIMIT"
    again = (await stage.keys.PutConcurrencyKey(put, metadata=stage.ada.metadata)).concurrency_key
    assert (again.running, again.waiting, again.starts) == (2, 1, 1)
    gone = allocation_pb2.DeleteConcurrencyKeyRequest(key="api")
    await stage.keys.DeleteConcurrencyKey(gone, metadata=stage.ada.metadata)
    with pytest.raises(NotFound):
        await stage.keys.DeleteConcurrencyKey(gone, metadata=stage.ada.metadata)
    await stage.keys.PutConcurrencyKey(allocation_pb2.PutConcurrencyKeyRequest(key="idle"), metadata=stage.ada.metadata)
    assert await keys() == [("api", 2, 1), ("db", 1, 0), ("idle", 0, 0)]
    first = await stage.keys.ListConcurrencyKeys(
        allocation_pb2.ListConcurrencyKeysRequest(page_size=2), metadata=stage.ada.metadata
    )
    second = await stage.keys.ListConcurrencyKeys(
        allocation_pb2.ListConcurrencyKeysRequest(page_size=2, page_token=first.next_page_token),
        metadata=stage.ada.metadata,
    )
    assert [each.key for each in second.concurrency_keys] == ["idle"]


async def test_what_becomes_of_the_limits_of_a_key_is_told(stage: Stage) -> None:
    async def put(limit: int) -> None:
        request = allocation_pb2.PutConcurrencyKeyRequest(key="api", concurrency_limit=limit)
        await stage.keys.PutConcurrencyKey(request, metadata=stage.ada.metadata)

    async def delete() -> None:
        request = allocation_pb2.DeleteConcurrencyKeyRequest(key="api")
        await stage.keys.DeleteConcurrencyKey(request, metadata=stage.ada.metadata)

    await put(2)
    # Those who write the same at once change it once.
    await asyncio.gather(*(put(3) for _ in range(5)))
    await delete()
    await put(3)
    # And of those who write different ones each is told, in the order in which they stayed.
    await asyncio.gather(*(put(limit) for limit in range(4, 8)))
    database = await Database.connect(stage.database_url, size=1)
    of_keys = statement(select(EVENTS).where(EVENTS.c.aggregate == "concurrency_key").order_by(EVENTS.c.position))
    rows = await database.fetch(of_keys)
    await database.close()
    told = [(row["type"].partition(".")[2], row["aggregate_version"], row["data"]["concurrency_key"]) for row in rows]
    first, later = told[:3], told[3:]
    assert [(kind, version, key["concurrency_limit"]) for kind, version, key in first] == [
        ("created", 1, 2),
        ("updated", 2, 3),
        ("deleted", 3, 3),
    ]
    assert [(kind, version) for kind, version, _ in later] == [("created", 1), *(("updated", n) for n in range(2, 6))]
    (key,) = (
        await stage.keys.ListConcurrencyKeys(allocation_pb2.ListConcurrencyKeysRequest(), metadata=stage.ada.metadata)
    ).concurrency_keys
    assert key.concurrency_limit == later[-1][2]["concurrency_limit"]
    assert {row["aggregate_id"] for row in rows[:3]}.isdisjoint(row["aggregate_id"] for row in rows[3:])


async def test_a_schedule_hands_on_what_its_runs_share(stage: Stage) -> None:
    await stage.pool()
    schedule = await stage.schedule(
        concurrency_key="deploy",
        concurrency_policy=allocation_pb2.CONCURRENCY_POLICY_CANCEL_IN_PROGRESS,
        concurrency_group="eu",
        rate_limit=allocation_pb2.RateLimit(limit=10, period_s=3600),
        resources={"gpus": 1},
    )
    assert schedule.concurrency_policy == allocation_pb2.CONCURRENCY_POLICY_CANCEL_IN_PROGRESS
    assert (schedule.concurrency_group, dict(schedule.resources)) == ("eu", {"gpus": 1})

    async def first_claimed() -> workers_pb2.ClaimedRun | None:
        return next(iter(await stage.claim()), None)

    stage.clock.advance(60)
    old = await eventually(first_claimed)
    run = await stage.read(old)
    assert (run.concurrency_key, run.concurrency_group, run.rate_limit.limit) == ("deploy", "eu", 10)
    stage.clock.advance(60)
    new = await eventually(first_claimed)
    assert new.id != old.id
    ended = await stage.read(old)
    assert ended.status == CANCELLED
    assert "later time" in ended.error


async def test_requests_with_a_unique_key_are_one_run_in_a_period(stage: Stage) -> None:
    unique = allocation_pb2.Unique(key="report", period_s=3600)
    runs = await asyncio.gather(*(stage.order(unique=unique, idempotency_key=f"{n}") for n in range(10)))
    (run_id,) = {run.id for run in runs}
    (held,) = await stage.claim()
    assert held.id == run_id
    await stage.complete(held)
    # Also when it has ended, and when a request comes again.
    assert (await stage.order(unique=unique)).id == run_id
    assert (await stage.order(unique=unique, idempotency_key="3")).id == run_id
    assert (await stage.order(unique=allocation_pb2.Unique(key="other", period_s=1))).id != run_id
    stage.clock.advance(3600)
    assert (await stage.order(unique=unique)).id != run_id


async def test_a_schedule_skips_the_times_for_whose_key_there_is_a_run(stage: Stage) -> None:
    unique = allocation_pb2.Unique(key="bake", period_s=90)
    schedule = await stage.schedule(unique=unique)
    assert schedule.unique == unique

    async def ledger() -> list[tuple[str, str]]:
        request = schedules_pb2.ListLedgerRequest(id=schedule.id)
        entries = (await stage.schedules.ListLedger(request, metadata=stage.ada.metadata)).entries
        return [
            (schedules_pb2.LedgerOutcome.Name(each.outcome), schedules_pb2.SkipReason.Name(each.reason))
            for each in entries
        ]

    for count in (1, 2, 3):
        stage.clock.advance(60)
        await eventually(lambda count=count: _has(ledger, count))
    outcomes = [("pending" if "PENDING" in outcome else reason) for outcome, reason in await ledger()]
    assert outcomes == ["pending", "SKIP_REASON_UNIQUE", "pending"]
    assert len(await stage.claim()) == 2
    # What is ordered meets what a schedule has started.
    run = await stage.order(unique=unique)
    assert run.schedule_id == schedule.id


FROM_COMPLETION = schedules_pb2.ScheduleSpec(every_s=60, anchor=schedules_pb2.INTERVAL_ANCHOR_COMPLETION)


@pytest.mark.parametrize("how", [{"max_runs": 1}, {"spec": FROM_COMPLETION}], ids=["max_runs", "from completion"])
async def test_a_schedule_goes_on_after_a_time_that_was_skipped_for_a_run_of_its_key(
    stage: Stage, how: dict[str, Any]
) -> None:
    unique = allocation_pb2.Unique(key="bake", period_s=90)
    await stage.order(unique=unique)
    assert len(await stage.claim()) == 1
    schedule = await stage.schedule(unique=unique, **how)

    async def skipped() -> bool:
        request = schedules_pb2.ListLedgerRequest(id=schedule.id)
        return bool((await stage.schedules.ListLedger(request, metadata=stage.ada.metadata)).entries)

    stage.clock.advance(60)
    await eventually(skipped)
    stage.clock.advance(60)
    (run,) = await eventually(stage.claim)
    assert run.schedule_id == schedule.id


async def _has(ledger: Any, count: int) -> bool:
    return len(await ledger()) == count


async def test_requests_that_follow_each_other_closely_are_one_run_of_the_last(stage: Stage) -> None:
    debounce = allocation_pb2.Debounce(key="index", wait_s=10, max_wait_s=25)
    first = await stage.order(debounce=debounce, told="first")
    at_once = await asyncio.gather(*(stage.order(debounce=debounce, told="some") for _ in range(10)))
    assert {run.id for run in at_once} == {first.id}
    for _ in range(2):
        stage.clock.advance(9)
        assert await stage.claim() == []
        assert (await stage.order(debounce=debounce, told="last")).id == first.id
    # 18 s after the first request; it starts at 25 s, not at 28.
    stage.clock.advance(6.9)
    assert await stage.claim() == []
    stage.clock.advance(0.1)
    (job,) = await stage.claim()
    assert (job.id, job.payload["told"]) == (first.id, "last")
    later = await stage.order(debounce=debounce, told="next")
    assert later.id != first.id
    stage.clock.advance(10)
    assert [run.id for run in await stage.claim()] == [later.id]


async def test_fifty_debounced_requests_at_once_are_one_run(stage: Stage) -> None:
    debounce = allocation_pb2.Debounce(key="index", wait_s=10)
    runs = await asyncio.gather(*(stage.order(debounce=debounce, idempotency_key=f"{n}") for n in range(50)))
    assert len({run.id for run in runs}) == 1
    stage.clock.advance(10)
    assert len(await stage.claim(limit=100)) == 1
    assert (await stage.order(debounce=debounce, idempotency_key="7")).id == runs[0].id


@pytest.mark.parametrize("field", ["at", "after", "unique"])
async def test_what_a_debounced_run_cannot_have_is_refused(stage: Stage, field: str) -> None:
    other = await stage.order()
    value = {"at": Timestamp(seconds=1), "after": [other.id], "unique": allocation_pb2.Unique(key="a", period_s=1)}
    with pytest.raises(InvalidArgument):
        await stage.order(debounce=allocation_pb2.Debounce(key="a", wait_s=1), **{field: value[field]})
