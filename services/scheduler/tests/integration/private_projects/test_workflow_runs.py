"""Runs of workflows that came of a private project, or know of one, are there for those alone who may see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota.scheduler.v1 import workflows_pb2
from rota_chassis.errors import NotFound, PermissionDenied
from rota_chassis.testing.streams import stored_events
from rota_chassis.testing.waiting import eventually

if TYPE_CHECKING:
    from integration.private_projects.conftest import World
    from rota_chassis.testing.services import User

TITLE = "${event.data.task.title}"
WAITS = {"steps": {"wait": {"wait": {"event": {"type": "task.created"}}}}, "output": "${steps.wait.output.task.title}"}


def requests_about(world: World, run_id: str) -> list[tuple[Any, Any, bool]]:
    """Every call about a run, and whether it changes the run."""
    stub = world.workflows
    return [
        (stub.GetWorkflowRun, workflows_pb2.GetWorkflowRunRequest(id=run_id), False),
        (stub.GetWorkflowRunGraph, workflows_pb2.GetWorkflowRunGraphRequest(id=run_id), False),
        (stub.ListWorkflowItems, workflows_pb2.ListWorkflowItemsRequest(id=run_id, step="each"), False),
        (stub.PauseWorkflowRun, workflows_pb2.PauseWorkflowRunRequest(id=run_id), True),
        (stub.ResumeWorkflowRun, workflows_pb2.ResumeWorkflowRunRequest(id=run_id), True),
        (stub.CancelWorkflowRun, workflows_pb2.CancelWorkflowRunRequest(id=run_id), True),
        (stub.RetryWorkflowRun, workflows_pb2.RetryWorkflowRunRequest(id=run_id), True),
        (stub.SignalWorkflowRun, workflows_pb2.SignalWorkflowRunRequest(id=run_id, name="go"), True),
    ]


async def visible(world: World, user: User) -> set[str]:
    return {each.id for each in await world.workflow_runs(user)}


async def test_a_run_that_a_rule_starts_all_that_is_within_it_and_its_actions_are_hidden_with_the_project(
    world: World,
) -> None:
    inner = await world.workflow({"steps": {"say": {"action": {"event": {"type": "said", "data": {"a": "${input}"}}}}}})
    outer = await world.workflow(
        {
            "steps": {
                "each": {"for_each": {"in": "[input]"}, "action": {"event": {"type": "x", "data": {"a": "${item}"}}}},
                "within": {"workflow": {"workflow_id": inner.id, "input": "${input}"}},
                "beside": {"action": {"workflow": {"workflow_id": inner.id, "input": "${input}"}}},
            }
        }
    )
    await world.rule({"workflow": {"workflow_id": outer.id, "input": TITLE}})
    await world.publish_task()
    found = await world.workflows_ended(3)
    assert {tuple(each.project_ids) for each in found} == {(world.project_id,)}
    for user in world.insiders:
        assert await visible(world, user) == {each.id for each in found}
    assert await visible(world, world.grace) == set()
    # Each of the actions, too: of the rule, the item, those that start the others, and what those say.
    runs = await world.ended(5)
    assert {tuple(each.project_ids) for each in runs} == {(world.project_id,)}
    assert list((await world.page(world.grace)).runs) == []
    (run,) = [each for each in found if each.workflow_id == outer.id]
    for call, request, changes in requests_about(world, run.id):
        assert await world.refused(call, request, world.grace) is NotFound
        assert await world.refused(call, request, world.vera) is (PermissionDenied if changes else None)
    # The workflow itself was written for the workspace.
    get = workflows_pb2.GetWorkflowRequest(id=outer.id)
    assert await world.refused(world.workflows.GetWorkflow, get, world.grace) is None


async def test_a_run_that_hears_of_a_private_project_is_hidden_from_then_on_and_so_is_the_one_it_is_within(
    world: World,
) -> None:
    inner = await world.workflow(WAITS)
    outer = await world.workflow(
        {"steps": {"within": {"workflow": {"workflow_id": inner.id}}}, "output": "${steps.within.output}"}
    )
    await world.start(outer)

    async def both_wait() -> bool:
        steps = [step.status for each in await world.workflow_runs(world.ada) for step in await details(world, each)]
        return len(steps) == 2 and workflows_pb2.WORKFLOW_STEP_STATUS_WAITING in steps

    await eventually(both_wait, timeout_s=30)
    assert len(await visible(world, world.grace)) == 2
    await world.publish_task()
    found = await world.workflows_ended(2)
    assert [each.output.string_value for each in found] == ["hush", "hush"]
    assert {tuple(each.project_ids) for each in found} == {(world.project_id,)}
    assert await visible(world, world.grace) == set()
    assert len(await visible(world, world.vera)) == 2
    # So live channels know whom to tell of it.
    ends = [each.data.workflow_run for each in await stored_events(world.nats) if each.type == "workflow_run.finished"]
    assert [list(each.project_ids) for each in ends] == [[world.project_id]] * 2


async def details(world: World, run: Any) -> Any:
    get = workflows_pb2.GetWorkflowRunRequest(id=run.id)
    return (await world.workflows.GetWorkflowRun(get, metadata=world.ada.metadata)).run.steps


async def test_a_run_that_came_of_no_private_project_belongs_to_the_workspace(world: World) -> None:
    run = await world.start(await world.workflow(WAITS))
    await world.publish_task("open", "")
    await world.workflows_ended(1)
    for user in (world.ada, world.alan, world.vera, world.grace):
        assert await visible(world, user) == {run.id}
