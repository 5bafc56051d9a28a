"""Runs are executed under leases, with fences."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from rota.scheduler.v1 import schedules_pb2
from rota_chassis.testing.waiting import eventually, in_background
from rota_scheduler import ticker
from rota_scheduler.actions.egress import EgressPolicy
from rota_scheduler.actions.http import CallHttp, open_client
from rota_scheduler.runs import claims, finishing, holding, store
from rota_scheduler.runs import worker as worker_module
from rota_scheduler.runs.domain import LEASE, End, Failed, Status, Succeeded
from rota_scheduler.runs.finishing import Ended
from rota_scheduler.runs.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from datetime import datetime

    import pytest
    from rota_chassis.postgres.database import Database
    from rota_chassis.testing.clock import ManualClock
    from rota_scheduler.runs.domain import Execute, Outcome, Run

    MakeRun = Callable[[Mapping[str, Any]], Run]

TASK_ACTION = {"create_task": {"title": "Water the plants"}, "http": None}


class Recorder:
    """An action that takes note of each attempt and ends as it is told to."""

    def __init__(self, *outcomes: Outcome) -> None:
        self._outcomes = list(outcomes)
        self.attempts: list[Run] = []
        self.may_end = asyncio.Event()
        self.may_end.set()

    async def __call__(self, run: Run) -> Outcome:
        self.attempts.append(run)
        await self.may_end.wait()
        return self._outcomes.pop(0) if len(self._outcomes) > 1 else self._outcomes[0]


def worker_of(database: Database, clock: ManualClock, action: Execute, *, slots: int = 8) -> Worker:
    actions = {"create_task": action, "http": action}
    return Worker(database, clock, actions, slots=slots, jitter=lambda _low, high: high)


async def add(database: Database, *runs: Run) -> None:
    async with database.transaction() as work:
        await store.add(work, runs)


async def stored(database: Database, run: Run) -> Run:
    (found,) = await store.page(
        database, workspace_id=run.workspace_id, schedule_id=run.schedule_id, limit=2, before=None
    )
    return found


async def has_ended(database: Database, run: Run) -> bool:
    return (await stored(database, run)).status is Status.SUCCEEDED


async def work_off(worker: Worker, clock: ManualClock) -> None:
    """Tick until nothing more becomes available, moving the clock to when the next attempt is."""
    due: datetime | None = clock.now()
    while due is not None:
        clock.set(max(due, clock.now()))
        due = await worker.tick()
        await worker.idle()
        due = due if due is None else await worker.tick()


async def test_a_run_that_succeeds_says_so_once(
    database: Database, clock: ManualClock, make_run: MakeRun, events: Callable[[], Awaitable[list[Any]]]
) -> None:
    run = make_run(TASK_ACTION)
    await add(database, run)
    await work_off(worker_of(database, clock, Recorder(Succeeded(task_id=str(run.id)))), clock)
    done = await stored(database, run)
    assert (done.status, done.task_id, done.attempts, done.error) == (Status.SUCCEEDED, run.id, 1, None)
    assert done.started_at is not None
    (finished,) = await events()
    assert finished.run.id == str(run.id)
    assert finished.run.status == schedules_pb2.RUN_STATUS_SUCCEEDED


async def test_a_failure_that_may_pass_is_tried_five_times(
    database: Database, clock: ManualClock, make_run: MakeRun, events: Callable[[], Awaitable[list[Any]]]
) -> None:
    run, action = make_run(TASK_ACTION), Recorder(Failed("away", retryable=True))
    await add(database, run)
    started = clock.now()
    await work_off(worker_of(database, clock, action), clock)
    done = await stored(database, run)
    assert (done.status, done.attempts, done.error) == (Status.FAILED, 5, "away")
    assert clock.now() - started == timedelta(seconds=2 + 8 + 32 + 128)
    assert len(await events()) == 1


async def test_claims_go_on_as_soon_as_the_ends_that_they_waited_for_are_written(
    database: Database, clock: ManualClock, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ticker, "POLL_S", 3_600.0)
    monkeypatch.setattr(worker_module, "MOST_UNWRITTEN", 1)
    runs = [make_run(TASK_ACTION) for _ in range(20)]
    await add(database, *runs)
    async with in_background(worker_of(database, clock, Recorder(Succeeded()), slots=2).run()):
        for run in runs:
            await eventually(partial(has_ended, database, run))


async def test_any_other_failure_is_final(database: Database, clock: ManualClock, make_run: MakeRun) -> None:
    run, action = make_run(TASK_ACTION), Recorder(Failed("no", retryable=False))
    await add(database, run)
    await work_off(worker_of(database, clock, action), clock)
    assert len(action.attempts) == 1
    assert (await stored(database, run)).status is Status.FAILED


async def test_replicas_that_claim_at_once_take_each_run_once(
    replicas: Sequence[Database], clock: ManualClock, make_run: MakeRun
) -> None:
    action = Recorder(Succeeded())
    await add(replicas[0], *(make_run(TASK_ACTION) for _ in range(200)))
    workers = [worker_of(database, clock, action) for database in replicas for _ in range(2)]

    async def drain(worker: Worker) -> None:
        while await claims.next_available(replicas[0]) is not None:
            await worker.tick()
            await worker.idle()

    await asyncio.gather(*(drain(worker) for worker in workers))
    assert len(action.attempts) == 200
    assert len({run.id for run in action.attempts}) == 200


async def test_a_run_whose_lease_is_over_is_claimed_again_and_the_first_holder_is_refused(
    replicas: Sequence[Database], clock: ManualClock, make_run: MakeRun, events: Callable[[], Awaitable[list[Any]]]
) -> None:
    run = make_run(TASK_ACTION)
    slow, quick = Recorder(Failed("too late", retryable=False)), Recorder(Succeeded(http_status=204))
    slow.may_end.clear()
    await add(replicas[0], run)
    first, second = worker_of(replicas[0], clock, slow), worker_of(replicas[1], clock, quick)
    await first.tick()
    assert await second.tick() == clock.now() + LEASE
    clock.advance(LEASE.total_seconds())
    await second.tick()
    await second.idle()
    slow.may_end.set()
    await first.idle()
    done = await stored(replicas[0], run)
    assert (done.status, done.http_status, done.fence, done.attempts) == (Status.SUCCEEDED, 204, 2, 2)
    assert len(await events()) == 1


async def test_a_run_that_takes_longer_than_a_lease_stays_with_its_holder(
    replicas: Sequence[Database], clock: ManualClock, make_run: MakeRun
) -> None:
    run, slow, quick = make_run(TASK_ACTION), Recorder(Succeeded()), Recorder(Succeeded())
    slow.may_end.clear()
    await add(replicas[0], run)
    first, second = worker_of(replicas[0], clock, slow), worker_of(replicas[1], clock, quick)
    await first.tick()
    for _ in range(5):
        clock.advance(LEASE.total_seconds() / 2)
        await first.renew()
        assert await second.tick() == clock.now() + LEASE
    slow.may_end.set()
    await first.idle()
    assert quick.attempts == []
    assert (await stored(replicas[0], run)).status is Status.SUCCEEDED


async def test_a_fence_of_the_past_can_neither_finish_nor_return_a_run(
    database: Database, clock: ManualClock, make_run: MakeRun
) -> None:
    run = make_run(TASK_ACTION)
    await add(database, run)
    async with database.transaction() as work:
        claimed = await claims.claim(work, now=clock.now(), lease_until=clock.now() + LEASE, limit=5)
        stale = replace(claimed.runs[0], fence=claimed.runs[0].fence - 1)
        assert not await finishing.finish(work, [Ended(stale, End(Status.SUCCEEDED))], finished_at=clock.now())
        assert not await holding.try_again(work, [replace(stale, available_at=clock.now(), error="no")])
        await holding.give_back(work, [stale], available_at=clock.now())
        assert not await holding.renew(work, [stale], lease_until=clock.now() + 9 * LEASE)
    untouched = await stored(database, run)
    assert (untouched.status, untouched.available_at) == (Status.RUNNING, clock.now() + LEASE)


async def test_a_run_that_takes_every_holder_down_fails_in_the_end(
    database: Database, clock: ManualClock, make_run: MakeRun
) -> None:
    run = make_run(TASK_ACTION)
    await add(database, run)
    for _ in range(5):
        async with database.transaction() as work:
            await claims.claim(work, now=clock.now(), lease_until=clock.now() + LEASE, limit=1)
        clock.advance(LEASE.total_seconds())
    action = Recorder(Succeeded())
    await work_off(worker_of(database, clock, action), clock)
    assert action.attempts == []
    assert (await stored(database, run)).status is Status.FAILED


async def test_a_worker_that_stops_returns_what_it_holds_at_once(
    replicas: Sequence[Database], clock: ManualClock, make_run: MakeRun
) -> None:
    run, stuck = make_run(TASK_ACTION), Recorder(Succeeded())
    stuck.may_end.clear()
    await add(replicas[0], run)
    stopping = asyncio.create_task(worker_of(replicas[0], clock, stuck).run())
    await eventually(lambda: stuck.attempts)
    stopping.cancel()
    with suppress(asyncio.CancelledError):
        await stopping
    action = Recorder(Succeeded())
    await work_off(worker_of(replicas[1], clock, action), clock)
    done = await stored(replicas[1], run)
    assert (done.status, done.attempts, done.fence) == (Status.SUCCEEDED, 1, 2)


async def test_no_more_runs_are_held_than_there_are_slots(
    database: Database, clock: ManualClock, make_run: MakeRun
) -> None:
    action = Recorder(Succeeded())
    action.may_end.clear()
    await add(database, *(make_run(TASK_ACTION) for _ in range(5)))
    worker = worker_of(database, clock, action, slots=2)
    await worker.tick()
    await worker.tick()
    await eventually(lambda: len(action.attempts) == 2)
    action.may_end.set()
    while await claims.next_available(database) is not None:
        await worker.idle()
        await worker.tick()
    assert len(action.attempts) == 5


async def test_what_ends_quickly_is_claimed_ahead_and_what_finds_no_slot_goes_back(
    replicas: Sequence[Database], clock: ManualClock, make_run: MakeRun
) -> None:
    quick = Recorder(Succeeded())
    await add(replicas[0], *(make_run(TASK_ACTION) for _ in range(300)))
    worker = worker_of(replicas[0], clock, quick, slots=2)
    working = asyncio.create_task(worker.run())
    await eventually(lambda: len(quick.attempts) == 300)
    quick.may_end.clear()
    await add(replicas[0], *(make_run(TASK_ACTION) for _ in range(300)))
    worker.wake()
    await eventually(lambda: len(quick.attempts) == 302)
    await worker.return_waiting()
    # Only what is being executed is held now; another may have the rest.
    async with replicas[1].transaction() as work:
        others = await claims.claim(work, now=clock.now(), lease_until=clock.now() + LEASE, limit=1000)
    assert len(others.runs) == 298
    assert {(run.attempts, run.started_at) for run in others.runs} == {(1, clock.now())}
    quick.may_end.set()
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)


def call(url: str, **body: Any) -> dict[str, Any]:
    return {"create_task": None, "http": {"method": "put", "url": url, "body": body}}


async def test_an_http_call_is_repeated_under_the_same_key_until_it_is_answered_well(
    database: Database, clock: ManualClock, make_run: MakeRun, listening: Any
) -> None:
    async with listening(503, 429, 201) as endpoint, open_client(EgressPolicy(allow_private=True)) as client:
        run = make_run(call(endpoint.url, plants=3))
        await add(database, run)
        await work_off(worker_of(database, clock, CallHttp(client)), clock)
    done = await stored(database, run)
    assert (done.status, done.http_status, done.attempts) == (Status.SUCCEEDED, 201, 3)
    assert [made["line"] for made in endpoint.calls] == ["PUT /hook HTTP/1.1"] * 3
    assert {made["idempotency-key"] for made in endpoint.calls} == {str(run.id)}
    assert endpoint.calls[0]["user-agent"] == "rota"
    assert endpoint.calls[0]["content-type"] == "application/json"
    assert endpoint.calls[0]["body"] == '{"plants":3}'


async def test_a_redirect_is_not_followed_and_fails_the_run(
    database: Database, clock: ManualClock, make_run: MakeRun, listening: Any
) -> None:
    async with listening(302) as endpoint, open_client(EgressPolicy(allow_private=True)) as client:
        run = make_run(call(endpoint.url))
        await add(database, run)
        await work_off(worker_of(database, clock, CallHttp(client)), clock)
    done = await stored(database, run)
    assert (done.status, done.http_status, len(endpoint.calls)) == (Status.FAILED, 302, 1)


async def test_an_address_that_is_not_allowed_is_never_called(
    database: Database, clock: ManualClock, make_run: MakeRun, listening: Any
) -> None:
    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    policy = EgressPolicy(allow_private=False, resolve=resolve)
    async with listening(200) as endpoint, open_client(policy) as client:
        run = make_run(call(f"http://innocent.example:{endpoint.port}/"))
        await add(database, run)
        await work_off(worker_of(database, clock, CallHttp(client)), clock)
    done = await stored(database, run)
    assert done.status is Status.FAILED
    assert done.error is not None
    assert "not allowed" in done.error
    assert endpoint.calls == []


async def test_the_next_address_of_a_name_is_tried_when_one_refuses(
    database: Database, clock: ManualClock, make_run: MakeRun, listening: Any
) -> None:
    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return ["127.0.0.2", "127.0.0.1"]

    async with (
        listening(200) as endpoint,
        open_client(EgressPolicy(allow_private=True, resolve=resolve)) as client,
    ):
        run = make_run(call(f"http://plants.example:{endpoint.port}/"))
        await add(database, run)
        await work_off(worker_of(database, clock, CallHttp(client)), clock)
    assert (await stored(database, run)).status is Status.SUCCEEDED
    assert endpoint.calls[0]["host"] == f"plants.example:{endpoint.port}"
