"""A row that cannot be handled is set aside: the others of its batch go on, and no restart brings it back."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

import asyncpg
import grpc.aio
import pytest
from prometheus_client import REGISTRY
from rota.events.v1 import events_pb2
from rota.scheduler.v1 import schedules_pb2
from rota_chassis.errors import Conflict, Unavailable
from rota_chassis.events.log import NewEvent
from rota_chassis.identity import UserPrincipal
from rota_chassis.ids import uuid7
from rota_chassis.memberships import MEMBERSHIPS, Memberships
from rota_chassis.postgres.statements import statement
from rota_scheduler.actions.egress import EgressPolicy
from rota_scheduler.executions import store as executions
from rota_scheduler.executions.domain import Armed
from rota_scheduler.executions.firing import Executions, fire_task_actions
from rota_scheduler.queues.commands import claim_runs, complete_run
from rota_scheduler.queues.dependencies import Queues
from rota_scheduler.queues.messages import claimed_message
from rota_scheduler.queues.waiting import Waiting
from rota_scheduler.resource_pools import store as pools
from rota_scheduler.resource_pools.domain import ResourcePool
from rota_scheduler.runs import claims
from rota_scheduler.runs import store as runs
from rota_scheduler.runs.allocation import allocation_of
from rota_scheduler.runs.domain import LEASE, Status, Succeeded
from rota_scheduler.runs.messages import listed
from rota_scheduler.runs.worker import Worker
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
from rota_scheduler.workflows import engine
from rota_scheduler.workflows import store as workflow_store
from rota_scheduler.workflows.dependencies import Workflows
from rota_scheduler.workflows.messages import run_message
from rota_scheduler.workflows.model import WorkflowRun
from rota_scheduler.workflows.state import RunStatus, State, StepState, StepStatus
from sqlalchemy import bindparam, insert, text

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from datetime import datetime

    from rota_chassis.postgres.database import Database
    from rota_chassis.testing.clock import ManualClock
    from rota_scheduler.runs.domain import Outcome, Run

    Events = Callable[[], Awaitable[list[Any]]]
    Tick = Callable[[], Awaitable[datetime | None]]
    MakeRun = Callable[[Mapping[str, Any]], Run]

_JOIN = statement(insert(MEMBERSHIPS).values({c.name: bindparam(c.name) for c in MEMBERSHIPS.c}))
ACTION = {"event": {"type": "plants.watered"}}
MANY = 7


def set_aside(what: str) -> float:
    """How many rows of a kind this process has set aside."""
    return REGISTRY.get_sample_value("rota_rows_set_aside_total", {"what": what}) or 0.0


async def spoil(database: Database, sql: str, **values: Any) -> None:
    """Make a row such as nobody writes."""
    async with database.transaction() as work:
        assert await work.execute(statement(text(sql)), **values) == 1


async def drain(tick: Tick, clock: ManualClock) -> None:
    """Tick until nothing is due."""
    for _ in range(100):
        due = await tick()
        if due is None or due > clock.now():
            return
    raise AssertionError("it goes on for ever")


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


def workflows_of(database: Database, clock: ManualClock, egress: EgressPolicy) -> Workflows:
    nothing: Any = None
    return Workflows(database, nothing, nothing, clock, egress, on_waits=lambda: None, on_runs=lambda: None)


async def read_run(database: Database, run: WorkflowRun) -> WorkflowRun:
    async with database.transaction() as work:
        found = await workflow_store.lock_alone(work, workspace_id=run.workspace_id, run_id=run.id)
    assert found is not None
    return found


async def test_a_workflow_run_that_cannot_go_on_fails_and_the_others_are_woken(
    replicas: Sequence[Database], clock: ManualClock, workspace_id: UUID, egress: EgressPolicy, events: Events
) -> None:
    waiting = StepState(status=StepStatus.WAITING, until=clock.now(), started_at=clock.now())
    found = [
        WorkflowRun(
            workspace_id=workspace_id,
            id=uuid7(),
            workflow_id=uuid7(),
            workflow_version=1,
            definition={"steps": {"sleep": {"wait": {"for_s": 1}}}},
            state=State(steps={"sleep": waiting}),
            started_by=uuid7(),
            created_at=clock.now(),
        )
        for _ in range(MANY)
    ]
    async with replicas[0].transaction() as work:
        for each in found:
            await workflow_store.add_run(work, each, wake_at=clock.now())
    unreadable, impossible = found[1], found[5]
    await spoil(
        replicas[0],
        "UPDATE workflow_runs SET state = '[]' WHERE id = CAST(:id AS uuid)",
        id=unreadable.id,
    )
    await spoil(
        replicas[0],
        "UPDATE workflow_runs SET definition = '{}' WHERE id = CAST(:id AS uuid)",
        id=impossible.id,
    )
    before = set_aside("workflow_run")
    await drain(lambda: engine.wake_runs(workflows_of(replicas[0], clock, egress)), clock)
    assert set_aside("workflow_run") - before == 2
    failed = {unreadable.id, impossible.id}
    for each in found:
        run = await read_run(replicas[0], each)
        assert run.state.status is (RunStatus.FAILED if each.id in failed else RunStatus.SUCCEEDED)
    told = {each.workflow_run.id: each.workflow_run for each in await events()}
    assert len(told) == MANY
    for each in (unreadable, impossible):
        assert told[str(each.id)].error.startswith("It could not go on (")
    # They can be shown, with what is known of their steps.
    assert [
        [s.name for s in run_message(await read_run(replicas[0], each)).steps] for each in (unreadable, impossible)
    ] == [
        [],
        ["sleep"],
    ]
    assert await engine.wake_runs(workflows_of(replicas[1], clock, egress)) is None


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


async def ended_as(database: Database, found: Sequence[Run], *, failed: Run) -> None:
    """One has failed, and all others have succeeded; each can be listed."""
    for each in found:
        run = await runs.get(database, workspace_id=each.workspace_id, run_id=each.id)
        assert run is not None
        assert run.status is (Status.FAILED if each is failed else Status.SUCCEEDED)
        assert bool(listed(run).error) is (each is failed)


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


class AnyMember:
    """Everybody is an owner of every workspace."""

    async def require(self, *_: object) -> str:
        return "owner"


JOB = {"job": {"queue": "ovens", "payload": {"bread": "rye"}}}


@pytest.mark.parametrize(
    ("action", "allocation"),
    [
        ('{"job": {"queue": "ovens", "payload": 7}}', None),
        ('{"job": {"queue": "ovens"}, "retry": {"often": true}}', None),
        ('{"job": {"queue": "ovens"}, "retry": {"max_attempts": 9999999999}}', None),
        ('{"job": {"queue": "ovens"}, "retry": {"max_attempts": "often"}}', None),
        ('{"job": {"queue": "ovens"}, "of_task": 7}', None),
        ('{"job": {"queue": "ovens"}}', '{"policy": "never"}'),
    ],
    ids=["its payload", "its policy", "its attempts", "no number", "its task", "what it shares"],
)
async def test_a_job_that_no_worker_can_be_told_of_fails_and_the_others_are_given_out(
    replicas: Sequence[Database], clock: ManualClock, make_run: MakeRun, action: str, allocation: str | None
) -> None:
    found = [make_run(JOB) for _ in range(MANY)]
    found = [replace(each, workspace_id=found[0].workspace_id) for each in found]
    async with replicas[0].transaction() as work:
        await runs.add(work, found)
    poisoned = found[3]
    await spoil(
        replicas[0],
        "UPDATE runs SET action = CAST(CAST(:action AS text) AS jsonb),"
        " allocation = CAST(CAST(:allocation AS text) AS jsonb) WHERE id = CAST(:id AS uuid)",
        id=poisoned.id,
        action=action,
        allocation=allocation,
    )
    before = set_aside("run")
    memberships: Any = AnyMember()
    user = UserPrincipal(uuid7(), found[0].workspace_id, "user", None)

    async def claim(database: Database) -> list[UUID]:
        jobs = await claim_runs(
            Queues(database, memberships, clock, Waiting(database, clock), random.uniform, on_runs=lambda: None),
            user,
            place=(user.workspace_id, "ovens"),
            limit=3,
            wait_s=0,
            lease_s=60,
            worker="",
            told=claimed_message,
        )
        return [UUID(each.id) for each in jobs]

    # Two at once, each on a connection of its own.
    claimed = [each for some in await asyncio.gather(*map(claim, replicas)) for each in some]
    while more := await claim(replicas[0]):
        claimed += more
    assert sorted(claimed) == sorted(each.id for each in found if each is not poisoned)
    assert set_aside("run") - before >= 1
    run = await runs.get(replicas[0], workspace_id=user.workspace_id, run_id=poisoned.id)
    assert run is not None
    assert run.status is Status.FAILED
    assert (listed(run).error).startswith("It could not be run (")


async def test_a_job_whose_end_cannot_be_written_fails_instead_of_being_given_out_for_ever(
    database: Database, clock: ManualClock, make_run: MakeRun
) -> None:
    run = make_run(JOB)
    user = UserPrincipal(uuid7(), run.workspace_id, "user", None)
    async with database.transaction() as work:
        await runs.add(work, [run])
        await work.execute(
            _JOIN, workspace_id=run.workspace_id, user_id=user.user_id, role="member", version=1, removed=False
        )
        # There is an event of its end already, as when a database was restored from before.
        said = events_pb2.RunFinished(run=schedules_pb2.Run(id=str(run.id)))
        work.append(NewEvent(run.workspace_id, run.id, 1, said, clock.now()))
    memberships = Memberships(database, grpc.aio.insecure_channel("unix:/nowhere"))
    queues = Queues(database, memberships, clock, Waiting(database, clock), random.uniform, on_runs=lambda: None)
    (job,) = await claim_runs(
        queues,
        user,
        place=(user.workspace_id, "ovens"),
        limit=3,
        wait_s=0,
        lease_s=60,
        worker="",
        told=claimed_message,
    )
    before = set_aside("run")
    with pytest.raises(Conflict):
        await complete_run(queues, user, run_id=run.id, fence=job.fence, result=None)
    assert set_aside("run") - before == 1
    await ended_as(database, [run], failed=run)


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
