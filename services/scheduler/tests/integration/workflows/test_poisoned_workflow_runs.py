"""A run of a workflow that cannot go on fails: the others are woken, and no restart brings it back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from poisoned import MANY, drain, spoil
from rota_chassis.ids import uuid7
from rota_chassis.testing.metrics import set_aside
from rota_scheduler.workflows import engine
from rota_scheduler.workflows import store as workflow_store
from rota_scheduler.workflows.messages import run_message
from rota_scheduler.workflows.model import WorkflowRun
from rota_scheduler.workflows.state import RunStatus, State, StepState, StepStatus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from rota_chassis.postgres.database import Database
    from rota_chassis.testing.clock import ManualClock
    from rota_scheduler.workflows.dependencies import Workflows

    Events = Callable[[], Awaitable[list[Any]]]


async def read_run(database: Database, run: WorkflowRun) -> WorkflowRun:
    async with database.transaction() as work:
        found = await workflow_store.lock_alone(work, workspace_id=run.workspace_id, run_id=run.id)
    assert found is not None
    return found


async def test_a_workflow_run_that_cannot_go_on_fails_and_the_others_are_woken(
    replicas: Sequence[Database],
    clock: ManualClock,
    workflows_of: Callable[[Database], Workflows],
    events: Events,
) -> None:
    workspace_id = uuid7()
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
    await drain(lambda: engine.wake_runs(workflows_of(replicas[0])), clock)
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
    assert await engine.wake_runs(workflows_of(replicas[1])) is None
