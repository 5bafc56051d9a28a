"""Steps that wait for events of the workspace, and for somebody to decide."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from rota.tasks.v1 import tasks_pb2
from rota_chassis.events.consumer import Consumer
from rota_chassis.ids import uuid7
from rota_chassis.postgres.statements import statement
from rota_scheduler.rules.handlers import CONSUMER
from rota_scheduler.workflows import commands, listening, queries, waiters
from rota_scheduler.workflows.engine import MAX_WAITERS, apply
from rota_scheduler.workflows.state import ActionEnded, Order, RunStatus
from rota_scheduler.workflows.waiters import WAITERS
from rota_scheduler.workflows.waits import Waiter
from sqlalchemy import bindparam, func, select

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from rota_chassis.identity import UserPrincipal
    from rota_chassis.postgres.database import Database
    from rota_chassis.testing.clock import ManualClock
    from rota_scheduler.workflows.dependencies import Workflows
    from rota_scheduler.workflows.model import WorkflowRun

    Start = Callable[..., Awaitable[WorkflowRun]]

_COUNT = statement(select(func.count()).select_from(WAITERS))
_TERMINATE = statement(select(func.pg_terminate_backend(bindparam("pid"))))


def consumer_of(workflows: Workflows) -> Consumer:
    handlers = listening.handlers(workflows)
    return Consumer(CONSUMER, handlers, database=workflows.database, nats=None)  # type: ignore[arg-type]


@pytest.fixture
def workflows(database: Database, workflows_of: Any) -> Workflows:
    found: Workflows = workflows_of(database)
    return found


@pytest.fixture
def start(workflows: Workflows, user: UserPrincipal, task: Any) -> Start:
    """Starts a run of these steps, in the workspace of the task."""
    task.workspace_id = user.workspace_id

    async def do(content: Any = None, **steps: Any) -> WorkflowRun:
        made = await commands.create_workflow(
            workflows, user, workspace_id=user.workspace_id, name="w", definition={"steps": steps}
        )
        return await commands.start_workflow(workflows, user, workflow_id=made.id, content=content, request_id=None)

    return do


def wait(where: str = "", event_type: str = "task.completed") -> dict[str, Any]:
    return {"wait": {"event": {"type": event_type, "where": where}}}


async def test_an_event_ends_the_waits_that_it_is_meant_for(
    workflows: Workflows, user: UserPrincipal, start: Start, task: Any
) -> None:
    mine = await start({"id": task.message.id}, w=wait("id = ${input.id} AND title:plants"))
    other = await start({"id": str(uuid7())}, w=wait("id = ${input.id}"))
    of_another_type = await start(w=wait(event_type="task.deleted"))
    await consumer_of(workflows).handle(task.event("task.completed", 1))
    ended = await queries.get_run(workflows, user, run_id=mine.id)
    assert ended.state.status is RunStatus.SUCCEEDED
    assert ended.state.steps["w"].output["task"]["id"] == task.message.id
    for run in (other, of_another_type):
        assert (await queries.get_run(workflows, user, run_id=run.id)).state.status is RunStatus.RUNNING
    assert await workflows.database.fetch_value(_COUNT) == 2


async def test_events_that_no_step_waits_for_are_known_beforehand(
    workflows: Workflows, start: Start, task: Any, clock: ManualClock
) -> None:
    early = task.event("task.completed", 1)
    clock.advance(1)
    await start(w=wait())
    heard, unheard = task.event("task.completed", 2), task.event("task.created", 3)
    task.workspace_id = uuid7()
    elsewhere = task.event("task.completed", 4)
    found = await listening.concerned(workflows, [early, heard, unheard, elsewhere])
    assert found == {heard.id}


async def test_an_event_from_before_the_wait_or_of_another_workspace_does_not_end_it(
    workflows: Workflows, user: UserPrincipal, start: Start, task: Any, clock: ManualClock
) -> None:
    early = task.event("task.completed", 1)
    clock.advance(1)
    run = await start(w=wait())
    task.workspace_id = uuid7()
    for event in (early, task.event("task.completed", 2)):
        await consumer_of(workflows).handle(event)
    assert (await queries.get_run(workflows, user, run_id=run.id)).state.status is RunStatus.RUNNING


async def test_an_event_that_replicas_get_twice_and_two_at_once_end_a_wait_once(
    replicas: Sequence[Database], workflows_of: Any, user: UserPrincipal, start: Start, task: Any
) -> None:
    run = await start(w=wait(), then={"action": {"create_task": {"title": "then"}}, "needs": ["w"]})
    events = [task.event("task.completed", version) for version in (1, 2)]
    consumers = [consumer_of(workflows_of(each)) for each in replicas]
    outcomes = await asyncio.gather(*(each.handle(event) for each in consumers for event in events))
    assert sorted(outcomes) == ["duplicate"] * 4 + ["handled"] * 2
    ended = await queries.get_run(workflows_of(replicas[0]), user, run_id=run.id)
    assert ended.version == run.version + 1
    assert ended.state.steps["w"].order == 1


async def test_who_hears_an_event_dies_before_the_commit_and_the_next_ends_the_wait(
    replicas: Sequence[Database], workflows_of: Any, user: UserPrincipal, start: Start, task: Any
) -> None:
    run = await start(w=wait())
    event = task.event("task.completed", 1)
    dying = consumer_of(workflows_of(replicas[1]))
    handle = dying._handlers["task.completed"]

    async def die(work: Any, heard: Any) -> None:
        await handle(work, heard)
        await replicas[2].fetch(_TERMINATE, pid=work.connection.get_server_pid())

    dying._handlers = {"task.completed": die}
    with pytest.raises(Exception, match="database does not answer"):
        await dying.handle(event)
    living = workflows_of(replicas[0])
    assert (await queries.get_run(living, user, run_id=run.id)).state.status is RunStatus.RUNNING
    assert await consumer_of(living).handle(event) == "handled"
    assert (await queries.get_run(living, user, run_id=run.id)).state.status is RunStatus.SUCCEEDED


async def test_nobody_waits_for_a_run_that_has_been_cancelled(
    workflows: Workflows, user: UserPrincipal, start: Start
) -> None:
    run = await start(w=wait(), ok={"approval": {"title": "Ship?"}})
    assert await workflows.database.fetch_value(_COUNT) == 2
    await commands.order(workflows, user, run_id=run.id, given=Order.CANCEL)
    assert await workflows.database.fetch_value(_COUNT) == 0


async def test_a_condition_that_turns_out_to_be_none_fails_the_step_with_the_reason(start: Start) -> None:
    run = await start("((", w=wait("title:a AND ${input}"))
    assert run.state.status is RunStatus.FAILED
    assert "condition on events" in (run.state.error or "")


async def test_more_waits_than_may_be_looked_at_for_an_event_fail(workflows: Workflows, start: Start) -> None:
    run = await start(w=wait())
    many = [Waiter(key=f"x{number}", event_type="task.completed") for number in range(MAX_WAITERS - 1)]
    async with workflows.database.transaction() as work:
        await waiters.change(work, run, gone=(), new=many)
    refused = await start(w=wait())
    assert f"{MAX_WAITERS} steps" in (refused.state.error or "")
    assert (await start(w=wait(event_type="task.deleted"))).state.status is RunStatus.RUNNING


async def made(workflows: Workflows, run: WorkflowRun, task_id: str) -> WorkflowRun:
    """The task of the approval `ok` is there."""
    async with workflows.database.transaction() as work:
        return await apply(workflows, work, run, ActionEnded("ok", output={"task_id": task_id}))


@pytest.mark.parametrize("early", [False, True], ids=["after", "before"])
@pytest.mark.parametrize("kind", ["completed", "cancelled", "deleted"])
async def test_an_approval_is_decided_by_what_becomes_of_its_task(
    workflows: Workflows, user: UserPrincipal, start: Start, task: Any, kind: str, *, early: bool
) -> None:
    run = await start(ok={"approval": {"title": "Ship?", "on_refusal": "continue"}})
    consumer = consumer_of(workflows)
    if not early:
        run = await made(workflows, run, task.message.id)
    await consumer.handle(task.event("task.updated", 1, title="Really ship?"))
    match kind:
        case "completed":
            event = task.event("task.completed", 2, status=tasks_pb2.TASK_STATUS_DONE)
        case "cancelled":
            event = task.event("task.updated", 2, status=tasks_pb2.TASK_STATUS_CANCELLED)
        case "deleted":
            event = task.event("task.deleted", 2)
    await consumer.handle(event)
    if early:
        run = await queries.get_run(workflows, user, run_id=run.id)
        run = await made(workflows, run, task.message.id)
    ended = await queries.get_run(workflows, user, run_id=run.id)
    output = ended.state.steps["ok"].output
    assert (output["approved"], output["task_id"]) == (kind == "completed", task.message.id)
    assert output["by"] == "system"
    assert await workflows.database.fetch_value(_COUNT) == 0
