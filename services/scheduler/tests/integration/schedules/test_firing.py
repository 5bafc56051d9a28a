"""Schedules fire each of their nominal times once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from rota.events.v1 import events_pb2
from rota_chassis.ids import uuid7
from rota_chassis.testing.waiting import eventually
from rota_scheduler.actions.egress import EgressPolicy
from rota_scheduler.ledger import store as ledger
from rota_scheduler.ledger.domain import Outcome as Outcomes
from rota_scheduler.runs import claims, finishing
from rota_scheduler.runs import store as runs
from rota_scheduler.runs.domain import LEASE, End, Failed, Status, Succeeded
from rota_scheduler.runs.finishing import Ended
from rota_scheduler.runs.worker import Worker
from rota_scheduler.schedules import store
from rota_scheduler.schedules.catchup import due_at
from rota_scheduler.schedules.dependencies import Schedules
from rota_scheduler.schedules.domain import Schedule, cursor_of
from rota_scheduler.schedules.firing import fire_schedules
from rota_scheduler.schedules.policies import Misfire, Overlap, Policies, SkipReason
from rota_scheduler.schedules.timing import Timing
from rota_scheduler.schedules.zone_data import follow_zone_data

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from rota_chassis.postgres.database import Database
    from rota_chassis.testing.clock import ManualClock
    from rota_scheduler.ledger.domain import Entry
    from rota_scheduler.runs.domain import Outcome, Run

    Firing = Callable[[Database], Schedules]

ACTION = {"create_task": {"title": "Water the plants"}, "http": None}


@pytest.fixture
def firing(clock: ManualClock) -> Firing:
    """What firing needs, for a replica."""

    def make(database: Database) -> Schedules:
        nothing = lambda: None  # noqa: E731
        return Schedules(database, None, clock, EgressPolicy(allow_private=True), nothing, nothing, nothing)  # type: ignore[arg-type]

    return make


async def add(database: Database, clock: ManualClock, timing: Timing, **policies: Any) -> Schedule:
    now, bounds = clock.now(), Policies(**policies)
    schedule = Schedule(
        id=uuid7(),
        workspace_id=uuid7(),
        name="Plants",
        timing=timing,
        policies=bounds,
        action=ACTION,
        next_fire_at=cursor_of(timing, bounds, created_at=now, now=now, seed=""),
        created_by=uuid7(),
        created_at=now,
        updated_at=now,
    )
    async with database.transaction() as work:
        await store.add(work, schedule)
    return schedule


async def _is_all_fired(database: Database, clock: ManualClock) -> bool:
    due = await store.next_due(database)
    return due is not None and due > clock.now()


async def runs_of(database: Database, schedule: Schedule) -> Sequence[Run]:
    found = await runs.page(
        database, workspace_id=schedule.workspace_id, schedule_id=schedule.id, limit=1000, before=None
    )
    return list(reversed(found))


async def entries_of(database: Database, schedule: Schedule) -> Sequence[Entry]:
    return await ledger.page(
        database,
        workspace_id=schedule.workspace_id,
        schedule_id=schedule.id,
        start=None,
        end=None,
        after=None,
        limit=1000,
    )


async def test_an_interval_fires_at_each_of_its_times_for_its_creator(
    database: Database, clock: ManualClock, firing: Firing
) -> None:
    schedule = await add(database, clock, Timing(interval_s=10))
    start = clock.now()
    assert await fire_schedules(firing(database)) == start + timedelta(seconds=10)
    clock.advance(10)
    assert await fire_schedules(firing(database)) == start + timedelta(seconds=20)
    clock.advance(10.5)
    await fire_schedules(firing(database))
    found = await runs_of(database, schedule)
    assert [run.nominal_time for run in found] == [start + timedelta(seconds=seconds) for seconds in (10, 20)]
    assert {run.acts_for for run in found} == {schedule.created_by}
    assert found[0].action == ACTION


async def test_a_single_time_in_the_past_fires_at_once_and_never_again(
    database: Database, clock: ManualClock, firing: Firing
) -> None:
    at = clock.now() - timedelta(days=400)
    schedule = await add(database, clock, Timing(at=at))
    assert await fire_schedules(firing(database)) is None
    clock.advance(100)
    assert await fire_schedules(firing(database)) is None
    assert [run.nominal_time for run in await runs_of(database, schedule)] == [at]


async def test_cron_keeps_its_cursor_in_the_zone(database: Database, clock: ManualClock, firing: Firing) -> None:
    schedule = await add(database, clock, Timing(cron="30 8 * * *", timezone="Asia/Kathmandu"))
    clock.advance(86_400)
    await fire_schedules(firing(database))
    (run,) = await runs_of(database, schedule)
    assert run.nominal_time.isoformat() == "2026-01-02T02:45:00+00:00"


async def test_replicas_that_fire_at_once_make_one_run_for_each_nominal_time(
    replicas: Sequence[Database], clock: ManualClock, firing: Firing
) -> None:
    schedules = [await add(replicas[0], clock, Timing(interval_s=1)) for _ in range(60)]
    start = clock.now()
    stop = asyncio.Event()

    async def keep_firing(database: Database) -> None:
        while not stop.is_set():
            await fire_schedules(firing(database))

    firing_now = [asyncio.create_task(keep_firing(database)) for database in replicas for _ in range(2)]
    for _ in range(20):
        clock.advance(0.5)
        await eventually(lambda: _is_all_fired(replicas[0], clock), every_s=0.001)
    stop.set()
    await asyncio.gather(*firing_now)
    expected = [start + timedelta(seconds=seconds) for seconds in range(1, 11)]
    for schedule in schedules:
        assert [run.nominal_time for run in await runs_of(replicas[0], schedule)] == expected


@pytest.mark.parametrize("overlap", [Overlap.SKIP, Overlap.BUFFER_ONE, Overlap.BUFFER_ALL])
async def test_a_crash_never_leaves_overlap_stuck(
    replicas: Sequence[Database], clock: ManualClock, firing: Firing, overlap: Overlap
) -> None:
    schedule = await add(replicas[0], clock, Timing(interval_s=10), overlap=overlap)
    clock.advance(10)
    await fire_schedules(firing(replicas[0]))
    async with replicas[0].transaction() as work:
        claimed = await claims.claim(work, now=clock.now(), lease_until=clock.now() + LEASE, limit=5)
    (lost,) = claimed.runs
    clock.advance(10)
    # The replica that holds the run is gone; while its lease lasts, the schedule's next time waits or is skipped.
    await fire_schedules(firing(replicas[1]))
    worker = Worker(replicas[1], clock, {"create_task": succeed}, slots=4)
    clock.advance(1)
    await worker.tick()
    await worker.idle()
    await worker.tick()
    await worker.idle()
    clock.advance(9)
    await fire_schedules(firing(replicas[2]))
    found = await runs_of(replicas[0], schedule)
    assert found[0].id == lost.id
    expected = {
        Overlap.SKIP: [(10, Status.SUCCEEDED), (30, Status.PENDING)],
    }.get(overlap, [(10, Status.SUCCEEDED), (20, Status.SUCCEEDED), (30, Status.PENDING)])
    start = schedule.created_at
    assert [(run.nominal_time, run.status) for run in found] == [
        (start + timedelta(seconds=seconds), status) for seconds, status in expected
    ]


@pytest.mark.parametrize("overlap", [Overlap.CANCEL_OTHER, Overlap.TERMINATE_OTHER])
async def test_a_run_that_must_be_alone_ends_the_others_and_what_they_report_does_not_count(
    replicas: Sequence[Database],
    clock: ManualClock,
    firing: Firing,
    events: Callable[[], Awaitable[list[Any]]],
    overlap: Overlap,
) -> None:
    schedule = await add(replicas[0], clock, Timing(interval_s=10), overlap=overlap)
    begun, broken_off = asyncio.Event(), asyncio.Event()

    async def endless(_run: Run) -> Outcome:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            broken_off.set()
        return Succeeded()

    worker = Worker(replicas[1], clock, {"create_task": endless}, slots=4)
    clock.advance(10)
    await fire_schedules(firing(replicas[0]))
    await worker.tick()
    await begun.wait()
    clock.advance(10)
    await fire_schedules(firing(replicas[0]))
    ended, alone = await runs_of(replicas[0], schedule)
    assert (ended.status, ended.finished_at, alone.status) == (Status.CANCELLED, clock.now(), Status.PENDING)
    await worker.renew()
    await worker.idle()
    assert broken_off.is_set()
    async with replicas[1].transaction() as work:
        refused = Ended(replace(ended, fence=1), End(Status.SUCCEEDED))
        assert not await finishing.finish(work, [refused], finished_at=clock.now())
    assert [event.run.id for event in await events()] == [str(ended.id)]


async def test_a_run_that_is_cancelled_before_it_starts_is_accounted_for_as_skipped(
    database: Database, clock: ManualClock, firing: Firing
) -> None:
    schedule = await add(database, clock, Timing(interval_s=10), overlap=Overlap.CANCEL_OTHER)
    for _ in range(2):
        clock.advance(10)
        await fire_schedules(firing(database))
    first, second = await entries_of(database, schedule)
    assert (first.outcome, first.reason) == (Outcomes.SKIPPED, SkipReason.CANCELLED)
    assert second.outcome == Outcomes.PENDING


async def test_replicas_that_fire_claim_and_finish_at_once_leave_one_run_of_each_schedule_whose_runs_end_others(
    replicas: Sequence[Database], clock: ManualClock, firing: Firing
) -> None:
    schedules = [await add(replicas[0], clock, Timing(interval_s=1), overlap=Overlap.CANCEL_OTHER) for _ in range(10)]
    workers = [Worker(each, clock, {"create_task": succeed}, slots=8) for each in replicas[1:]]
    for _ in range(10):
        clock.advance(1)
        await asyncio.gather(
            *(fire_schedules(firing(each)) for each in replicas), *(worker.tick() for worker in workers)
        )
        await asyncio.gather(*(worker.renew() for worker in workers))
    await eventually(lambda: _fires(replicas[0], clock, firing))
    for worker in workers:
        await worker.tick()
    await asyncio.gather(*(worker.idle() for worker in workers))
    for schedule in schedules:
        entries = await entries_of(replicas[0], schedule)
        assert [entry.nominal_time for entry in entries] == [
            schedule.created_at + timedelta(seconds=s) for s in range(1, 11)
        ]
        unfinished = [run for run in await runs_of(replicas[0], schedule) if run.finished_at is None]
        assert unfinished == []


async def test_when_the_rules_of_zones_change_what_is_ahead_is_worked_out_anew(
    replicas: Sequence[Database], clock: ManualClock
) -> None:
    database = replicas[0]
    await follow_zone_data(database, clock, on_due=lambda: None)
    zoned = await add(database, clock, Timing(cron="30 8 * * *", timezone="Asia/Kathmandu"))
    plain = await add(database, clock, Timing(interval_s=3600))
    other = replace(zoned, next_fire_at=clock.now() + timedelta(hours=1))
    async with database.transaction() as work:
        await store.save(work, other)
    woken: list[bool] = []
    # Its cursor is what older rules made of it; the replicas start at once with newer ones.
    assert await follow_zone_data(database, clock, on_due=lambda: None) == 0
    moved = await asyncio.gather(
        *(follow_zone_data(each, clock, on_due=lambda: woken.append(True), version="2099z") for each in replicas)
    )
    assert (sorted(moved), woken) == ([0, 0, 1], [True])
    async with database.transaction() as work:
        for schedule in (zoned, plain):
            found = await store.lock_alone(work, workspace_id=schedule.workspace_id, schedule_id=schedule.id)
            assert found is not None
            assert found.next_fire_at == schedule.next_fire_at


async def _fires(database: Database, clock: ManualClock, firing: Firing) -> bool:
    await fire_schedules(firing(database))
    return await _is_all_fired(database, clock)


async def test_buffered_runs_start_one_after_the_other_and_beyond_a_hundred_times_are_skipped(
    database: Database, clock: ManualClock, firing: Firing
) -> None:
    schedule = await add(database, clock, Timing(interval_s=1), overlap=Overlap.BUFFER_ALL, misfire=Misfire.ALL)
    clock.advance(103)
    for _ in range(2):
        await fire_schedules(firing(database))
    entries = await entries_of(database, schedule)
    assert [entry.reason for entry in entries] == [None] * 101 + [SkipReason.BUFFER_FULL] * 2
    at_once: list[int] = []

    async def alone(_run: Run) -> Outcome:
        at_once.append(len([run for run in await runs_of(database, schedule) if run.status is Status.RUNNING]))
        return Succeeded()

    worker = Worker(database, clock, {"create_task": alone}, slots=4)
    for _ in range(101):
        await worker.tick()
        await worker.idle()
    found = await runs_of(database, schedule)
    assert [run.status for run in found] == [Status.SUCCEEDED] * 101
    assert set(at_once) == {1}


async def succeed(_run: Run) -> Outcome:
    return Succeeded()


async def fail(_run: Run) -> Outcome:
    return Failed("No.", retryable=False)


async def test_a_schedule_whose_runs_fail_is_paused_and_says_so(
    database: Database, clock: ManualClock, firing: Firing, events: Callable[[], Awaitable[list[Any]]]
) -> None:
    schedule = await add(database, clock, Timing(interval_s=10), pause_after_failures=2)
    worker = Worker(database, clock, {"create_task": fail}, slots=4)
    for _ in range(4):
        clock.advance(10)
        await fire_schedules(firing(database))
        await worker.tick()
        await worker.idle()
    assert len(await runs_of(database, schedule)) == 2
    (paused,) = [event.schedule for event in await events() if isinstance(event, events_pb2.SchedulePaused)]
    assert (paused.id, paused.paused, paused.version) == (str(schedule.id), True, 2)
    entries = await ledger.page(
        database, workspace_id=schedule.workspace_id, schedule_id=schedule.id, start=None, end=None, after=None, limit=9
    )
    outcomes = [entry.outcome for entry in entries]
    assert outcomes == [Outcomes.RAN, Outcomes.RAN, Outcomes.SKIPPED, Outcomes.SKIPPED]


async def test_jitter_keeps_a_time_until_its_part_has_passed(
    database: Database, clock: ManualClock, firing: Firing
) -> None:
    schedule = await add(database, clock, Timing(interval_s=3600), jitter_s=600)
    assert schedule.next_fire_at is not None
    due = due_at(schedule, schedule.next_fire_at)
    assert await fire_schedules(firing(database)) == due
    clock.set(due - timedelta(milliseconds=1))
    await fire_schedules(firing(database))
    assert not await runs_of(database, schedule)
    clock.set(due)
    await fire_schedules(firing(database))
    (run,) = await runs_of(database, schedule)
    assert (run.nominal_time, run.due_at) == (schedule.next_fire_at, due)


async def test_a_run_that_ends_while_its_schedule_fires_never_leaves_the_buffered_one_behind(
    replicas: Sequence[Database], clock: ManualClock, firing: Firing
) -> None:
    schedules = [
        await add(replicas[0], clock, Timing(interval_s=1), overlap=Overlap.BUFFER_ONE, catch_up_s=3600)
        for _ in range(10)
    ]
    worker = Worker(replicas[1], clock, {"create_task": succeed}, slots=16)
    stop = asyncio.Event()

    async def keep(doing: Callable[[], Awaitable[Any]]) -> None:
        while not stop.is_set():
            await doing()
            await asyncio.sleep(0)

    tasks = [asyncio.create_task(keep(partial(fire_schedules, firing(each)))) for each in (replicas[0], replicas[2])]
    tasks += [asyncio.create_task(keep(doing)) for doing in (worker.tick, worker.idle)]

    async def all_ended() -> bool:
        found = [run for schedule in schedules for run in await runs_of(replicas[0], schedule)]
        return await _is_all_fired(replicas[0], clock) and all(run.finished_at is not None for run in found)

    for _ in range(15):
        clock.advance(1)
        await eventually(all_ended, every_s=0.005)
    stop.set()
    await asyncio.gather(*tasks)
    for schedule in schedules:
        entries = await ledger.page(
            replicas[0],
            workspace_id=schedule.workspace_id,
            schedule_id=schedule.id,
            start=None,
            end=None,
            after=None,
            limit=100,
        )
        expected = [schedule.created_at + timedelta(seconds=seconds) for seconds in range(1, 16)]
        assert [entry.nominal_time for entry in entries] == expected


async def test_what_fires_is_claimed_at_once_as_far_as_there_is_room_and_by_others_after_its_lease(
    database: Database, clock: ManualClock, firing: Firing
) -> None:
    for _ in range(3):
        await add(database, clock, Timing(interval_s=10))
    begun: list[Run] = []
    clock.advance(10)
    await fire_schedules(replace(firing(database), room=lambda: 2, begin=begun.extend))
    assert [(run.status, run.fence, run.attempts, run.started_at) for run in begun] == [
        (Status.RUNNING, 1, 1, clock.now())
    ] * 2
    assert [await runs.get(database, workspace_id=run.workspace_id, run_id=run.id) for run in begun] == begun
    async with database.transaction() as work:
        others = await claims.claim(work, now=clock.now(), lease_until=clock.now() + 2 * LEASE, limit=5)
    assert len(others.runs) == 1
    clock.advance(LEASE.total_seconds())
    async with database.transaction() as work:
        again = await claims.claim(work, now=clock.now(), lease_until=clock.now() + LEASE, limit=5)
    assert {(run.id, run.fence, run.attempts) for run in again.runs} == {(run.id, 2, 2) for run in begun}


async def test_what_must_wait_for_others_or_has_a_run_already_is_not_begun_when_it_fires(
    database: Database, clock: ManualClock, firing: Firing
) -> None:
    begun: list[Run] = []
    roomy = replace(firing(database), room=lambda: 100, begin=begun.extend)
    keyed = await add(database, clock, Timing(interval_s=10), concurrency_key="oven")
    buffered = await add(database, clock, Timing(interval_s=10), overlap=Overlap.BUFFER_ONE)
    twice = await add(database, clock, Timing(interval_s=10))
    assert twice.next_fire_at is not None
    clock.advance(10)
    await fire_schedules(roomy)
    assert {run.schedule_id for run in begun} == {buffered.id, twice.id}
    begun.clear()
    # As a replica does whose clock is behind, when somebody edits the schedule there.
    await _move_cursor(database, twice)
    clock.advance(9)
    await fire_schedules(roomy)
    assert begun == []
    clock.advance(1)
    await fire_schedules(roomy)
    assert {run.schedule_id for run in begun} == {twice.id}
    assert [run.status for run in await runs_of(database, keyed)] == [Status.PENDING] * 2
    assert [run.buffered for run in await runs_of(database, buffered)] == [False, True]
    assert len(await runs_of(database, twice)) == 2


async def _move_cursor(database: Database, schedule: Schedule) -> None:
    async with database.transaction() as work:
        locked = await store.lock_alone(work, workspace_id=schedule.workspace_id, schedule_id=schedule.id)
        assert locked is not None
        await store.save(work, replace(locked, next_fire_at=schedule.next_fire_at))


async def test_what_is_buffered_when_its_schedule_is_deleted_runs_all_the_same(
    database: Database, clock: ManualClock, firing: Firing
) -> None:
    schedule = await add(database, clock, Timing(interval_s=10), overlap=Overlap.BUFFER_ALL)
    for _ in range(3):
        clock.advance(10)
        await fire_schedules(firing(database))
    async with database.transaction() as work:
        await store.remove(work, schedule)
    worker = Worker(database, clock, {"create_task": succeed}, slots=4)
    for _ in range(3):
        await worker.tick()
        await worker.idle()
    assert [run.status for run in await runs_of(database, schedule)] == [Status.SUCCEEDED] * 3
