"""Workers that claim jobs, keep and end them, through gRPC, on real servers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Struct, Value
from rota.scheduler.v1 import (
    runs_pb2,
    runs_pb2_grpc,
    schedules_pb2,
    schedules_pb2_grpc,
    workers_pb2,
    workers_pb2_grpc,
)
from rota_chassis.errors import Conflict, InvalidArgument, NotFound, PermissionDenied
from rota_chassis.testing.services import User

if TYPE_CHECKING:
    from integration.conftest import RunScheduler
    from rota_chassis.testing.auth import SmallAuth
    from rota_chassis.testing.clock import ManualClock
    from rota_chassis.testing.tokens import TokenIssuer

QUEUE = "thumbnails"
LEASE_S = 30


@dataclass
class Stage:
    """A running scheduler on a clock of its own, and who works for it."""

    schedules: schedules_pb2_grpc.ScheduleServiceStub
    runs: runs_pb2_grpc.RunServiceStub
    workers: workers_pb2_grpc.WorkerServiceStub
    auth: SmallAuth
    clock: ManualClock
    ada: User
    grace: User
    viewer: User

    async def order(
        self,
        *,
        queue: str = QUEUE,
        payload: dict[str, Any] | None = None,
        attempts: int = 3,
        user: User | None = None,
        **fields: Any,
    ) -> schedules_pb2.Run:
        """A new run, whose action is a job."""
        job = schedules_pb2.JobAction(queue=queue, payload=payload and ParseDict(payload, Struct()))
        action = schedules_pb2.Action(job=job, retry=schedules_pb2.RetryPolicy(max_attempts=attempts))
        request = runs_pb2.CreateRunRequest(action=action, **fields)
        return (await self.runs.CreateRun(request, metadata=(user or self.ada).metadata)).run

    async def claim(self, *, user: User | None = None, **fields: Any) -> list[workers_pb2.ClaimedRun]:
        """Jobs of the queue."""
        request = workers_pb2.ClaimRunsRequest(**{"name": QUEUE, "lease_s": LEASE_S, **fields})
        return list((await self.workers.ClaimRuns(request, metadata=(user or self.ada).metadata)).runs)

    async def beat(self, job: Any, *, user: User | None = None, **fields: Any) -> workers_pb2.HeartbeatRunResponse:
        """What a heartbeat is told."""
        request = workers_pb2.HeartbeatRunRequest(**{"id": job.id, "fence": job.fence, **fields})
        return await self.workers.HeartbeatRun(request, metadata=(user or self.ada).metadata)

    async def complete(
        self, job: Any, result: Any = None, *, user: User | None = None, **fields: Any
    ) -> schedules_pb2.Run:
        """The run as it ended."""
        request = workers_pb2.CompleteRunRequest(
            **{"id": job.id, "fence": job.fence, "result": ParseDict(result, Value()), **fields}
        )
        return (await self.workers.CompleteRun(request, metadata=(user or self.ada).metadata)).run

    async def fail(self, job: Any, *, user: User | None = None, **fields: Any) -> schedules_pb2.Run:
        """The run as it is after a failure."""
        request = workers_pb2.FailRunRequest(**{"id": job.id, "fence": job.fence, "error": "No.", **fields})
        return (await self.workers.FailRun(request, metadata=(user or self.ada).metadata)).run

    async def release(self, job: Any, *, user: User | None = None, **fields: Any) -> schedules_pb2.Run:
        """The run that was given back."""
        request = workers_pb2.ReleaseRunRequest(**{"id": job.id, "fence": job.fence, **fields})
        return (await self.workers.ReleaseRun(request, metadata=(user or self.ada).metadata)).run

    async def read(self, run_id: str) -> schedules_pb2.Run:
        """The run as it is now."""
        return (await self.runs.GetRun(runs_pb2.GetRunRequest(id=run_id), metadata=self.ada.metadata)).run

    async def queues(self, **fields: Any) -> list[tuple[str, int, int, int]]:
        """Each queue and its counts: waiting, running, delayed."""
        request = workers_pb2.ListQueuesRequest(**fields)
        answer = await self.workers.ListQueues(request, metadata=self.ada.metadata)
        return [(each.name, each.waiting, each.running, each.delayed) for each in answer.queues]


@pytest.fixture
async def stage(run_scheduler: RunScheduler, auth: SmallAuth, issuer: TokenIssuer, clock: ManualClock) -> Stage:
    channel = await run_scheduler(clock=clock)
    ada, grace, viewer = User(issuer), User(issuer), User(issuer)
    for user in (ada, grace, viewer):
        auth.add_user(user)
    auth.add_member(ada.workspace_id, viewer.id, role="viewer")
    return Stage(
        schedules_pb2_grpc.ScheduleServiceStub(channel),
        runs_pb2_grpc.RunServiceStub(channel),
        workers_pb2_grpc.WorkerServiceStub(channel),
        auth,
        clock,
        ada,
        grace,
        viewer,
    )


async def code_of(call: Any) -> str:
    with pytest.raises(Conflict) as caught:
        await call
    return caught.value.code


async def test_a_job_goes_from_its_order_to_a_worker_and_its_result_to_whoever_asks(stage: Stage) -> None:
    run = await stage.order(payload={"file": "a.png", "sizes": [64, 128]})
    assert await stage.queues() == [(QUEUE, 1, 0, 0)]
    (job,) = await stage.claim(worker="kitchen-1")
    assert (job.id, job.queue, job.fence, job.attempts, job.max_attempts) == (run.id, QUEUE, 1, 1, 3)
    assert MessageToDict(job.payload) == {"file": "a.png", "sizes": [64, 128]}
    assert await stage.queues() == [(QUEUE, 0, 1, 0)]
    assert await stage.claim() == []
    stage.clock.advance(5)
    answer = await stage.beat(job, progress=40, message="Half of it")
    assert answer.lease_until.ToDatetime() - job.lease_until.ToDatetime() == timedelta(seconds=5)
    shown = (await stage.read(run.id)).progress
    assert (shown.percent, shown.message, shown.worker) == (40, "Half of it", "kitchen-1")
    ended = await stage.complete(job, {"files": ["a-64.png"]})
    assert ended.status == schedules_pb2.RUN_STATUS_SUCCEEDED
    assert MessageToDict((await stage.read(run.id)).result) == {"files": ["a-64.png"]}
    assert await stage.queues() == []
    listed = await stage.runs.ListAllRuns(runs_pb2.ListAllRunsRequest(), metadata=stage.ada.metadata)
    assert [each.HasField("result") for each in listed.runs] == [False]


async def test_a_worker_that_waits_is_given_the_job_when_it_is_ordered(stage: Stage) -> None:
    waiting = [asyncio.create_task(stage.claim(wait_s=20)) for _ in range(5)]
    elsewhere = asyncio.create_task(stage.claim(wait_s=1, name="other"))
    await stage.claim(name="other")
    orders = {(await stage.order()).id for _ in range(5)}
    async with asyncio.timeout(15):
        found = await asyncio.gather(*waiting)
    assert {job.id for jobs in found for job in jobs} == orders
    assert [len(jobs) for jobs in found] == [1] * 5
    assert await elsewhere == []


async def test_what_waits_with_priority_is_claimed_first_and_what_is_for_later_not_yet(stage: Stage) -> None:
    later = runs_pb2.CreateRunRequest().at
    later.FromDatetime(stage.clock.now() + timedelta(hours=1))
    await stage.order(at=later)
    first, second, third = [await stage.order(priority=priority) for priority in (0, 10, -10)]
    assert await stage.queues() == [(QUEUE, 3, 0, 1)]
    assert [job.id for job in await stage.claim(limit=2)] in ([second.id, first.id], [first.id, second.id])
    assert [job.id for job in await stage.claim(limit=2)] == [third.id]
    stage.clock.advance(3600)
    assert len(await stage.claim(limit=100)) == 4


async def test_after_its_lease_a_job_is_claimed_again_and_the_first_worker_is_refused(stage: Stage) -> None:
    await stage.order()
    (first,) = await stage.claim()
    stage.clock.advance(LEASE_S - 1)
    assert await stage.claim() == []
    await stage.beat(first)
    stage.clock.advance(LEASE_S - 1)
    assert await stage.claim() == []
    stage.clock.advance(1)
    (second,) = await stage.claim()
    assert (second.id, second.fence, second.attempts) == (first.id, 2, 2)
    for call in (stage.beat, stage.complete, stage.fail, stage.release):
        assert await code_of(call(first)) == "LEASE_LOST"
    assert (await stage.complete(second)).status == schedules_pb2.RUN_STATUS_SUCCEEDED
    assert await code_of(stage.beat(second)) == "LEASE_LOST"


async def test_a_worker_that_lies_about_its_fence_is_refused(stage: Stage) -> None:
    await stage.order()
    (job,) = await stage.claim()
    for fence in (2, 1000, 2**31 - 1):
        for call in (stage.beat, stage.complete, stage.fail, stage.release):
            assert await code_of(call(job, fence=fence)) == "LEASE_LOST"
    for fence in (0, -1):
        with pytest.raises(InvalidArgument):
            await stage.complete(job, fence=fence)
    assert (await stage.complete(job)).status == schedules_pb2.RUN_STATUS_SUCCEEDED


async def test_what_is_no_job_is_no_workers(stage: Stage) -> None:
    later = runs_pb2.CreateRunRequest().at
    later.FromDatetime(stage.clock.now() + timedelta(hours=1))
    action = schedules_pb2.Action(event=schedules_pb2.EventAction(type="plants.thirsty"))
    request = runs_pb2.CreateRunRequest(action=action, at=later)
    run = (await stage.runs.CreateRun(request, metadata=stage.ada.metadata)).run
    for call in (stage.beat, stage.complete, stage.fail, stage.release):
        assert await code_of(call(workers_pb2.ClaimedRun(id=run.id, fence=1))) == "LEASE_LOST"


async def test_a_cancelled_run_tells_its_worker(stage: Stage) -> None:
    run = await stage.order()
    (job,) = await stage.claim()
    assert not (await stage.beat(job)).cancelled
    await stage.runs.CancelRun(runs_pb2.CancelRunRequest(id=run.id), metadata=stage.ada.metadata)
    answer = await stage.beat(job, progress=99)
    assert (answer.cancelled, answer.HasField("lease_until")) == (True, False)
    for call in (stage.complete, stage.fail, stage.release):
        assert await code_of(call(job)) == "RUN_CANCELLED"
    assert await code_of(stage.beat(job, fence=2)) == "LEASE_LOST"
    assert (await stage.read(run.id)).status == schedules_pb2.RUN_STATUS_CANCELLED


async def test_a_job_of_a_schedule_is_begun_by_workers_only_and_its_end_counts_as_any(stage: Stage) -> None:
    request = schedules_pb2.CreateScheduleRequest(
        name="Thumbnails",
        interval_s=60,
        action=schedules_pb2.Action(job=schedules_pb2.JobAction(queue=QUEUE)),
        overlap=schedules_pb2.OVERLAP_BUFFER_ONE,
        pause_after_failures=2,
    )
    schedule = (await stage.schedules.CreateSchedule(request, metadata=stage.ada.metadata)).schedule
    jobs = []
    for _ in range(2):
        stage.clock.advance(60)
        jobs += await stage.claim(wait_s=10, lease_s=3600)
        (job,) = jobs[-1:]
        assert (job.schedule_id, job.fence, job.attempts) == (schedule.id, 1, 1)
        stage.clock.advance(60)
        # The next of the schedule waits for this one.
        assert await stage.claim(wait_s=2) == []
        assert (await stage.fail(job, retryable=False)).status == schedules_pb2.RUN_STATUS_FAILED
        (buffered,) = await stage.claim(wait_s=10, lease_s=3600)
        if len(jobs) == 1:
            await stage.complete(buffered)
        else:
            await stage.fail(buffered, retryable=False)
    get = schedules_pb2.GetScheduleRequest(id=schedule.id)
    assert (await stage.schedules.GetSchedule(get, metadata=stage.ada.metadata)).schedule.paused


async def test_of_several_who_end_a_job_at_once_one_word_counts(stage: Stage) -> None:
    await stage.order()
    (job,) = await stage.claim()
    answers = await asyncio.gather(*(stage.complete(job, number) for number in range(5)))
    (result,) = {MessageToDict(run.result) for run in answers}
    assert result in range(5)
    assert await code_of(stage.fail(job)) == "LEASE_LOST"
    await stage.order()
    (job,) = await stage.claim()
    ends: list[Any] = await asyncio.gather(
        stage.complete(job), stage.fail(job, retryable=False), return_exceptions=True
    )
    assert sorted(type(end).__name__ for end in ends) == ["Conflict", "Run"]


async def test_a_failed_attempt_is_made_again_by_the_policy_and_then_is_a_dead_letter(stage: Stage) -> None:
    run = await stage.order(attempts=2)
    (job,) = await stage.claim()
    failed = await stage.fail(job)
    assert (failed.status, failed.error) == (schedules_pb2.RUN_STATUS_PENDING, "No.")
    assert (await stage.fail(job)).status == schedules_pb2.RUN_STATUS_PENDING
    stage.clock.advance(10)
    (job,) = await stage.claim()
    assert (job.fence, job.attempts) == (2, 2)
    assert (await stage.fail(job, error="Still not.")).status == schedules_pb2.RUN_STATUS_FAILED
    assert (await stage.fail(job)).error == "Still not."
    dead = await stage.runs.ListDeadLetters(runs_pb2.ListDeadLettersRequest(), metadata=stage.ada.metadata)
    assert [each.id for each in dead.runs] == [run.id]
    replay = runs_pb2.ReplayDeadLetterRequest(id=run.id)
    again = (await stage.runs.ReplayDeadLetter(replay, metadata=stage.ada.metadata)).run
    (job,) = await stage.claim()
    assert job.id == again.id
    assert (await stage.fail(job, retryable=False)).status == schedules_pb2.RUN_STATUS_FAILED


async def test_a_job_whose_workers_are_never_heard_of_again_fails_after_its_attempts(stage: Stage) -> None:
    run = await stage.order(attempts=2)
    for _ in range(2):
        assert len(await stage.claim()) == 1
        stage.clock.advance(LEASE_S)
    assert await stage.claim() == []
    ended = await stage.read(run.id)
    assert (ended.status, ended.error) == (schedules_pb2.RUN_STATUS_FAILED, "Every attempt ended without a word.")


async def test_a_job_that_is_given_back_has_not_been_attempted(stage: Stage) -> None:
    await stage.order(attempts=1)
    (first,) = await stage.claim()
    for _ in range(2):
        assert (await stage.release(first)).attempts == 0
    (second,) = await stage.claim()
    assert (second.fence, second.attempts) == (2, 1)
    assert await code_of(stage.complete(first)) == "LEASE_LOST"


async def test_jobs_are_claimed_and_ended_by_those_who_may_write_in_their_workspace(stage: Stage) -> None:
    run = await stage.order()
    assert await stage.claim(user=stage.grace) == []
    with pytest.raises(NotFound):
        await stage.claim(user=stage.grace, workspace_id=str(stage.ada.workspace_id))
    (job,) = await stage.claim()
    for call in (stage.beat, stage.complete, stage.fail, stage.release):
        with pytest.raises(NotFound):
            await call(job, user=stage.grace)
    with pytest.raises(PermissionDenied):
        await stage.claim(user=stage.viewer, workspace_id=str(stage.ada.workspace_id))
    for call in (stage.beat, stage.complete, stage.fail, stage.release):
        with pytest.raises(PermissionDenied):
            await call(job, user=stage.viewer)
    request = workers_pb2.ListQueuesRequest(workspace_id=str(stage.ada.workspace_id))
    assert len((await stage.workers.ListQueues(request, metadata=stage.viewer.metadata)).queues) == 1
    with pytest.raises(NotFound):
        await stage.workers.ListQueues(request, metadata=stage.grace.metadata)
    assert (await stage.complete(job)).id == run.id


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": "a b"},
        {"name": "a" * 101},
        {"limit": 101},
        {"limit": -1},
        {"wait_s": 21},
        {"wait_s": -1},
        {"lease_s": 3601},
        {"lease_s": -1},
        {"worker": "w" * 201},
        {"workspace_id": "none"},
    ],
    ids=lambda fields: " ".join(f"{name}={str(value)[:8]}" for name, value in fields.items()),
)
async def test_a_claim_beyond_what_the_contract_admits_is_refused(stage: Stage, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        await stage.claim(**fields)


async def test_payloads_and_results_have_limits(stage: Stage) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await stage.order(payload={"text": "x" * 64_000})
    assert caught.value.violations[0].field == "action.job.payload"
    with pytest.raises(InvalidArgument):
        await stage.order(queue="no such/queue")
    await stage.order()
    (job,) = await stage.claim()
    with pytest.raises(InvalidArgument) as caught:
        await stage.complete(job, "x" * 16_000)
    assert caught.value.violations[0].field == "result"
    for fields in ({"progress": 101}, {"progress": -1}, {"message": "x" * 1001}):
        with pytest.raises(InvalidArgument):
            await stage.beat(job, **fields)
    for error in ("", "x" * 2001):
        with pytest.raises(InvalidArgument):
            await stage.fail(job, error=error)


async def test_pages_of_queues_show_each_once(stage: Stage) -> None:
    names = [f"queue-{number}" for number in range(5)]
    for name in names:
        await stage.order(queue=name, concurrency_key="key" if name.endswith("3") else None)
    found: list[str] = []
    token = ""
    while True:
        request = workers_pb2.ListQueuesRequest(page_size=2, page_token=token)
        answer = await stage.workers.ListQueues(request, metadata=stage.ada.metadata)
        found += [each.name for each in answer.queues]
        token = answer.next_page_token
        if not token:
            break
    assert found == names
