"""Steps over lists, and workflows within workflows, on real servers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from rota.scheduler.v1 import workflows_pb2
from rota_chassis.errors import NotFound
from rota_chassis.ids import uuid7
from rota_chassis.testing.waiting import eventually
from rota_scheduler.workflows import commands
from rota_scheduler.workflows.domain import busy
from rota_scheduler.workflows.engine import apply
from rota_scheduler.workflows.orders import MAX_OUTPUTS_BYTES
from rota_scheduler.workflows.state import ActionEnded, RunStatus
from rota_scheduler.workflows.trees import Limits

if TYPE_CHECKING:
    from rota_chassis.identity import UserPrincipal
    from rota_chassis.postgres.database import Database


def each(title: str, *, undo: str | None = None, **for_each: Any) -> dict[str, Any]:
    step: dict[str, Any] = {"for_each": for_each, "action": {"create_task": {"title": title}}}
    return step if undo is None else step | {"compensate": {"create_task": {"title": undo}}}


def inner(workflow: Any, **rest: Any) -> dict[str, Any]:
    return {"workflow": {"workflow_id": workflow.id, **rest}}


async def test_a_step_is_taken_for_each_item_and_later_steps_know_what_came_of_it(world: Any) -> None:
    steps = {
        "pack": each("Pack ${index}: ${item.name}", **{"in": "input.orders", "max_parallel": 3}),
        "none": each("never", **{"in": "input.none"}),
        "tell": {
            "needs": ["pack", "none"],
            "action": {"create_task": {"title": "${size(steps.pack.output)} ${size(steps.none.output)}"}},
        },
    }
    orders = [{"name": f"order {number}"} for number in range(7)]
    run = await world.start({"steps": steps, "output": "${steps.pack.output}"}, {"orders": orders, "none": []})
    ended = await world.finished(run)
    titles = [f"Pack {number}: order {number}" for number in range(7)]
    assert sorted(world.tasks.titles[:-1]) == titles
    assert world.tasks.titles[-1] == "7 0"
    made = MessageToDict(ended)["output"]
    assert [world.tasks.ids[output["task_id"]] for output in made] == titles
    (pack,) = [step for step in ended.steps if step.name == "pack"]
    assert (pack.items.total, pack.items.succeeded) == (7, 7)
    graph = await world.stub.GetWorkflowRunGraph(
        workflows_pb2.GetWorkflowRunGraphRequest(id=run.id, with_svg=True), metadata=world.owner.metadata
    )
    assert 's_pack["pack: succeeded, 7 of 7"]' in graph.mermaid
    assert graph.svg.startswith("<svg")


async def test_what_items_did_is_undone_from_the_last_when_one_fails(world: Any) -> None:
    steps = {
        "a": each("a ${item}", undo="undo a ${item} ${output.task_id}", **{"in": "[0, 1]", "max_parallel": 1}),
        "b": each("${item}", undo="undo b ${item}", **{"in": "['x', 'y', 'refuse', 'z']", "max_parallel": 1})
        | {"needs": ["a"]},
    }
    ended = await world.finished(await world.start({"steps": steps}))
    assert ended.error == "b: item 2: INVALID_ARGUMENT: No."
    shortened = [title.split(" ") for title in world.tasks.titles]
    assert [" ".join(words[:3]) for words in shortened] == [
        *("a 0", "a 1", "x", "y", "refuse"),
        *("undo b y", "undo b x", "undo a 1", "undo a 0"),
    ]
    a, b = ended.steps
    assert (a.status, a.items.compensated) == (workflows_pb2.WORKFLOW_STEP_STATUS_COMPENSATED, 2)
    assert (b.status, b.items.compensated, b.items.failed) == (workflows_pb2.WORKFLOW_STEP_STATUS_FAILED, 2, 1)


async def items(world: Any, run: Any, step: str, **which: Any) -> Any:
    request = workflows_pb2.ListWorkflowItemsRequest(id=run.id, step=step, **which)
    return await world.stub.ListWorkflowItems(request, metadata=world.owner.metadata)


async def test_the_items_of_a_step_are_listed_with_what_came_of_them(world: Any) -> None:
    step = each("${item}", **{"in": "['x', 'refuse', 'y', 'refuse', 'z']", "on_item_failure": "continue"})
    run = await world.finished(await world.start({"steps": {"a": step, "b": {"wait": {"for_s": 1}}}}))
    first = await items(world, run, "a", page_size=2)
    rest = await items(world, run, "a", page_size=3, page_token=first.next_page_token)
    assert [MessageToDict(each)["item"] for each in (*first.items, *rest.items)] == ["x", "refuse", "y", "refuse", "z"]
    assert not rest.next_page_token
    assert first.items[0].run_id
    assert MessageToDict(first.items[0])["output"]["task_id"] in world.tasks.ids
    failed = await items(world, run, "a", status=workflows_pb2.WORKFLOW_ITEM_STATUS_FAILED)
    assert [(each.index, each.error) for each in failed.items] == [
        (1, "INVALID_ARGUMENT: No."),
        (3, "INVALID_ARGUMENT: No."),
    ]
    assert not (await items(world, run, "b")).items
    with pytest.raises(NotFound):
        await items(world, run, "c")
    request = workflows_pb2.ListWorkflowItemsRequest(id=run.id, step="a")
    with pytest.raises(NotFound):
        await world.stub.ListWorkflowItems(request, metadata=world.stranger.metadata)
    assert (await world.stub.ListWorkflowItems(request, metadata=world.viewer.metadata)).items


async def test_what_items_yield_is_bounded(database: Database, workflows_of: Any, user: UserPrincipal) -> None:
    workflows = workflows_of(database)
    steps = {"a": each("x", **{"in": "[1, 2, 3, 4, 5]"})}
    made = await commands.create_workflow(
        workflows, user, workspace_id=user.workspace_id, name="w", definition={"steps": steps}
    )
    run = await commands.start_workflow(workflows, user, workflow_id=made.id, content=None, request_id=None)
    async with database.transaction() as work:
        for key in busy(run.state):
            run = await apply(workflows, work, run, ActionEnded(str(key), output="x" * 60_000))
    assert run.state.status is RunStatus.FAILED
    assert f"larger than {MAX_OUTPUTS_BYTES} bytes together" in (run.state.error or "")


async def test_a_step_runs_a_workflow_to_its_end_and_takes_its_output(world: Any) -> None:
    child = await world.create(
        {
            "steps": {"a": {"action": {"create_task": {"title": "for ${input.order}"}}}, "w": {"wait": {"for_s": 1}}},
            "output": {"made": "${steps.a.output.task_id}", "order": "${input.order}"},
        }
    )
    step = inner(child, input={"order": "${input}"})
    run = await world.start({"steps": {"run": step}, "output": "${steps.run.output}"}, 7)
    ended = await world.finished(run)
    assert MessageToDict(ended)["output"]["order"] == 7
    within = await world.get(workflows_pb2.WorkflowRun(id=ended.steps[0].workflow_run_id))
    assert (within.workflow_id, within.output) == (child.id, ended.output)


async def test_workflows_run_for_each_item(world: Any) -> None:
    child = await world.create(
        {"steps": {"a": {"action": {"create_task": {"title": "${input}"}}}}, "output": "${input}"}
    )
    step = inner(child, input="${item}") | {"for_each": {"in": "['x', 'y', 'refuse']", "on_item_failure": "continue"}}
    ended = await world.finished(await world.start({"steps": {"run": step}, "output": "${steps.run.output}"}))
    x, y, refused = MessageToDict(ended)["output"]
    assert (x, y) == ("x", "y")
    assert refused["error"].endswith("failed: a: INVALID_ARGUMENT: No.")


async def test_a_workflow_that_fails_within_another_fails_the_step(world: Any) -> None:
    child = await world.create({"steps": {"a": {"action": {"create_task": {"title": "refuse"}}}}})
    ended = await world.finished(await world.start({"steps": {"run": inner(child)}}))
    assert ended.error.startswith("run: Its run ")
    strange = {"workflow": {"workflow_id": str(uuid7())}}
    ended = await world.finished(await world.start({"steps": {"run": strange}}))
    assert ended.error == "run: There is no such workflow in the workspace."


async def test_a_cancel_goes_down_to_the_workflows_within(world: Any) -> None:
    lowest = await world.create({"steps": {"w": {"wait": {"signal": "never"}}}})
    middle = await world.create({"steps": {"run": inner(lowest)}})
    run = await world.start({"steps": {"run": inner(middle) | {"for_each": {"in": "[1, 2]"}}}})

    async def all_runs() -> Any:
        request = workflows_pb2.ListWorkflowRunsRequest()
        return (await world.stub.ListWorkflowRuns(request, metadata=world.owner.metadata)).runs

    async def begun() -> bool:
        return len(await all_runs()) == 5

    await eventually(begun)
    cancel = workflows_pb2.CancelWorkflowRunRequest(id=run.id)
    await world.stub.CancelWorkflowRun(cancel, metadata=world.owner.metadata)

    async def cancelled() -> bool:
        return {each.status for each in await all_runs()} == {workflows_pb2.WORKFLOW_RUN_STATUS_CANCELLED}

    await eventually(cancelled)


async def test_a_workflow_within_itself_fails_at_a_depth(world: Any) -> None:
    workflow = await world.create({"steps": {"a": {"wait": {"for_s": 5}}}})
    put = workflows_pb2.PutWorkflowRequest(id=workflow.id, name="Again")
    ParseDict({"steps": {"a": inner(workflow)}}, put.definition)
    await world.stub.PutWorkflow(put, metadata=world.owner.metadata)
    request = workflows_pb2.StartWorkflowRequest(id=workflow.id)
    run = (await world.stub.StartWorkflow(request, metadata=world.owner.metadata)).run
    ended = await world.finished(run)
    assert ended.error.count("Its run") == Limits().depth
    assert ended.error.endswith(f"at most {Limits().depth} deep.")
