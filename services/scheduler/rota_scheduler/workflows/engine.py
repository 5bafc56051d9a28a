"""Advancing runs of workflows.

One transaction per advance: the run's row is locked, the domain decides, and the state and the runs of the actions it
orders are written together. So a process that dies leaves either nothing or all of it; an event that is delivered
again finds its step done.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

import orjson
from google.protobuf.json_format import MessageToDict
from rota.events.v1 import events_pb2
from rota.scheduler.v1 import schedules_pb2

from rota_scheduler import origins
from rota_scheduler.actions.contract import KINDS, RefusedAction, action_of
from rota_scheduler.origins import Origin
from rota_scheduler.runs import store as runs
from rota_scheduler.runs.domain import Run
from rota_scheduler.runs.messages import run_finished
from rota_scheduler.ticker import next_tick
from rota_scheduler.workflows import store
from rota_scheduler.workflows.definition import parse
from rota_scheduler.workflows.domain import FINISHED, ActionEnded, Order, advance, busy
from rota_scheduler.workflows.messages import event_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from rota_chassis.events.consumer import Handler
    from rota_chassis.events.envelope import Event
    from rota_chassis.postgres.database import UnitOfWork

    from rota_scheduler.workflows.dependencies import Workflows
    from rota_scheduler.workflows.domain import Event as DomainEvent
    from rota_scheduler.workflows.domain import TakeAction
    from rota_scheduler.workflows.model import WorkflowRun

BATCH = 50
_ENDED = "The run of the workflow was cancelled."


async def apply(workflows: Workflows, work: UnitOfWork, run: WorkflowRun, event: DomainEvent) -> WorkflowRun:
    """Advance a locked run by an event, and have its actions taken; the run as it then is.

    An action that turns out to be none, now that its expressions have values, has failed.
    """
    now = workflows.clock.now()
    definition, state = parse(run.definition, KINDS), run.state
    events = deque([event])
    while events:
        state, commands = advance(definition, state, events.popleft(), now)
        for command in commands:
            refused = await _take(workflows, work, run, command, now)
            if refused is not None:
                events.append(ActionEnded(command.key, error=refused))
    if state == run.state:
        return run
    finished_at = now if state.status in FINISHED else None
    advanced = replace(run, state=state, finished_at=finished_at, version=run.version + 1)
    await store.save_run(work, advanced)
    if finished_at is not None:
        await _cancel_actions(work, run, now)
        work.append(event_of(events_pb2.WorkflowRunFinished, advanced, now))
    return advanced


async def _cancel_actions(work: UnitOfWork, before: WorkflowRun, now: datetime) -> None:
    """End what is still done for a run that has ended; none is, unless somebody has ended it."""
    for key in busy(before.state):
        run_id = uuid5(before.id, key)
        ended = await runs.cancel(
            work, workspace_id=before.workspace_id, schedule_id=run_id, error=_ENDED, finished_at=now
        )
        work.append(*(run_finished(run, now) for run in ended))


async def _take(
    workflows: Workflows, work: UnitOfWork, run: WorkflowRun, command: TakeAction, now: datetime
) -> str | None:
    """Start the run of an action; why not, if it is none."""
    try:
        action = action_of(command.action, workflows.egress)
    except RefusedAction as error:
        return f"The action will not do: {error}"
    run_id = uuid5(run.id, command.key)
    # Until runs may be without a schedule, each of these stands for one of its own (see `origins`).
    started = Run(
        workspace_id=run.workspace_id,
        id=run_id,
        schedule_id=run_id,
        nominal_time=now,
        action=action,
        acts_for=run.started_by,
        available_at=now,
    )
    await runs.add(work, [started])
    await origins.add(work, [started], Origin(workflow_run_id=run.id, causation_depth=run.causation_depth))
    await store.add_action(work, run, run_id=run_id, key=command.key)
    return None


async def wake_runs(workflows: Workflows) -> datetime | None:
    """Advance a batch of the runs that have waited long enough.

    Returns:
        When to wake next: at once while there may be more, None when no run waits for a time.
    """
    due = await store.next_due(workflows.database)
    now = workflows.clock.now()
    if due is None or due > now:
        return due
    async with workflows.database.transaction() as work:
        taken = await store.take_due(work, now=now, limit=BATCH)
        for run in taken:
            await apply(workflows, work, run, Order.WAKE)
    workflows.on_runs()
    return next_tick(now, taken=len(taken), batch=BATCH, due=await store.next_due(workflows.database))


def handlers(workflows: Workflows) -> Mapping[str, Handler]:
    """The events that advance runs, for `Runtime.consume`."""

    async def on_run_finished(work: UnitOfWork, event: Event) -> None:
        ended: schedules_pb2.Run = event.data.run
        found = await store.action_of(work, workspace_id=event.workspace_id, run_id=UUID(ended.id))
        if found is None:
            return
        workflow_run_id, key = found
        run = await store.lock_alone(work, workspace_id=event.workspace_id, run_id=workflow_run_id)
        if run is not None:
            await apply(workflows, work, run, _ended(key, ended))

    return {"run.finished": on_run_finished}


def _ended(key: str, run: schedules_pb2.Run) -> ActionEnded:
    if run.status != schedules_pb2.RUN_STATUS_SUCCEEDED:
        return ActionEnded(key, error=run.error or "The action failed.")
    output: dict[str, Any] = {
        name: getattr(run, name) for name in ("task_id", "http_status", "response") if run.HasField(name)
    }
    with suppress(orjson.JSONDecodeError):
        output["body"] = orjson.loads(run.response)
    if run.HasField("result"):
        output["result"] = MessageToDict(run.result)
    return ActionEnded(key, output=output)
