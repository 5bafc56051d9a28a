"""Schedules whose times count from the ends of their runs."""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import grpc.aio
import pytest
from rota_chassis.errors import InvalidArgument
from rota_chassis.identity import UserPrincipal
from rota_chassis.ids import uuid7
from rota_chassis.memberships import MEMBERSHIPS, Memberships
from rota_chassis.postgres.statements import statement
from rota_scheduler.actions.egress import EgressPolicy
from rota_scheduler.ledger import store as ledger
from rota_scheduler.runs import claims
from rota_scheduler.runs import commands as run_commands
from rota_scheduler.runs import store as runs
from rota_scheduler.runs.completions import Completion, settle
from rota_scheduler.runs.dependencies import Runs
from rota_scheduler.runs.domain import LEASE, Failed, Status, Succeeded
from rota_scheduler.runs.worker import Worker
from rota_scheduler.schedules import commands, queries, store
from rota_scheduler.schedules.backfill import backfill_schedule
from rota_scheduler.schedules.dependencies import Schedules
from rota_scheduler.schedules.domain import Edits, Schedule
from rota_scheduler.schedules.firing import fire_schedules
from rota_scheduler.schedules.policies import Policies, SkipReason
from rota_scheduler.schedules.timing import Timing
from sqlalchemy import bindparam, func, insert, select

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rota_chassis.postgres.database import Database
    from rota_chassis.testing.clock import ManualClock
    from rota_scheduler.runs.domain import Outcome, Run

USER = UserPrincipal(uuid7(), uuid7(), "user", None)
ACTION: dict[str, Any] = {"event": {"type": "plants.watered"}}
_JOIN = statement(insert(MEMBERSHIPS).values({c.name: bindparam(c.name) for c in MEMBERSHIPS.c}))
_TERMINATE = statement(select(func.pg_terminate_backend(bindparam("pid"))))


def delay(seconds: int) -> Timing:
    rule: dict[str, Any] = dict.fromkeys(("at", "phase_s", "cron", "rrule", "dtstart"))
    return Timing(spec={**rule, "every_s": seconds, "anchor": "completion", "union": [], "exclude": []})


class Taking:
    """The action: takes so many seconds of the clock, and ends as it is told."""

    def __init__(self, clock: ManualClock, seconds: float, outcome: Outcome | None = None) -> None:
        self._clock, self._seconds, self._outcome = clock, seconds, outcome or Succeeded()

    async def __call__(self, _run: Run) -> Outcome:
        self._clock.advance(self._seconds)
        return self._outcome


@pytest.fixture
async def schedules(database: Database, clock: ManualClock) -> Schedules:
    async with database.transaction() as work:
        await work.execute(
            _JOIN, workspace_id=USER.workspace_id, user_id=USER.user_id, role="member", version=1, removed=False
        )
    nothing = lambda: None  # noqa: E731
    # Nobody is asked: the copy of memberships knows the one user.
    memberships = Memberships(database, grpc.aio.insecure_channel("unix:/nowhere"))
    return Schedules(database, memberships, clock, EgressPolicy(allow_private=True), nothing, nothing, nothing)


async def create(schedules: Schedules, seconds: int = 60, **policies: Any) -> Schedule:
    return await commands.create_schedule(
        schedules,
        USER,
        workspace_id=USER.workspace_id,
        name="Plants",
        timing=delay(seconds),
        policies=Policies(**policies),
        action=ACTION,
    )


async def next_of(schedules: Schedules, schedule: Schedule) -> datetime | None:
    return (await queries.get_schedule(schedules, USER, schedule_id=schedule.id)).next_fire_at


async def work_off(database: Database, clock: ManualClock, action: Taking) -> None:
    worker = Worker(database, clock, {"event": action}, slots=1)
    await worker.tick()
    await worker.idle()


async def runs_of(database: Database, schedule: Schedule) -> Sequence[Run]:
    return await runs.page(
        database, workspace_id=schedule.workspace_id, schedule_id=schedule.id, limit=100, before=None
    )


@pytest.mark.parametrize(
    "outcome", [pytest.param(Succeeded(), id="succeeded"), pytest.param(Failed("No.", retryable=False), id="failed")]
)
async def test_the_next_time_is_the_interval_after_the_end_of_the_run(
    replicas: Sequence[Database], clock: ManualClock, schedules: Schedules, outcome: Outcome
) -> None:
    database, schedule = replicas[0], await create(schedules)
    assert schedule.next_fire_at == clock.now() + timedelta(seconds=60)
    clock.advance(60)
    await asyncio.gather(*(fire_schedules(replace(schedules, database=each)) for each in replicas))
    assert await next_of(schedules, schedule) is None
    await work_off(database, clock, Taking(clock, 7, outcome))
    assert await next_of(schedules, schedule) == clock.now() + timedelta(seconds=60)
    clock.advance(60)
    await fire_schedules(schedules)
    second, first = await runs_of(database, schedule)
    assert second.nominal_time - first.nominal_time == timedelta(seconds=67)


async def test_a_retry_is_a_part_of_the_run(database: Database, clock: ManualClock, schedules: Schedules) -> None:
    schedule = await create(schedules)
    clock.advance(60)
    await fire_schedules(schedules)
    await work_off(database, clock, Taking(clock, 1, Failed("Later.", retryable=True)))
    assert await next_of(schedules, schedule) is None
    clock.advance(60)
    await work_off(database, clock, Taking(clock, 1))
    assert await next_of(schedules, schedule) == clock.now() + timedelta(seconds=60)


async def test_the_first_time_is_the_start_of_the_schedule(clock: ManualClock, schedules: Schedules) -> None:
    starts_at = clock.now() + timedelta(days=1)
    assert (await create(schedules, starts_at=starts_at)).next_fire_at == starts_at


async def test_dying_before_the_end_is_committed_loses_neither_the_run_nor_the_next_time(
    replicas: Sequence[Database], clock: ManualClock, schedules: Schedules
) -> None:
    schedule = await create(schedules)
    clock.advance(60)
    await fire_schedules(schedules)
    async with replicas[0].transaction() as work:
        claimed = await claims.claim(work, now=clock.now(), lease_until=clock.now() + LEASE, limit=5)
    (run,) = claimed.runs
    batch = [Completion(run, Succeeded(), copy_context())]

    async def die() -> None:
        async with replicas[0].transaction() as work:
            await settle(work, batch, now=clock.now(), jitter=lambda low, _high: low)
            await replicas[2].fetch(_TERMINATE, pid=work.connection.get_server_pid())

    with pytest.raises(Exception, match="database does not answer"):
        await die()
    assert await next_of(replace(schedules, database=replicas[1]), schedule) is None
    clock.advance(LEASE.total_seconds() + 1)
    await work_off(replicas[1], clock, Taking(clock, 1))
    assert await next_of(replace(schedules, database=replicas[1]), schedule) == clock.now() + timedelta(seconds=60)


async def test_a_cancelled_run_ends_too(database: Database, clock: ManualClock, schedules: Schedules) -> None:
    schedule = await create(schedules)
    clock.advance(60)
    await fire_schedules(schedules)
    (run,) = await runs_of(database, schedule)
    nothing = lambda: None  # noqa: E731
    of_runs = Runs(database, schedules.memberships, clock, schedules.egress, nothing, nothing)
    clock.advance(5)
    # Cancelled twice at once: it ends once.
    await asyncio.gather(
        *(run_commands.cancel_run(of_runs, USER, run_id=run.id) for _ in range(2)), return_exceptions=True
    )
    assert await next_of(schedules, schedule) == clock.now() + timedelta(seconds=60)


async def test_what_is_skipped_while_it_is_paused_is_accounted_for_and_goes_on(
    database: Database, clock: ManualClock, schedules: Schedules
) -> None:
    schedule = await create(schedules)
    await commands.pause_schedule(schedules, USER, schedule_id=schedule.id, note=None)
    for _ in range(2):
        clock.advance(60)
        await fire_schedules(schedules)
    await commands.resume_schedule(schedules, USER, schedule_id=schedule.id)
    clock.advance(60)
    await fire_schedules(schedules)
    entries = await ledger.page(
        database, workspace_id=schedule.workspace_id, schedule_id=schedule.id, start=None, end=None, after=None, limit=9
    )
    assert [entry.reason for entry in entries] == [SkipReason.PAUSED, SkipReason.PAUSED, None]


async def test_after_a_time_without_a_scheduler_the_one_time_fires(
    database: Database, clock: ManualClock, schedules: Schedules
) -> None:
    schedule = await create(schedules)
    clock.advance(86_400)
    await fire_schedules(schedules)
    (run,) = await runs_of(database, schedule)
    assert run.nominal_time == schedule.next_fire_at
    assert run.status is Status.PENDING


async def test_it_ends_after_its_last_run(database: Database, clock: ManualClock, schedules: Schedules) -> None:
    schedule = await create(schedules, max_runs=1)
    clock.advance(60)
    await fire_schedules(schedules)
    await work_off(database, clock, Taking(clock, 1))
    assert await next_of(schedules, schedule) is None


async def test_an_edit_while_a_run_goes_on_counts_from_its_end(
    database: Database, clock: ManualClock, schedules: Schedules
) -> None:
    schedule = await create(schedules)
    clock.advance(60)
    await fire_schedules(schedules)
    edited = await commands.edit_schedule(
        schedules, USER, schedule_id=schedule.id, edits=Edits(timing={"spec": delay(10).spec})
    )
    assert edited.next_fire_at is None
    await work_off(database, clock, Taking(clock, 1))
    assert await next_of(schedules, schedule) == clock.now() + timedelta(seconds=10)


async def test_a_preview_shows_the_one_time_that_is_known_and_nothing_is_backfilled(
    database: Database, clock: ManualClock, schedules: Schedules
) -> None:
    schedule = await create(schedules)
    assert len(await queries.preview_spec(schedules, USER, delay(60), after=None, count=5)) == 1
    _, times = await queries.preview_schedule(schedules, USER, schedule_id=schedule.id, after=None, count=5)
    assert times == ((schedule.next_fire_at, None),)
    clock.advance(60)
    await fire_schedules(schedules)
    _, times = await queries.preview_schedule(schedules, USER, schedule_id=schedule.id, after=None, count=5)
    assert times == ()
    with pytest.raises(InvalidArgument) as refused:
        await backfill_schedule(
            schedules,
            USER,
            schedule_id=schedule.id,
            start=datetime(2025, 1, 1, tzinfo=UTC),
            end=clock.now(),
            one_by_one=True,
            dry_run=False,
        )
    assert refused.value.code == "INVALID_BACKFILL"
    async with database.transaction() as work:
        assert await store.lock_alone(work, workspace_id=schedule.workspace_id, schedule_id=schedule.id) is not None
