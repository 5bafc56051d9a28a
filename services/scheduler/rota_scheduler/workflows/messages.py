"""Workflows and their runs as the contract writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid5

from rota.scheduler.v1 import workflows_pb2
from rota_chassis import codec
from rota_chassis.events.log import NewEvent

from rota_scheduler.actions.contract import KINDS
from rota_scheduler.actions.templates import RefusedDefinition
from rota_scheduler.workflows.definition import parse, shown
from rota_scheduler.workflows.graph import Graph
from rota_scheduler.workflows.schema import SCHEMA
from rota_scheduler.workflows.state import Item, Key, StepStatus

if TYPE_CHECKING:
    from datetime import datetime

    from rota_scheduler.workflows.model import Workflow, WorkflowItem, WorkflowRun
    from rota_scheduler.workflows.state import StepState
    from rota_scheduler.workflows.steps import Step

_decode_workflow = codec.decoder(workflows_pb2.Workflow)
_decode_run = codec.decoder(workflows_pb2.WorkflowRun)
_decode_schema = codec.decoder(workflows_pb2.GetWorkflowSchemaResponse)
_decode_item = codec.decoder(workflows_pb2.WorkflowItem)
_decode_step = codec.decoder(workflows_pb2.WorkflowStep)


def workflow_message(workflow: Workflow) -> workflows_pb2.Workflow:
    """The workflow as the API shows it."""
    message: workflows_pb2.Workflow = _decode_workflow(
        {
            "id": str(workflow.id),
            "workspace_id": str(workflow.workspace_id),
            "name": workflow.name,
            "definition": shown(workflow.definition),
            "created_by": str(workflow.created_by),
            "version": workflow.version,
            "etag": workflow.etag,
        }
    )
    message.created_at.FromDatetime(workflow.created_at)
    return message


def schema_message() -> workflows_pb2.GetWorkflowSchemaResponse:
    """The schema of definitions."""
    message: workflows_pb2.GetWorkflowSchemaResponse = _decode_schema({"schema": SCHEMA})
    return message


def run_message(run: WorkflowRun) -> workflows_pb2.WorkflowRun:
    """The run as the API shows it."""
    message = _without_steps(run)
    message.steps.extend(_steps(run))
    return message


def _without_steps(run: WorkflowRun) -> workflows_pb2.WorkflowRun:
    state = run.state
    message: workflows_pb2.WorkflowRun = _decode_run(
        {
            "id": str(run.id),
            "workspace_id": str(run.workspace_id),
            "workflow_id": str(run.workflow_id),
            "workflow_version": run.workflow_version,
            "status": state.status.value,
            "input": state.input,
            "output": state.output,
            "error": state.error,
            "started_by": str(run.started_by),
            "version": run.version,
            "attempt": state.attempt,
            "project_ids": list(run.project_ids),
        }
    )
    message.created_at.FromDatetime(run.created_at)
    if run.finished_at is not None:
        message.finished_at.FromDatetime(run.finished_at)
    return message


def event_of(message: Any, run: WorkflowRun, now: datetime) -> NewEvent:
    """An event of `rota.events.v1` about a run as it now is; its steps would make it larger than events may be."""
    return NewEvent(
        workspace_id=run.workspace_id,
        aggregate_id=run.id,
        aggregate_version=run.version,
        data=message(workflow_run=_without_steps(run)),
        time=now,
        causation_depth=run.causation_depth,
    )


def item_message(item: WorkflowItem) -> workflows_pb2.WorkflowItem:
    """The item as the API shows it."""
    message: workflows_pb2.WorkflowItem = _decode_item(
        {
            "index": item.place,
            "status": item.status.name.lower(),
            "item": item.item,
            "output": item.output,
            "error": item.error,
            "run_id": None if item.run_id is None else str(item.run_id),
        }
    )
    return message


def graph_message(run: WorkflowRun, *, with_svg: bool) -> workflows_pb2.GetWorkflowRunGraphResponse:
    """The steps of a run and what they need."""
    graph = Graph.of(parse(run.definition, KINDS), run.state)
    message = workflows_pb2.GetWorkflowRunGraphResponse(
        nodes=_steps(run), mermaid=graph.mermaid(), svg=graph.svg() if with_svg else ""
    )
    message.edges.extend(workflows_pb2.WorkflowEdge(**{"from": before, "to": after}) for before, after in graph.edges)
    return message


def _steps(run: WorkflowRun) -> list[workflows_pb2.WorkflowStep]:
    states = run.state.steps
    try:
        steps = parse(run.definition, KINDS).steps
    except RefusedDefinition:
        # It was set aside for that, or a newer release began it: what is known of its steps is shown all the same.
        return [_step(run, name, None, state) for name, state in states.items()]
    return [_step(run, name, step, states[name]) for name, step in steps.items() if name in states]


def _step(run: WorkflowRun, name: str, step: Step | None, state: StepState) -> workflows_pb2.WorkflowStep:
    content: dict[str, Any] = {
        "name": name,
        "status": state.status.value,
        "error": state.error,
        "attempt": state.attempt,
        "task_id": state.task_id,
    }
    if state.output is not None:
        content["output"] = state.output
    if state.items is not None:
        content["items"] = {
            "total": len(state.items),
            "running": state.items.count(Item.RUNNING),
            "succeeded": state.items.count(Item.SUCCEEDED),
            "failed": state.items.count(Item.FAILED),
            "compensated": state.items.count(Item.COMPENSATED),
        }
    if step and step.workflow is not None and step.for_each is None and state.started_at is not None:
        content["workflow_run_id"] = str(uuid5(run.id, str(Key(name, state.attempt))))
    message: workflows_pb2.WorkflowStep = _decode_step(content)
    waits_until = state.until if state.status is StepStatus.WAITING else None
    for field, moment in (
        ("waits_until", waits_until),
        ("started_at", state.started_at),
        ("finished_at", state.finished_at),
    ):
        if moment is not None:
            getattr(message, field).FromDatetime(moment)
    return message
