"""Runs that failed or were cancelled go on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from rota.scheduler.v1 import workflows_pb2
from rota_chassis.errors import Conflict, InvalidArgument, NotFound, PermissionDenied
from rota_chassis.testing.streams import stored_events
from rota_chassis.testing.waiting import eventually


def task(title: str, **step: Any) -> dict[str, Any]:
    return {"action": {"create_task": {"title": title}}} | step


STEPS = {
    "a": task("a"),
    "b": task("refuse", needs=["a"]),
    "c": task("after ${steps.b.output.task_id}", needs=["b"]),
}


async def failed(world: Any, steps: dict[str, Any]) -> Any:
    ended = await world.finished(await world.start({"steps": steps}))
    assert ended.status == workflows_pb2.WORKFLOW_RUN_STATUS_FAILED
    return ended


async def test_a_run_goes_on_from_a_step_that_failed_and_keeps_what_was_done(world: Any) -> None:
    run = await failed(world, STEPS)
    world.tasks.refused.clear()
    again = await world.retry(run, "b")
    assert (again.status, again.attempt) == (workflows_pb2.WORKFLOW_RUN_STATUS_RUNNING, 2)
    assert not again.HasField("finished_at")
    ended = await world.finished(run)
    assert ended.status == workflows_pb2.WORKFLOW_RUN_STATUS_SUCCEEDED
    assert [step.attempt for step in ended.steps] == [1, 2, 1]
    made = world.tasks.ids[ended.steps[1].output.struct_value.fields["task_id"].string_value]
    assert made == "refuse"
    assert [title.partition(" ")[0] for title in world.tasks.titles] == ["a", "refuse", "refuse", "after"]

    async def told() -> Any:
        found = [event.type for event in await stored_events(world.nats) if event.type.startswith("workflow_run.")]
        return found if len(found) == 4 else None

    ends = ["workflow_run.started", "workflow_run.finished", "workflow_run.retried", "workflow_run.finished"]
    assert await eventually(told) == ends


async def test_what_is_retried_by_many_at_once_is_retried_once(world: Any) -> None:
    run = await failed(world, STEPS)
    answers = await asyncio.gather(*(world.retry(run) for _ in range(5)), return_exceptions=True)
    refused = [answer.code for answer in answers if isinstance(answer, Conflict)]
    assert refused == ["WORKFLOW_RUN_GOES_ON"] * 4
    assert (await world.finished(run)).attempt == 2
    answers = await asyncio.gather(*(world.retry(run, request_id="once") for _ in range(5)))
    assert {answer.attempt for answer in answers} == {3}
    assert (await world.finished(run)).attempt == 3
    assert (await world.retry(run, request_id="once")).attempt == 3
    assert world.tasks.titles == ["a", "refuse", "refuse", "refuse"]


async def test_what_has_been_undone_is_not_left_out(world: Any) -> None:
    steps = {"a": task("a", compensate={"create_task": {"title": "undo a"}}), "b": task("refuse", needs=["a"])}
    run = await failed(world, steps)
    with pytest.raises(Conflict, match="undone: a") as caught:
        await world.retry(run, "b")
    assert caught.value.code == "WORKFLOW_STEPS_UNDONE"
    world.tasks.refused.clear()
    await world.retry(run)
    assert (await world.finished(run)).status == workflows_pb2.WORKFLOW_RUN_STATUS_SUCCEEDED
    assert world.tasks.titles == ["a", "refuse", "undo a", "a", "refuse"]
    with pytest.raises(Conflict) as caught:
        await world.retry(run)
    assert caught.value.code == "WORKFLOW_RUN_SUCCEEDED"


async def test_only_items_that_are_not_done_are_done_again(world: Any) -> None:
    each = task("${item}", for_each={"in": "['x', 'refuse', 'y']", "max_parallel": 1})
    run = await failed(world, {"a": each})
    world.tasks.refused.clear()
    await world.retry(run, "a")
    ended = await world.finished(run)
    assert ended.steps[0].items.succeeded == 3
    assert world.tasks.titles == ["x", "refuse", "refuse", "y"]


async def test_a_cancelled_run_waits_again(world: Any) -> None:
    run = await world.start({"steps": {"w": {"wait": {"signal": "go"}}}})
    cancel = workflows_pb2.CancelWorkflowRunRequest(id=run.id)
    await world.stub.CancelWorkflowRun(cancel, metadata=world.owner.metadata)
    await world.retry(run)
    ended = await world.signal(run, "go", 7)
    assert ended.status == workflows_pb2.WORKFLOW_RUN_STATUS_SUCCEEDED


async def test_the_workflow_within_a_step_is_started_anew_when_a_cancelled_run_is_retried(world: Any) -> None:
    child = await world.create({"steps": {"w": {"wait": {"signal": "go"}}}, "output": "${steps.w.output}"})
    steps = {"run": {"workflow": {"workflow_id": child.id}}}
    run = await world.start({"steps": steps})
    cancel = workflows_pb2.CancelWorkflowRunRequest(id=run.id)
    await world.stub.CancelWorkflowRun(cancel, metadata=world.owner.metadata)
    (first,), (second,) = run.steps, (await world.retry(run)).steps
    within = workflows_pb2.WorkflowRun(id=second.workflow_run_id)
    assert first.workflow_run_id != second.workflow_run_id
    ended = await world.finished(workflows_pb2.WorkflowRun(id=first.workflow_run_id))
    assert ended.status == workflows_pb2.WORKFLOW_RUN_STATUS_CANCELLED
    await world.signal(within, "go", 7)
    assert (await world.finished(run)).status == workflows_pb2.WORKFLOW_RUN_STATUS_SUCCEEDED


async def test_others_cannot_retry_and_a_step_must_be_one(world: Any) -> None:
    run = await failed(world, STEPS)
    with pytest.raises(PermissionDenied):
        await world.retry(run, user=world.viewer)
    with pytest.raises(NotFound):
        await world.retry(run, user=world.stranger)
    with pytest.raises(NotFound) as caught:
        await world.retry(run, "z")
    assert caught.value.code == "WORKFLOW_STEP_NOT_FOUND"
    with pytest.raises(InvalidArgument):
        await world.retry(run, "Not A Name")
