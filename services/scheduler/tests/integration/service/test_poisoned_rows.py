"""A row that cannot be handled is set aside: the others of its batch go on, and no restart brings it back."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

import asyncpg
import grpc.aio
import pytest
from poisoned import MANY, drain, spoil
from rota.events.v1 import events_pb2
from rota_chassis.errors import Unavailable
from rota_chassis.events.log import NewEvent
from rota_chassis.ids import uuid7
from rota_chassis.memberships import MEMBERSHIPS, Memberships
from rota_chassis.postgres.statements import statement
from rota_chassis.testing.metrics import set_aside
from rota_scheduler.actions.egress import EgressPolicy
from rota_scheduler.executions import store as executions
from rota_scheduler.executions.domain import Armed
from rota_scheduler.executions.firing import Executions, fire_task_actions
from rota_scheduler.runs import store as runs
from rota_scheduler.schedules import domain, store
from rota_scheduler.schedules.dependencies import Schedules
from rota_scheduler.schedules.domain import Schedule, cursor_of
from rota_scheduler.schedules.firing import fire_schedules
from rota_scheduler.schedules.policies import Policies
from rota_scheduler.schedules.timing import Timing
from rota_scheduler.schedules.zone_data import follow_zone_data
from rota_scheduler.series import store as series
from rota_scheduler.series.firing import SeriesTimes, fire_series
from rota_scheduler.timers import store as timers
from rota_scheduler.timers.domain import Timer
from rota_scheduler.timers.firing import Timers, fire_timers
from sqlalchemy import bindparam, insert, text

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime

    from rota_chassis.postgres.database import Database
    from rota_chassis.testing.clock import ManualClock

    Events = Callable[[], Awaitable[list[Any]]]

_JOIN = statement(insert(MEMBERSHIPS).values({c.name: bindparam(c.name) for c in MEMBERSHIPS.c}))
ACTION = {"event": {"type": "plants.watered"}}


@pytest.fixture
def egress() -> EgressPolicy:
    """Everything is allowed."""
    return EgressPolicy(allow_private=True)


@pytest.fixture
def workspace_id() -> UUID:
    """Where everything is."""
    return uuid7()


async def test_a_timer_that_cannot_fire_does_not_keep_the_others(
    replicas: Sequence[Database], clock: ManualClock, workspace_id: UUID, events: Events
) -> None:
    task_ids = [uuid7() for _ in range(MANY)]
    async with replicas[0].transaction() as work:
        await timers.arm(
            work,
            [
                Timer(
                    workspace_id=workspace_id,
                    task_id=each,
                    kind="reminder",
                    task_version=1,
                    title="Water the plants",
                    recipient_ids=(uuid7(),),
                    project_id="",
                    fire_at=clock.now(),
                )
                for each in task_ids
            ],
        )
        # There is an event of its first firing already, as when a counter was restored from before.
        said = NewEvent(
            workspace_id, uuid5(task_ids[3], "reminder"), 1, events_pb2.ReminderFired(task_id="before"), clock.now()
        )
        work.append(said)
    before = set_aside("timer")
    await drain(lambda: fire_timers(Timers(replicas[0], clock)), clock)
    fired = {each.task_id for each in await events()} - {"before"}
    assert fired == {str(each) for each in task_ids} - {str(task_ids[3])}
    assert set_aside("timer") - before == 1
    assert await fire_timers(Timers(replicas[1], clock)) is None


async def test_a_series_that_cannot_be_read_does_not_keep_the_others(
    replicas: Sequence[Database], clock: ManualClock, workspace_id: UUID, events: Events
) -> None:
    ids = [uuid7() for _ in range(MANY)]
    async with replicas[0].transaction() as work:
        for each in ids:
            data = {
                "id": str(each),
                "workspace_id": str(workspace_id),
                "version": 1,
                "occurrences": 1,
                "latest": clock.now().isoformat(),
                "recurrence": {"every": "1h", "starts_at": clock.now().isoformat()},
            }
            await series.keep(
                work, workspace_id=workspace_id, series_id=each, version=1, data=data, wake_at=clock.now()
            )
    await spoil(
        replicas[0], """UPDATE task_series SET data = '{"recurrence": 5}' WHERE id = CAST(:id AS uuid)""", id=ids[0]
    )
    before = set_aside("series")
    clock.advance(3600)
    await drain(lambda: fire_series(SeriesTimes(replicas[0], clock)), clock)
    assert set_aside("series") - before == 1
    assert {each.series_id for each in await events()} == {str(each) for each in ids[1:]}
    assert await fire_series(SeriesTimes(replicas[1], clock)) is None


def schedules_of(database: Database, clock: ManualClock, egress: EgressPolicy) -> Schedules:
    nothing = lambda: None  # noqa: E731
    return Schedules(database, None, clock, egress, nothing, nothing, nothing)  # type: ignore[arg-type]


async def add_schedule(database: Database, clock: ManualClock, timing: Timing) -> Schedule:
    now = clock.now()
    schedule = Schedule(
        id=uuid7(),
        workspace_id=uuid7(),
        name="Plants",
        timing=timing,
        action=ACTION,
        next_fire_at=cursor_of(timing, Policies(), created_at=now, now=now, seed=""),
        created_by=uuid7(),
        created_at=now,
        updated_at=now,
    )
    async with database.transaction() as work:
        await store.add(work, schedule)
    return schedule


@pytest.mark.parametrize(
    "spoilt",
    [
        """spec = '{"cron": "61 * * * *"}'""",
        "timezone = 'Mars/Olympus', spec = '{\"cron\": \"* * * * *\"}'",
        "overlap = 'never'",
    ],
    ids=["its cron expression", "its time zone", "its policy"],
)
async def test_a_schedule_that_cannot_be_read_is_paused_and_the_others_fire(
    replicas: Sequence[Database], clock: ManualClock, egress: EgressPolicy, spoilt: str
) -> None:
    found = [await add_schedule(replicas[0], clock, Timing(interval_s=60)) for _ in range(MANY)]
    broken = found[4]
    await spoil(replicas[0], f"UPDATE schedules SET {spoilt} WHERE id = CAST(:id AS uuid)", id=broken.id)  # noqa: S608
    clock.advance(60)
    before = set_aside("schedule")
    await drain(lambda: fire_schedules(schedules_of(replicas[0], clock, egress)), clock)
    for each in found:
        of_schedule = await runs.unfinished(replicas[0], [(each.workspace_id, each.id)])
        assert bool(of_schedule) is (each is not broken)
    assert set_aside("schedule") - before == 1
    row = await replicas[0].fetch_one(
        statement(text("SELECT paused, pause_note, next_fire_at FROM schedules WHERE id = CAST(:id AS uuid)")),
        id=broken.id,
    )
    assert row is not None
    assert (row["paused"], row["next_fire_at"]) == (True, None)
    assert row["pause_note"].startswith("Paused, as its time could not be worked out (")
    clock.advance(60)
    await drain(lambda: fire_schedules(schedules_of(replicas[1], clock, egress)), clock)
    assert set_aside("schedule") - before == 1


async def test_who_owns_a_schedule_that_was_set_aside_hears_of_it_and_resumes_it(
    database: Database, clock: ManualClock, egress: EgressPolicy, events: Events
) -> None:
    schedule = await add_schedule(database, clock, Timing(cron="0 * * * *"))
    await spoil(database, "UPDATE schedules SET timezone = 'Mars/Olympus' WHERE id = CAST(:id AS uuid)", id=schedule.id)
    clock.advance(3600)
    await drain(lambda: fire_schedules(schedules_of(database, clock, egress)), clock)
    (paused,) = await events()
    assert paused.schedule.paused
    assert "IANA time zone" in paused.schedule.pause_note
    await spoil(database, "UPDATE schedules SET timezone = 'UTC' WHERE id = CAST(:id AS uuid)", id=schedule.id)
    async with database.transaction() as work:
        found = await store.lock_alone(work, workspace_id=schedule.workspace_id, schedule_id=schedule.id)
        assert found is not None
        resumed = domain.resume(found, now=clock.now())
        await store.save(work, resumed)
    assert resumed.next_fire_at == clock.now() + timedelta(hours=1)
    clock.advance(3600)
    await drain(lambda: fire_schedules(schedules_of(database, clock, egress)), clock)
    assert await runs.unfinished(database, [(schedule.workspace_id, schedule.id)])


async def test_new_zone_data_are_followed_past_a_schedule_that_cannot_be_read(
    database: Database, clock: ManualClock
) -> None:
    timing = Timing(cron="0 9 * * *", timezone="Europe/Vienna")
    found = [await add_schedule(database, clock, timing) for _ in range(MANY)]
    for each in found:
        await spoil(
            database,
            "UPDATE schedules SET next_fire_at = next_fire_at + interval '1 hour' WHERE id = CAST(:id AS uuid)",
            id=each.id,
        )
    await spoil(database, "UPDATE schedules SET timezone = 'Mars/Olympus' WHERE id = CAST(:id AS uuid)", id=found[2].id)
    assert await follow_zone_data(database, clock, on_due=lambda: None, version="2099z") == MANY - 1
    assert await follow_zone_data(database, clock, on_due=lambda: None, version="2099z") == 0


async def test_a_tasks_action_that_cannot_be_read_fails_and_the_others_are_queued(
    replicas: Sequence[Database], clock: ManualClock, workspace_id: UUID, egress: EgressPolicy, events: Events
) -> None:
    user_id = uuid7()
    task_ids = [uuid7() for _ in range(MANY)]
    async with replicas[0].transaction() as work:
        await work.execute(_JOIN, workspace_id=workspace_id, user_id=user_id, role="member", version=1, removed=False)
        for each in task_ids:
            armed = Armed(
                workspace_id=workspace_id,
                task_id=each,
                version=1,
                action_id=uuid7(),
                acts_for=user_id,
                action=ACTION,
                fire_at=clock.now(),
            )
            await executions.arm(work, armed)
    await spoil(replicas[0], "UPDATE task_actions SET action = '[7]' WHERE task_id = CAST(:id AS uuid)", id=task_ids[6])
    before = set_aside("task_action")

    def tick(database: Database) -> Awaitable[datetime | None]:
        memberships = Memberships(database, grpc.aio.insecure_channel("unix:/nowhere"))
        return fire_task_actions(Executions(database, memberships, clock, egress, on_runs=lambda: None))

    await drain(lambda: tick(replicas[0]), clock)
    assert set_aside("task_action") - before == 1
    told = await events()
    failed = [each for each in told if isinstance(each, events_pb2.TaskRunEnded)]
    assert [each.task_id for each in failed] == [str(task_ids[6])]
    assert failed[0].run.error.startswith("It could not be run (")
    assert len(told) - len(failed) == MANY - 1
    assert await tick(replicas[1]) is None


async def test_what_the_server_is_at_fault_for_sets_nothing_aside(
    database: Database, clock: ManualClock, egress: EgressPolicy
) -> None:
    schedule = await add_schedule(database, clock, Timing(interval_s=60))
    clock.advance(60)
    before = set_aside("schedule")

    class Refusing:
        """Its server refuses what would be written."""

        def __init__(self, error: Exception) -> None:
            self._error = error
            self.fetch_value = database.fetch_value

        def transaction(self) -> Any:
            raise self._error

    for error in (
        Unavailable("away", code="DATABASE_UNAVAILABLE"),
        asyncpg.DiskFullError("no space left on device"),
        asyncpg.UndefinedColumnError("no such column"),
    ):
        refusing: Any = Refusing(error)
        with pytest.raises(type(error)):
            await fire_schedules(schedules_of(refusing, clock, egress))
    assert set_aside("schedule") == before
    await drain(lambda: fire_schedules(schedules_of(database, clock, egress)), clock)
    assert await runs.unfinished(database, [(schedule.workspace_id, schedule.id)])
