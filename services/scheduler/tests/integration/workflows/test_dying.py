"""A run of a workflow goes on when those die who take its steps."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from rota.events.v1 import events_pb2
from rota_chassis.events.consumer import Consumer
from rota_chassis.events.envelope import Event
from rota_chassis.ids import uuid7
from rota_chassis.postgres.statements import statement
from rota_scheduler.runs.domain import LEASE, Succeeded
from rota_scheduler.runs.worker import Worker
from rota_scheduler.workflows import commands, engine, queries
from rota_scheduler.workflows.state import Order, RunStatus
from sqlalchemy import bindparam, func, select

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rota_chassis.identity import UserPrincipal
    from rota_chassis.postgres.database import Database
    from rota_chassis.testing.clock import ManualClock
    from rota_scheduler.runs.domain import Outcome, Run
    from rota_scheduler.workflows.dependencies import Workflows

_TERMINATE = statement(select(func.pg_terminate_backend(bindparam("pid"))))
A = {"action": {"create_task": {"title": "a"}}}


def consumer_of(workflows: Workflows) -> Consumer:
    handlers = engine.handlers(workflows)
    return Consumer("scheduler", handlers, database=workflows.database, nats=None)  # type: ignore[arg-type]


def told(clock: ManualClock, user: UserPrincipal, ended: Any) -> Event:
    """That a run has ended, as its consumers hear of it."""
    return Event(
        id=uuid7(),
        type="run.finished",
        source="/rota/scheduler",
        workspace_id=user.workspace_id,
        aggregate_id=uuid7(),
        aggregate_version=1,
        actor="system",
        time=clock.now(),
        data=ended,
    )


class Making:
    """The action `create_task`; one that hangs never ends."""

    def __init__(self, *, hangs: bool = False) -> None:
        self.titles: list[str] = []
        self._hangs = hangs

    async def __call__(self, run: Run) -> Outcome:
        self.titles.append(run.parameters["title"])
        if self._hangs:
            await asyncio.Event().wait()
        return Succeeded(task_id=str(uuid7()))


@pytest.mark.parametrize(
    ("a", "made_by"),
    [(A, "steps.a.output.task_id"), (A | {"for_each": {"in": "['x']"}}, "steps.a.output[0].task_id")],
    ids=["step", "item"],
)
async def test_a_step_goes_on_when_its_worker_and_who_hears_of_its_end_are_killed(
    replicas: Sequence[Database],
    clock: ManualClock,
    events: Any,
    user: UserPrincipal,
    workflows_of: Any,
    *,
    a: dict[str, Any],
    made_by: str,
) -> None:
    steps = {"a": a, "b": {"action": {"create_task": {"title": f"after ${{{made_by}}}"}}, "needs": ["a"]}}
    dying, living = (workflows_of(database) for database in replicas[:2])
    made = await commands.create_workflow(
        dying, user, workspace_id=user.workspace_id, name="Ship", definition={"steps": steps}
    )
    run = await commands.start_workflow(dying, user, workflow_id=made.id, content=None, request_id=None)
    # A worker dies in the middle of the first step: it says nothing more.
    hanging, making = Making(hangs=True), Making()
    dead = Worker(replicas[0], clock, {"create_task": hanging}, slots=1)
    await dead.tick()
    clock.advance(LEASE.total_seconds() + 1)
    other = Worker(replicas[1], clock, {"create_task": making}, slots=1)
    await other.tick()
    await other.idle()
    (ended,) = [data for data in await events() if isinstance(data, events_pb2.RunFinished)]
    event = told(clock, user, ended)

    # Who hears of its end dies after the run has advanced, before the commit.
    killed = consumer_of(dying)
    handle = killed._handlers["run.finished"]

    async def die(work: Any, heard: Event) -> None:
        await handle(work, heard)
        await replicas[2].fetch(_TERMINATE, pid=work.connection.get_server_pid())

    killed._handlers = {"run.finished": die}
    with pytest.raises(Exception, match="database does not answer"):
        await killed.handle(event)
    assert (await queries.get_run(living, user, run_id=run.id)).version == run.version
    outcomes = await asyncio.gather(*(consumer_of(living).handle(event) for _ in range(3)))
    assert sorted(outcomes) == ["duplicate", "duplicate", "handled"]
    await other.tick()
    await other.idle()
    assert hanging.titles == ["a"]
    assert making.titles[0] == "a"
    assert [title.partition(" ")[0] for title in making.titles] == ["a", "after"]
    advanced = await queries.get_run(living, user, run_id=run.id)
    assert advanced.state.status is RunStatus.RUNNING
    assert advanced.state.steps["a"].order == 1
    for task in list(dead._executing):
        task.cancel()
    await asyncio.gather(*list(dead._executing), return_exceptions=True)


class Asking:
    """The action `create_task`, which ends when it is let; and `task`, which says what is done to tasks."""

    def __init__(self) -> None:
        self.task_id = str(uuid7())
        self.asked, self.goes_on = asyncio.Event(), asyncio.Event()
        self.done: list[Any] = []

    async def create(self, _run: Run) -> Outcome:
        self.asked.set()
        await self.goes_on.wait()
        return Succeeded(task_id=self.task_id)

    async def change(self, run: Run) -> Outcome:
        self.done.append({name: value for name, value in run.parameters.items() if value is not None})
        return Succeeded()


@pytest.mark.parametrize("again", [False, True], ids=["cancelled", "retried meanwhile"])
async def test_the_task_of_an_approval_that_is_cancelled_while_it_is_created_is_cancelled(
    replicas: Sequence[Database],
    clock: ManualClock,
    events: Any,
    user: UserPrincipal,
    workflows_of: Any,
    *,
    again: bool,
) -> None:
    workflows = workflows_of(replicas[0])
    steps = {"ok": {"approval": {"title": "Ship?"}}}
    made = await commands.create_workflow(
        workflows, user, workspace_id=user.workspace_id, name="Ship", definition={"steps": steps}
    )
    run = await commands.start_workflow(workflows, user, workflow_id=made.id, content=None, request_id=None)
    asking = Asking()
    worker = Worker(replicas[1], clock, {"create_task": asking.create, "task": asking.change}, slots=2)
    await worker.tick()
    await asking.asked.wait()
    cancelled = await commands.order(workflows, user, run_id=run.id, given=Order.CANCEL)
    assert cancelled.state.status is RunStatus.CANCELLED
    if again:
        await commands.retry(workflows, user, run_id=run.id, step=None)
    # The task is made; nobody waits for it any more.
    asking.goes_on.set()
    await worker.idle()
    (ended,) = [data for data in await events() if isinstance(data, events_pb2.RunFinished)]
    event = told(clock, user, ended)
    outcomes = await asyncio.gather(*(consumer_of(workflows_of(each)).handle(event) for each in replicas))
    assert sorted(outcomes) == ["duplicate", "duplicate", "handled"]
    await worker.tick()
    await worker.idle()
    assert asking.done == [{"transition": {"task_id": asking.task_id, "status": "cancelled"}}]
    after = await queries.get_run(workflows, user, run_id=run.id)
    assert after.state.status is (RunStatus.RUNNING if again else RunStatus.CANCELLED)


async def test_the_task_of_an_approval_that_is_cancelled_before_anybody_creates_it_is_never_created(
    database: Database, clock: ManualClock, user: UserPrincipal, workflows_of: Any
) -> None:
    workflows = workflows_of(database)
    steps = {"ok": {"approval": {"title": "Ship?"}}}
    made = await commands.create_workflow(
        workflows, user, workspace_id=user.workspace_id, name="Ship", definition={"steps": steps}
    )
    run = await commands.start_workflow(workflows, user, workflow_id=made.id, content=None, request_id=None)
    await commands.order(workflows, user, run_id=run.id, given=Order.CANCEL)
    asking = Asking()
    worker = Worker(database, clock, {"create_task": asking.create, "task": asking.change}, slots=2)
    await worker.tick()
    await worker.idle()
    assert not asking.asked.is_set()
