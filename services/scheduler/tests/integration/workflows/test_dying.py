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
from rota_scheduler.workflows.state import RunStatus
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
    event = Event(
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
