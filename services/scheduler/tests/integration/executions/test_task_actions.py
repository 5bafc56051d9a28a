"""Actions of tasks become runs, each once, whatever is delivered twice or late and whoever dies."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import grpc.aio
import pytest
from rota.events.v1 import events_pb2
from rota.tasks.v1 import executions_pb2, tasks_pb2
from rota_chassis.events.consumer import Consumer
from rota_chassis.events.log import EVENTS
from rota_chassis.ids import uuid7
from rota_chassis.memberships import MEMBERSHIPS, Memberships
from rota_chassis.postgres.statements import statement
from rota_chassis.private_projects import PrivateProjects
from rota_scheduler.actions.egress import EgressPolicy
from rota_scheduler.executions import store
from rota_scheduler.executions.firing import Executions, fire_task_actions
from rota_scheduler.executions.handlers import handlers
from rota_scheduler.queues import store as queues
from rota_scheduler.runs import claims
from rota_scheduler.runs.domain import LEASE, Status, Succeeded
from rota_scheduler.runs.store import add as add_runs
from rota_scheduler.runs.tables import HISTORY, RUNS
from rota_scheduler.runs.worker import Worker
from sqlalchemy import bindparam, func, insert, select

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from rota_chassis.events.envelope import Event
    from rota_chassis.postgres.database import Database
    from rota_chassis.testing.clock import ManualClock
    from rota_scheduler.runs.domain import Outcome, Run

    Events = Callable[[], Awaitable[list[Any]]]

SECOND = timedelta(seconds=1)
_JOIN = statement(insert(MEMBERSHIPS).values({c.name: bindparam(c.name) for c in MEMBERSHIPS.c}))
_TERMINATE = statement(select(func.pg_terminate_backend(bindparam("pid"))))
_VERSIONS = statement(
    select(EVENTS.c.aggregate_version).where(EVENTS.c.aggregate == "task_run").order_by(EVENTS.c.position)
)
_RUNS = statement(select(RUNS.c.id, RUNS.c.status).union_all(select(HISTORY.c.id, HISTORY.c.status)))


@pytest.fixture
async def doing(database: Database, task: Any) -> None:
    """What the events of the task say of its action."""
    user_id = uuid7()
    async with database.transaction() as work:
        await work.execute(
            _JOIN, workspace_id=task.workspace_id, user_id=user_id, role="member", version=1, removed=False
        )
    task.message.action.update({"event": {"type": "plants.watered"}})
    task.message.run_when = executions_pb2.RUN_WHEN_DUE
    task.message.action_state.id = str(uuid7())
    task.message.action_state.given_by = str(user_id)


def executions_of(database: Database, clock: ManualClock) -> Executions:
    # Nobody is asked: the copy of memberships knows the one user.
    memberships = Memberships(database, grpc.aio.insecure_channel("unix:/nowhere"))
    return Executions(database, memberships, clock, EgressPolicy(allow_private=True), on_runs=lambda: None)


def consumer_of(database: Database, clock: ManualClock) -> Consumer:
    channel = grpc.aio.insecure_channel("unix:/nowhere")
    projects = PrivateProjects(
        "scheduler",
        database=database,
        memberships=Memberships(database, channel),
        tasks=channel,
        nats=None,  # type: ignore[arg-type]
    )
    return Consumer("scheduler", handlers(clock, projects), database=database, nats=None)  # type: ignore[arg-type]


async def receive(database: Database, clock: ManualClock, *given: Event) -> None:
    for event in given:
        await consumer_of(database, clock).handle(event)


async def runs(database: Database) -> list[str]:
    return [row["status"] for row in await database.fetch(_RUNS)]


class Doing:
    """The action `event`, which counts its attempts."""

    def __init__(self) -> None:
        self.attempts = 0

    async def __call__(self, _run: Run) -> Outcome:
        self.attempts += 1
        return Succeeded()


@pytest.mark.usefixtures("doing")
async def test_replicas_that_fire_at_once_queue_one_run(
    replicas: Sequence[Database], clock: ManualClock, task: Any, events: Events
) -> None:
    await receive(replicas[0], clock, task.event("task.created", 1, due_at=clock.now() + SECOND))
    clock.advance(1)
    await asyncio.gather(*(fire_task_actions(executions_of(each, clock)) for each in replicas))
    assert await runs(replicas[0]) == [Status.PENDING]
    (queued,) = await events()
    assert queued.task_id == task.message.id
    assert queued.run.status == executions_pb2.TASK_RUN_STATUS_PENDING


@pytest.mark.usefixtures("doing")
async def test_an_event_that_comes_late_or_twice_changes_nothing(
    database: Database, clock: ManualClock, task: Any
) -> None:
    created = task.event("task.created", 1, due_at=clock.now() + SECOND)
    done = task.event("task.completed", 2, status=tasks_pb2.TASK_STATUS_DONE)
    await receive(database, clock, done, created, created, done)
    clock.advance(5)
    assert await fire_task_actions(executions_of(database, clock)) is None
    assert await runs(database) == []


class Dying:
    """Connections of a process that is killed when its transaction is about to commit."""

    def __init__(self, database: Database, killer: Database) -> None:
        self._database, self._killer = database, killer
        self.fetch_value = database.fetch_value

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        """One that comes to nothing."""
        async with self._database.transaction() as work:
            yield work
            await self._killer.fetch(_TERMINATE, pid=work.connection.get_server_pid())


@pytest.mark.usefixtures("doing")
async def test_dying_while_it_fires_leaves_nothing_and_the_next_fires(
    replicas: Sequence[Database], clock: ManualClock, task: Any
) -> None:
    await receive(replicas[0], clock, task.event("task.created", 1, due_at=clock.now()))
    dying = replace(executions_of(replicas[0], clock), database=cast("Database", Dying(replicas[0], replicas[2])))
    with pytest.raises(Exception, match="database does not answer"):
        await fire_task_actions(dying)
    assert await runs(replicas[1]) == []
    await fire_task_actions(executions_of(replicas[1], clock))
    assert await runs(replicas[1]) == [Status.PENDING]


@pytest.mark.usefixtures("doing")
async def test_the_end_of_a_run_is_told_with_it_and_once(
    database: Database, clock: ManualClock, task: Any, events: Events
) -> None:
    created = task.event("task.created", 1, due_at=clock.now())
    await receive(database, clock, created)
    await fire_task_actions(executions_of(database, clock))
    doing = Doing()
    worker = Worker(database, clock, {"event": doing}, slots=1)
    await worker.tick()
    await worker.idle()
    # What the tasks service notes comes back as a version of the task, which changes nothing.
    await receive(database, clock, task.event("task.updated", 2))
    await fire_task_actions(executions_of(database, clock))
    assert doing.attempts == 1
    told = [each for each in await events() if hasattr(each, "task_id")]
    assert {each.task_id for each in told} == {task.message.id}
    assert [each.run.status for each in told] == [
        executions_pb2.TASK_RUN_STATUS_PENDING,
        executions_pb2.TASK_RUN_STATUS_RUNNING,
        executions_pb2.TASK_RUN_STATUS_SUCCEEDED,
    ]
    assert told[1].run.started_at == told[2].run.started_at
    rows = await database.fetch(_VERSIONS)
    assert [row["aggregate_version"] for row in rows] == [1, 2, 3]


@pytest.mark.usefixtures("doing")
async def test_that_a_run_began_is_told_once_however_often_it_is_claimed(
    replicas: Sequence[Database], clock: ManualClock, task: Any, events: Events, make_run: Callable[..., Run]
) -> None:
    database = replicas[0]
    await receive(database, clock, task.event("task.created", 1, due_at=clock.now()))
    await fire_task_actions(executions_of(database, clock))
    async with database.transaction() as work:
        # Nobody is told of one that is of no task.
        await add_runs(work, [make_run({"event": {"type": "plants.watered"}})])

    async def claim(replica: Database) -> int:
        async with replica.transaction() as work:
            return len((await claims.claim(work, now=clock.now(), lease_until=clock.now() + LEASE, limit=9)).runs)

    assert sum(await asyncio.gather(*map(claim, replicas))) == 2
    clock.advance(LEASE.total_seconds() + 1)
    assert sum(await asyncio.gather(*map(claim, replicas))) == 2
    told = [each for each in await events() if isinstance(each, events_pb2.TaskRunStarted)]
    assert [each.task_id for each in told] == [task.message.id]


@pytest.mark.usefixtures("doing")
async def test_that_a_job_of_a_task_began_is_told_when_a_worker_claims_it(
    database: Database, clock: ManualClock, task: Any, events: Events
) -> None:
    task.message.action.Clear()
    task.message.action.update({"job": {"queue": "watering"}})
    await receive(database, clock, task.event("task.created", 1, due_at=clock.now()))
    await fire_task_actions(executions_of(database, clock))
    async with database.transaction() as work:
        said = {"lease_s": 60, "worker": "hose", "reported_at": clock.now().isoformat()}
        place = (task.workspace_id, "watering")
        taken = await queues.take(work, place, now=clock.now(), limit=9, said=said, after="")
        (run,) = (await queues.begin(work, taken, now=clock.now())).runs
    told = (await events())[-1]
    assert (told.run.id, told.run.status) == (str(run.id), executions_pb2.TASK_RUN_STATUS_RUNNING)


@pytest.mark.usefixtures("doing")
async def test_who_may_not_write_any_more_has_no_actions_taken(
    database: Database, clock: ManualClock, task: Any, events: Events
) -> None:
    task.message.action_state.given_by = str(uuid7())
    await receive(database, clock, task.event("task.created", 1, due_at=clock.now()))
    await fire_task_actions(executions_of(database, clock))
    assert await runs(database) == []
    (told,) = await events()
    assert told.run.status == executions_pb2.TASK_RUN_STATUS_FAILED
    assert "may not write" in told.run.error


@pytest.mark.usefixtures("doing")
async def test_an_action_that_is_cleared_and_given_anew_is_taken_once_for_each(
    database: Database, clock: ManualClock, task: Any
) -> None:
    await receive(database, clock, task.event("task.created", 1, due_at=clock.now()))
    await fire_task_actions(executions_of(database, clock))
    task.message.action_state.id = str(uuid7())
    await receive(database, clock, task.event("task.updated", 2))
    assert await runs(database) == [Status.CANCELLED]
    await fire_task_actions(executions_of(database, clock))
    assert sorted(await runs(database)) == [Status.CANCELLED, Status.PENDING]


@pytest.mark.usefixtures("doing")
@pytest.mark.parametrize("may_write", [True, False], ids=["run", "refused"])
async def test_a_time_that_comes_back_after_another_does_not_fire_again_and_keeps_no_other_from_firing(
    database: Database, clock: ManualClock, task: Any, events: Events, *, may_write: bool
) -> None:
    if not may_write:
        task.message.action_state.given_by = str(uuid7())
    first, second = clock.now(), clock.now() + SECOND
    clock.advance(2)
    for version, due_at in enumerate((first, second, first, second, first), start=1):
        await receive(
            database, clock, task.event("task.created" if version == 1 else "task.updated", version, due_at=due_at)
        )
        await fire_task_actions(executions_of(database, clock))
    assert len(await runs(database)) == (2 if may_write else 0)
    assert len({each.run.id for each in await events()}) == 2
    await receive(database, clock, task.event("task.updated", 6, due_at=clock.now()))
    await fire_task_actions(executions_of(database, clock))
    assert len({each.run.id for each in await events()}) == 3


@pytest.mark.usefixtures("doing")
async def test_a_secret_is_forgotten_when_it_is_old_and_no_task_has_its_action(
    database: Database, clock: ManualClock, task: Any
) -> None:
    kept, unused = UUID(task.message.action_state.id), uuid7()
    async with database.transaction() as work:
        await store.keep_secrets(work, task.workspace_id, {kept: {"http": {}}, unused: {"http": {}}})
    await receive(database, clock, task.event("task.created", 1))

    async def forget(before: datetime) -> int:
        async with database.transaction() as work:
            return await store.forget_secrets(work, before=before, limit=10)

    soon = datetime.now(UTC) + timedelta(hours=1)
    assert await forget(datetime.now(UTC) - timedelta(hours=1)) == 0
    assert [await forget(soon), await forget(soon)] == [1, 0]
    await receive(database, clock, task.event("task.deleted", 2))
    assert await forget(soon) == 0
    await receive(database, clock, task.event("task.purged", 3))
    assert await forget(soon) == 1
