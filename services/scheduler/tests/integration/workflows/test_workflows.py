"""Workflows on real servers: definitions in, steps taken, runs told of."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from rota.scheduler.v1 import schedules_pb2, workers_pb2, workflows_pb2
from rota_chassis.errors import Conflict, InvalidArgument, NotFound, PermissionDenied, PreconditionFailed
from rota_chassis.testing.streams import stored_events
from rota_chassis.testing.waiting import eventually
from rota_scheduler.workflows.state import MAX_SIGNALS
from rota_scheduler.workflows.trees import Limits


def task(title: str, **step: Any) -> dict[str, Any]:
    return {"action": {"create_task": {"title": title}}} | step


def statuses(run: Any) -> dict[str, str]:
    names = workflows_pb2.WorkflowStepStatus
    return {step.name: names.Name(step.status).removeprefix("WORKFLOW_STEP_STATUS_") for step in run.steps}


async def test_steps_follow_what_they_need_and_outputs_flow_between_them(world: Any) -> None:
    run = await world.start(
        {
            "steps": {
                "b": task("after ${steps.a.output.task_id}", needs=["a"]),
                "a": task("Pack ${input.order}"),
                "c": task("never", needs=["a"], **{"if": "input.order > 100"}),
            },
            "output": {"first": "${steps.a.output.task_id}"},
        },
        {"order": 7},
    )
    ended = await world.finished(run)
    assert statuses(ended) == {"a": "SUCCEEDED", "b": "SUCCEEDED", "c": "SKIPPED"}
    first = MessageToDict(ended.output)["first"]
    assert world.tasks.titles == ["Pack 7", f"after {first}"]
    request = workflows_pb2.GetWorkflowRunGraphRequest(id=run.id)
    graph = await world.stub.GetWorkflowRunGraph(request, metadata=world.owner.metadata)
    assert "s_a --> s_b" in graph.mermaid
    assert 's_c["c: skipped"]' in graph.mermaid


async def test_what_succeeded_is_compensated_in_reverse_when_a_step_fails(world: Any) -> None:
    undo = {"create_task": {"title": "undo a"}}
    run = await world.start(
        {
            "steps": {
                "a": task("a", compensate=undo),
                "b": task("b", needs=["a"], compensate={"create_task": {"title": "undo b"}}),
                "c": task("refuse", needs=["b"]),
                "d": task("never", needs=["c"]),
            }
        }
    )
    ended = await world.finished(run)
    assert ended.status == workflows_pb2.WORKFLOW_RUN_STATUS_FAILED
    assert statuses(ended) == {"a": "COMPENSATED", "b": "COMPENSATED", "c": "FAILED", "d": "CANCELLED"}
    assert world.tasks.titles == ["a", "b", "refuse", "undo b", "undo a"]


async def test_fifty_signals_at_once_are_each_taken_once(world: Any) -> None:
    steps = {f"w{number}": {"wait": {"signal": "go"}} for number in range(50)}
    run = await world.start({"steps": steps})
    await asyncio.gather(*(world.signal(run, "go", number) for number in range(50)))
    ended = await world.finished(run)
    assert sorted(step.output.number_value for step in ended.steps) == list(range(50))
    with pytest.raises(Conflict):
        await world.signal(run, "go", 1)


async def test_a_signal_that_is_repeated_counts_once(world: Any) -> None:
    steps = {"first": {"wait": {"signal": "go"}}, "second": {"wait": {"signal": "go"}, "needs": ["first"]}}
    run = await world.start({"steps": steps})
    await asyncio.gather(*(world.signal(run, "go", number, request_id="once") for number in range(5)))
    assert statuses(await world.get(run)) == {"first": "SUCCEEDED", "second": "WAITING"}
    assert statuses(await world.signal(run, "go", 6, request_id="twice"))["second"] == "SUCCEEDED"
    again = await world.signal(run, "go", 0, request_id="once")
    assert again.status == workflows_pb2.WORKFLOW_RUN_STATUS_SUCCEEDED


async def test_more_signals_than_are_kept_are_refused_and_one_that_is_waited_for_is_not(world: Any) -> None:
    run = await world.start({"steps": {"w": {"wait": {"signal": "go"}}}})
    for _ in range(MAX_SIGNALS):
        await world.signal(run, "early", None)
    with pytest.raises(Conflict) as caught:
        await world.signal(run, "early", None)
    assert caught.value.code == "TOO_MANY_SIGNALS"
    assert statuses(await world.signal(run, "go", None)) == {"w": "SUCCEEDED"}


async def test_a_put_of_an_older_version_is_refused(world: Any) -> None:
    workflow = await world.create({"steps": {"a": task("a")}})
    put = workflows_pb2.PutWorkflowRequest(
        id=workflow.id, name="Ship", definition_yaml="steps: {b: {wait: {for_s: 5}}}", if_match=workflow.etag
    )
    changed = (await world.stub.PutWorkflow(put, metadata=world.owner.metadata)).workflow
    assert (workflow.etag, changed.etag) == ('"v1"', '"v2"')
    put.name = "Other"
    with pytest.raises(PreconditionFailed):
        await world.stub.PutWorkflow(put, metadata=world.owner.metadata)


async def test_a_run_that_is_cancelled_takes_its_actions_along(world: Any, listening: Any) -> None:
    async with listening(200) as endpoint:
        endpoint.silent = True
        call = {"action": {"http": {"url": endpoint.url}}}
        run = await world.start({"steps": {"a": call}})

        async def called() -> bool:
            return bool(endpoint.calls)

        await eventually(called)
        cancel = workflows_pb2.CancelWorkflowRunRequest(id=run.id)
        await world.stub.CancelWorkflowRun(cancel, metadata=world.owner.metadata)

    async def told() -> Any:
        found = await stored_events(world.nats)
        return found if any(event.type == "workflow_run.finished" for event in found) else None

    events = {event.type: event for event in await eventually(told)}
    assert events["run.finished"].data.run.status == schedules_pb2.RUN_STATUS_CANCELLED
    assert events["run.finished"].data.run.error == "The run of the workflow was cancelled."


async def test_beginning_and_end_of_a_run_are_told_without_its_steps(world: Any) -> None:
    run = await world.start({"steps": {"a": task("a")}, "output": {"made": "${steps.a.output.task_id}"}}, {"order": 7})
    ended = await world.finished(run)

    async def told() -> Any:
        found = [event for event in await stored_events(world.nats) if event.type.startswith("workflow_run.")]
        return found if len(found) == 2 else None

    first, last = await eventually(told)
    assert (first.type, first.aggregate_version) == ("workflow_run.started", 1)
    assert first.data.workflow_run.input == ended.input
    assert (last.type, last.aggregate_version) == ("workflow_run.finished", ended.version)
    assert last.data.workflow_run.output == ended.output
    assert not last.data.workflow_run.steps


async def test_the_answer_to_a_call_flows_into_later_steps(world: Any, listening: Any) -> None:
    async with listening(200) as endpoint:
        steps = {
            "call": {"action": {"http": {"url": endpoint.url}}},
            "then": task("${steps.call.output.http_status} ${steps.call.output.response}", needs=["call"]),
        }
        output = {"body": "${steps.call.output.body}"}
        ended = await world.finished(await world.start({"steps": steps, "output": output}))
    assert world.tasks.titles == ["200 {}"]
    assert MessageToDict(ended.output) == {"body": {}}


async def test_the_result_of_a_job_flows_into_later_steps(world: Any) -> None:
    steps = {"bake": {"action": {"job": {"queue": "ovens", "payload": {"loaves": "${input.loaves}"}}}}}
    output = {"baked": "${steps.bake.output.result.loaves}"}
    run = await world.start({"steps": steps, "output": output}, {"loaves": 3})
    claim = workers_pb2.ClaimRunsRequest(name="ovens", wait_s=20)
    (job,) = (await world.workers.ClaimRuns(claim, metadata=world.owner.metadata)).runs
    assert MessageToDict(job.payload) == {"loaves": 3}
    complete = workers_pb2.CompleteRunRequest(id=job.id, fence=job.fence)
    ParseDict({"loaves": 2}, complete.result)
    await world.workers.CompleteRun(complete, metadata=world.owner.metadata)
    assert MessageToDict((await world.finished(run)).output) == {"baked": 2}


async def test_a_step_starts_a_workflow_and_does_not_wait_for_it(world: Any) -> None:
    inner = await world.create({"steps": {"a": task("for ${input.order}")}})
    start = {"action": {"workflow": {"workflow_id": inner.id, "input": {"order": "${input}"}}}}
    output = "${steps.start.output.body.workflow_run_id}"
    ended = await world.finished(await world.start({"steps": {"start": start}, "output": output}, 7))
    started = workflows_pb2.WorkflowRun(id=MessageToDict(ended)["output"])
    assert (await world.finished(started)).workflow_id == inner.id
    assert world.tasks.titles == ["for 7"]


async def test_a_workflow_that_starts_itself_comes_to_an_end(world: Any) -> None:
    workflow = await world.create({"steps": {"a": {"wait": {"for_s": 5}}}})
    again = {"steps": {"a": {"action": {"workflow": {"workflow_id": workflow.id}}}}}
    put = workflows_pb2.PutWorkflowRequest(id=workflow.id, name="Again")
    ParseDict(again, put.definition)
    await world.stub.PutWorkflow(put, metadata=world.owner.metadata)
    request = workflows_pb2.StartWorkflowRequest(id=workflow.id)
    await world.stub.StartWorkflow(request, metadata=world.owner.metadata)

    async def failed() -> Any:
        listing = workflows_pb2.ListWorkflowRunsRequest(workflow_id=workflow.id)
        runs = (await world.stub.ListWorkflowRuns(listing, metadata=world.owner.metadata)).runs
        return runs if any(run.status == workflows_pb2.WORKFLOW_RUN_STATUS_FAILED for run in runs) else None

    runs = await eventually(failed)
    assert len(runs) == Limits().depth + 1
    assert "8 deep" in runs[0].error


async def test_the_schema_of_definitions_is_published(world: Any) -> None:
    request = workflows_pb2.GetWorkflowSchemaRequest()
    answer = await world.stub.GetWorkflowSchema(request, metadata=world.viewer.metadata)
    assert MessageToDict(answer.schema)["required"] == ["steps"]


async def test_a_wait_ends_when_its_time_has_passed(world: Any) -> None:
    run = await world.start({"steps": {"w": {"wait": {"for_s": 1}}, "a": task("then", needs=["w"])}})
    assert run.steps[0].HasField("waits_until")
    assert statuses(await world.finished(run)) == {"w": "SUCCEEDED", "a": "SUCCEEDED"}


async def test_signals_and_cancels_at_once_leave_one_end(world: Any) -> None:
    run = await world.start({"steps": {"w": {"wait": {"signal": "go"}}, "a": task("then", needs=["w"])}})
    cancel = workflows_pb2.CancelWorkflowRunRequest(id=run.id)
    await asyncio.gather(
        *(world.stub.CancelWorkflowRun(cancel, metadata=world.owner.metadata) for _ in range(5)),
        *(world.signal(run, "go", None) for _ in range(5)),
        return_exceptions=True,
    )
    ended = await world.finished(run)
    assert ended.status == workflows_pb2.WORKFLOW_RUN_STATUS_CANCELLED
    assert len(world.tasks.titles) <= 1


async def test_a_paused_run_starts_nothing_until_it_is_resumed(world: Any) -> None:
    run = await world.start({"steps": {"w": {"wait": {"signal": "go"}}, "a": task("then", needs=["w"])}})
    pause, resume = workflows_pb2.PauseWorkflowRunRequest(id=run.id), workflows_pb2.ResumeWorkflowRunRequest(id=run.id)
    await world.stub.PauseWorkflowRun(pause, metadata=world.owner.metadata)
    assert statuses(await world.signal(run, "go", None)) == {"w": "WAITING", "a": "PENDING"}
    await world.stub.ResumeWorkflowRun(resume, metadata=world.owner.metadata)
    assert statuses(await world.finished(run)) == {"w": "SUCCEEDED", "a": "SUCCEEDED"}


async def test_a_run_keeps_the_version_that_it_began_with(world: Any) -> None:
    workflow = await world.create(
        "steps:\n  w: {wait: {signal: go}}\n  a: {needs: [w], action: {create_task: {title: old}}}"
    )
    metadata = world.owner.metadata
    request = workflows_pb2.StartWorkflowRequest(id=workflow.id, request_id="once")
    runs = await asyncio.gather(*(world.stub.StartWorkflow(request, metadata=metadata) for _ in range(3)))
    assert len({answer.run.id for answer in runs}) == 1
    put = workflows_pb2.PutWorkflowRequest(
        id=workflow.id, name="Ship", definition_yaml="steps: {b: {wait: {for_s: 5}}}"
    )
    assert (await world.stub.PutWorkflow(put, metadata=metadata)).workflow.version == 2
    assert (await world.stub.PutWorkflow(put, metadata=metadata)).workflow.version == 2
    listed = await world.stub.ListWorkflowVersions(
        workflows_pb2.ListWorkflowVersionsRequest(id=workflow.id), metadata=metadata
    )
    assert [each.version for each in listed.versions] == [2, 1]
    await world.signal(runs[0].run, "go", None)
    assert (await world.finished(runs[0].run)).workflow_version == 1
    assert world.tasks.titles == ["old"]


async def test_others_see_nothing_and_viewers_change_nothing(world: Any) -> None:
    run = await world.start({"steps": {"w": {"wait": {"signal": "go"}}}})
    with pytest.raises(PermissionDenied):
        await world.signal(run, "go", None, world.viewer)
    with pytest.raises(NotFound):
        await world.signal(run, "go", None, world.stranger)
    listed = await world.stub.ListWorkflowRuns(
        workflows_pb2.ListWorkflowRunsRequest(), metadata=world.stranger.metadata
    )
    assert not listed.runs


@pytest.mark.parametrize(
    ("definition", "words"),
    [
        ({"steps": {"a": task("x", needs=["b"]), "b": task("x", needs=["a"])}}, "circle: "),
        ({"steps": {"a": task("x", needs=["z"])}}, "names z"),
        ({"steps": {"a": task("${size(steps.z.output)}")}}, r"^steps\.a names steps\.z, and there is no such step\.$"),
        ({"steps": {"a": task("x", **{"if": "has(steps.z)"})}}, r"steps\.a names steps\.z"),
        ({"steps": {"a": task("x")}, "output": ["${steps.z.output}"]}, r"output names steps\.z"),
        ({"steps": {"a": task("x", nedes=[])}}, "steps.a.nedes"),
        ({"steps": {"a": task("${1 + }")}}, r"character 7 of a text: .*[^.]\.$"),
        ({"steps": {"a": {"action": {"fly": {}}}}}, "fly"),
        (
            {"steps": {"a": {"action": {"create_task": {"titel": "${input}"}}}}},
            "steps.a.action.create_task.titel is not",
        ),
        ({"steps": {"a": {"action": {"http": {"url": "ftp://x"}}}}}, "steps.a.action will not do: .* http or https"),
        ({"steps": {"a": task("x", compensate={"create_task": {}})}}, "steps.a.compensate will not do"),
        ({"steps": {"a": {"approval": {"title": "x", "assignee_ids": ["eva"]}}}}, "steps.a.approval will not do"),
        ({"steps": {}}, "1 to 200"),
        ("a: &a [x]\nb: *a", "alias in line 2"),
        ("steps: [", "cannot be read"),
    ],
    ids=[
        "cycle",
        "missing",
        "missing-in-an-action",
        "missing-in-a-condition",
        "missing-in-the-output",
        "unknown-key",
        "expression",
        "kind",
        "member",
        "url",
        "no-title",
        "assignee",
        "empty",
        "alias",
        "yaml",
    ],
)
async def test_a_definition_that_will_not_do_is_refused_with_the_place(
    world: Any, definition: dict[str, Any] | str, words: str
) -> None:
    with pytest.raises(InvalidArgument, match=words) as caught:
        await world.create(definition)
    (violation,) = caught.value.violations
    assert violation.field.startswith("definition")
