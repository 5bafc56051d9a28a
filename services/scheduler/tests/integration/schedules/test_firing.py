"""Schedules fire each of their nominal times once."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from rota_chassis.ids import uuid7
from rota_chassis.testing.waiting import eventually
from rota_scheduler.actions.egress import EgressPolicy
from rota_scheduler.runs import store as runs
from rota_scheduler.schedules import store
from rota_scheduler.schedules.dependencies import Schedules
from rota_scheduler.schedules.domain import Schedule, cursor_of
from rota_scheduler.schedules.firing import fire_schedules
from rota_scheduler.schedules.timing import Timing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rota_chassis.postgres.database import Database
    from rota_chassis.testing.clock import ManualClock
    from rota_scheduler.runs.domain import Run

    Firing = Callable[[Database], Schedules]

ACTION = {"create_task": {"title": "Water the plants"}, "http": None}


@pytest.fixture
def firing(clock: ManualClock) -> Firing:
    """What firing needs, for a replica."""

    def make(database: Database) -> Schedules:
        nothing = lambda: None  # noqa: E731
        return Schedules(database, None, clock, EgressPolicy(allow_private=True), nothing, nothing)  # type: ignore[arg-type]

    return make


async def add(database: Database, clock: ManualClock, timing: Timing) -> Schedule:
    now = clock.now()
    schedule = Schedule(
        id=uuid7(),
        workspace_id=uuid7(),
        name="Plants",
        timing=timing,
        action=ACTION,
        next_fire_at=cursor_of(timing, created_at=now, seed=""),
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
