"""What a run of a workflow orders is done: runs of actions, runs of workflows within it, items kept and gathered.

All in the transaction that advances the run. What turns out not to be possible comes back as an event.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING
from uuid import UUID, uuid5

import orjson
from rota.events.v1 import events_pb2
from rota_chassis.memberships import WRITERS

from rota_scheduler import origins
from rota_scheduler.actions.contract import KINDS, Ordered, RefusedAction, action_of
from rota_scheduler.expressions import ExpressionError
from rota_scheduler.origins import Origin
from rota_scheduler.runs import store as runs
from rota_scheduler.runs.domain import Run, of_projects
from rota_scheduler.workflows import fanout, store, trees
from rota_scheduler.workflows.definition import parse
from rota_scheduler.workflows.domain import begin
from rota_scheduler.workflows.items import order_of_item
from rota_scheduler.workflows.messages import event_of
from rota_scheduler.workflows.model import WorkflowRun
from rota_scheduler.workflows.state import (
    ActionEnded,
    GatherItems,
    ItemsGathered,
    KeepItems,
    KeepOutcome,
    Key,
    RunWorkflow,
    TakeAction,
    TakeItem,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from rota_chassis.postgres.work import UnitOfWork

    from rota_scheduler.workflows.dependencies import Workflows
    from rota_scheduler.workflows.state import Command, Take
    from rota_scheduler.workflows.state import Event as DomainEvent
    from rota_scheduler.workflows.steps import Definition

MAX_OUTPUTS_BYTES = 262_144
"""Of all items of a step together; they are part of the state from then on."""


async def carry_out(
    workflows: Workflows,
    work: UnitOfWork,
    run: WorkflowRun,
    definition: Definition,
    commands: Sequence[Command],
) -> Sequence[DomainEvent]:
    """Do what a locked run, with the state that it has now, orders; what there is to tell it of that at once."""
    now = workflows.clock.now()
    for command in commands:
        match command:
            case KeepItems():
                await fanout.keep_items(work, run, step=command.step, values=command.values)
            case KeepOutcome():
                await fanout.keep_outcome(work, run, command)
    takes, told = await _takes(work, run, definition, commands)
    actions: list[tuple[str, Ordered]] = []
    told += await _run_workflows(workflows, work, run, [each for each in takes if isinstance(each, RunWorkflow)], now)
    for take in takes:
        if isinstance(take, RunWorkflow):
            continue
        try:
            actions.append((take.key, action_of(take.action, workflows.egress)))
        except RefusedAction as error:
            told.append(ActionEnded(take.key, error=f"The action will not do: {error}"))
    await _queue(work, run, actions, now)
    for command in commands:
        if isinstance(command, GatherItems):
            told.append(await _gather(work, run, command.step))
    return told


async def _takes(
    work: UnitOfWork, run: WorkflowRun, definition: Definition, commands: Sequence[Command]
) -> tuple[Sequence[Take], list[DomainEvent]]:
    """The actions and workflows that are ordered, those of items among them; and why some are none."""
    takes = [command for command in commands if isinstance(command, TakeAction | RunWorkflow)]
    refused: list[DomainEvent] = []
    of_items: dict[str, list[Key]] = defaultdict(list)
    for command in commands:
        if isinstance(command, TakeItem):
            key = Key.parse(command.key)
            of_items[key.step].append(key)
    for name, keys in of_items.items():
        kept = await fanout.some(work, run, step=name, places=[key.item or 0 for key in keys])
        for key in keys:
            try:
                takes.append(order_of_item(definition.steps[name], run.state, key, kept[key.item or 0]))
            except ExpressionError as error:
                refused.append(ActionEnded(str(key), error=str(error)))
    return takes, refused


async def _queue(work: UnitOfWork, run: WorkflowRun, actions: Sequence[tuple[str, Ordered]], now: datetime) -> None:
    started, keys = [], {}
    for key, ordered in actions:
        run_id = uuid5(run.id, key)
        keys[run_id] = key
        # Until runs may be without a schedule, each of these stands for one of its own (see `origins`).
        started.append(
            Run(
                workspace_id=run.workspace_id,
                id=run_id,
                schedule_id=run_id,
                nominal_time=now,
                action=of_projects(ordered.action, run.project_ids),
                acts_for=run.started_by,
                available_at=now,
                **ordered.of_run,
            )
        )
    if started:
        await runs.add(work, started)
        await origins.add(work, started, Origin(workflow_run_id=run.id, causation_depth=run.causation_depth))
        await store.add_actions(work, run, keys)


async def _run_workflows(
    workflows: Workflows, work: UnitOfWork, run: WorkflowRun, ordered: Sequence[RunWorkflow], now: datetime
) -> list[DomainEvent]:
    """Start workflows within a run, as many as there is room for in its tree; why others are not started."""
    if not ordered:
        return []
    root_id = run.root_id or run.id
    room = await trees.room(work, workflows.limits, workspace_id=run.workspace_id, root_id=root_id)
    refused: list[DomainEvent] = []
    for each in ordered:
        why = workflows.limits.full if room <= 0 else await _run_workflow(workflows, work, run, each, now)
        if why is None:
            room -= 1
        else:
            refused.append(ActionEnded(each.key, error=why))
    return refused


async def _run_workflow(
    workflows: Workflows, work: UnitOfWork, run: WorkflowRun, ordered: RunWorkflow, now: datetime
) -> str | None:
    """Start a workflow within a run, on behalf of the same user; why not, if that is not possible.

    It takes its first steps when it is woken, in a transaction of its own: so what one transaction does is bounded,
    however many start however many others.
    """
    if run.depth >= workflows.limits.depth:
        return workflows.limits.too_deep
    if await workflows.memberships.known_role(work, run.started_by, run.workspace_id) not in WRITERS:
        return "Whoever started the run may not start workflows in the workspace any more."
    try:
        workflow_id = UUID(str(ordered.workflow_id))
    except ValueError:
        return "The workflow_id is no UUID."
    workflow = await store.find(work, workspace_id=run.workspace_id, workflow_id=workflow_id)
    if workflow is None:
        return "There is no such workflow in the workspace."
    child = WorkflowRun(
        workspace_id=run.workspace_id,
        id=uuid5(run.id, ordered.key),
        workflow_id=workflow.id,
        workflow_version=workflow.version,
        definition=workflow.definition,
        state=begin(parse(workflow.definition, KINDS), ordered.content),
        started_by=run.started_by,
        created_at=now,
        causation_depth=run.causation_depth,
        root_id=run.root_id or run.id,
        depth=run.depth + 1,
        project_ids=run.project_ids,
    )
    await store.add_run(work, child, wake_at=now)
    await store.add_actions(work, run, {child.id: ordered.key})
    work.append(event_of(events_pb2.WorkflowRunStarted, child, now))
    return None


async def _gather(work: UnitOfWork, run: WorkflowRun, step: str) -> ItemsGathered:
    found = await fanout.outcomes(work, run, step=step)
    outputs = [each["output"] if each["error"] is None else {"error": each["error"]} for each in found]
    if len(orjson.dumps(outputs)) > MAX_OUTPUTS_BYTES:
        return ItemsGathered(step, error=f"What the items yield is larger than {MAX_OUTPUTS_BYTES} bytes together.")
    return ItemsGathered(step, outputs)
