"""Advancing runs of workflows.

One transaction per advance: the run's row is locked, the domain decides, and the state, what it orders and who waits
for events are written together. So a process that dies leaves either nothing or all of it; an event that is delivered
again finds its step done. Whoever locks more than one run does it in the order of their ids.
"""

from __future__ import annotations

from collections import Counter, deque
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

import orjson
from google.protobuf.json_format import MessageToDict
from rota.events.v1 import events_pb2
from rota.scheduler.v1 import schedules_pb2, workflows_pb2
from rota_chassis.batches import handle_batch
from rota_chassis.codec.wellknown import value_json
from rota_chassis.errors import InvalidArgument

from rota_scheduler.actions.contract import KINDS
from rota_scheduler.runs import store as runs
from rota_scheduler.runs.messages import run_finished
from rota_scheduler.ticker import next_tick
from rota_scheduler.workflows import store, trees, waiters
from rota_scheduler.workflows.definition import check_where, parse
from rota_scheduler.workflows.domain import RefusedRetry, advance, busy
from rota_scheduler.workflows.messages import event_of
from rota_scheduler.workflows.orders import carry_out
from rota_scheduler.workflows.state import FINISHED, ActionEnded, Order, Retry
from rota_scheduler.workflows.tables import run_of
from rota_scheduler.workflows.waits import DECISIONS
from rota_scheduler.workflows.waits import waiters as waiters_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from rota_chassis.batches import Fault
    from rota_chassis.events.consumer import Handler
    from rota_chassis.events.envelope import Event
    from rota_chassis.postgres.work import UnitOfWork

    from rota_scheduler.workflows.dependencies import Workflows
    from rota_scheduler.workflows.model import WorkflowRun
    from rota_scheduler.workflows.state import Event as DomainEvent
    from rota_scheduler.workflows.steps import Definition
    from rota_scheduler.workflows.waits import Waiter

BATCH = 50
MAX_WAITERS = 1_000
"""Of a workspace, for events of a type, which bounds what each of those costs."""
_ENDED = "The run of the workflow was cancelled."


async def apply(workflows: Workflows, work: UnitOfWork, run: WorkflowRun, event: DomainEvent) -> WorkflowRun:
    """Advance a locked run by an event, and have done what it orders; the run as it then is.

    What turns out to be impossible, now that expressions have values, has failed.

    Raises:
        RefusedRetry: it cannot be retried so.
    """
    now = workflows.clock.now()
    definition, state = parse(run.definition, KINDS), run.state
    waited = frozenset(waiters_of(definition, state))
    events = deque([event])
    while events:
        told = events.popleft()
        state, commands = advance(definition, state, told, now)
        if isinstance(told, Retry):
            await _take_place(workflows, work, run)
        events.extend(await carry_out(workflows, work, replace(run, state=state), definition, commands))
        if not events:
            events.extend(await _deaf(work, run, frozenset(waiters_of(definition, state)) - waited))
    if state == run.state:
        return run
    finished_at = now if state.status in FINISHED else None
    advanced = replace(run, state=state, finished_at=finished_at, version=run.version + 1)
    await store.save_run(work, advanced)
    waiting = frozenset(waiters_of(definition, state))
    await waiters.change(work, run, gone=waited - waiting, new=waiting - waited)
    if finished_at is not None:
        await _cancel_actions(work, run, definition, now)
        work.append(event_of(events_pb2.WorkflowRunFinished, advanced, now))
    elif run.finished_at is not None:
        work.append(event_of(events_pb2.WorkflowRunRetried, advanced, now))
    return advanced


async def _take_place(workflows: Workflows, work: UnitOfWork, run: WorkflowRun) -> None:
    """Let a run that had finished count in its tree again, before what it starts there does.

    Raises:
        RefusedRetry: the tree has no room for it.
    """
    if run.root_id is None:
        return
    await store.reopen(work, run)
    if await trees.room(work, workflows.limits, workspace_id=run.workspace_id, root_id=run.root_id) < 0:
        raise RefusedRetry("WORKFLOW_TREE_FULL", workflows.limits.full)


async def _deaf(work: UnitOfWork, run: WorkflowRun, new: Collection[Waiter]) -> list[DomainEvent]:
    """Those that would wait in vain: for what cannot be asked, or where too many wait already."""
    found: list[DomainEvent] = []
    types = Counter(waiter.event_type for waiter in new if waiter.event_type != DECISIONS)
    for event_type, more in types.items():
        full = await waiters.count(work, workspace_id=run.workspace_id, event_type=event_type) + more > MAX_WAITERS
        for waiter in new:
            if waiter.event_type != event_type:
                continue
            try:
                check_where(waiter.where, event_type)
            except InvalidArgument as error:
                found.append(ActionEnded(waiter.key, error=f"The condition on events will not do: {error}"))
                continue
            if full:
                many = f"{MAX_WAITERS} steps of the workspace wait for {event_type} already."
                found.append(ActionEnded(waiter.key, error=many))
    return found


async def _cancel_actions(work: UnitOfWork, before: WorkflowRun, definition: Definition, now: datetime) -> None:
    """End what is still done for a run that has ended; none is, unless somebody has ended it.

    Workflows within it are ended when its end is heard of (`handlers`). The task of an approval may be there already
    when somebody creates it: that comes to its end, and then the task is taken back.
    """
    for key in busy(before.state):
        run_id = uuid5(before.id, str(key))
        ended = await runs.cancel(
            work,
            workspace_id=before.workspace_id,
            schedule_id=run_id,
            error=_ENDED,
            finished_at=now,
            begun=definition.steps[key.step].approval is None,
        )
        work.append(*(run_finished(run, now) for run in ended))


async def wake_runs(workflows: Workflows) -> datetime | None:
    """Advance a batch of the runs that have waited long enough.

    Returns:
        When to wake next: at once while there may be more, None when no run waits for a time.
    """
    due = await store.next_due(workflows.database)
    now = workflows.clock.now()
    if due is None or due > now:
        return due

    async def wake(work: UnitOfWork, rows: Sequence[Mapping[str, Any]]) -> int:
        taken = [run_of(row) for row in rows]
        # In the order in which they lock their trees.
        for run in sorted(taken, key=lambda each: each.root_id or each.id):
            await apply(workflows, work, run, Order.WAKE)
        return len(taken)

    async def set_aside(work: UnitOfWork, row: Mapping[str, Any], fault: Fault) -> None:
        failed = await store.fail(work, row, error=f"It could not go on ({fault.reason}).", now=now)
        if failed is None:
            return
        await waiters.remove_all(work, workspace_id=row["workspace_id"], run_id=row["id"])
        if fault.is_told:
            work.append(event_of(events_pb2.WorkflowRunFinished, run_of(failed), now))

    woken = await handle_batch(
        workflows.database,
        "workflow_run",
        most=BATCH,
        take=lambda work, limit: store.take_due(work, now=now, limit=limit),
        handle=wake,
        set_aside=set_aside,
    )
    workflows.on_runs()
    if woken is None:
        return now
    return next_tick(now, taken=woken, batch=BATCH, due=await store.next_due(workflows.database))


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

    async def on_workflow_run_finished(work: UnitOfWork, event: Event) -> None:
        """The run that it is within goes on; those within it that still go on, as it was cancelled, are cancelled."""
        ended: workflows_pb2.WorkflowRun = event.data.workflow_run
        orphans = await _orphans(work, event.workspace_id, UUID(ended.id))
        told: dict[UUID, DomainEvent] = dict.fromkeys(orphans, Order.CANCEL)
        above = await store.action_of(work, workspace_id=event.workspace_id, run_id=UUID(ended.id))
        if above is not None:
            told[above[0]] = _ended_workflow(above[1], ended)
        for run in await store.lock_some(work, workspace_id=event.workspace_id, run_ids=told):
            # Its output is part of the run that waited for it.
            learns = above is not None and run.id == above[0]
            await apply(workflows, work, run.knowing(ended.project_ids) if learns else run, told[run.id])

    return {"run.finished": on_run_finished, "workflow_run.finished": on_workflow_run_finished}


async def _orphans(work: UnitOfWork, workspace_id: UUID, run_id: UUID) -> Collection[UUID]:
    """The runs within a run that it does not wait for any more; it may have been retried since, and wait for others."""
    within = await store.children(work, workspace_id=workspace_id, run_id=run_id)
    if not within:
        return ()
    state = await store.state_of(work, workspace_id=workspace_id, run_id=run_id)
    awaited = set() if state is None else {str(key) for key in busy(state)}
    return [child for child, key in within.items() if key not in awaited]


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


def _ended_workflow(key: str, run: workflows_pb2.WorkflowRun) -> ActionEnded:
    match run.status:
        case workflows_pb2.WORKFLOW_RUN_STATUS_SUCCEEDED:
            return ActionEnded(key, output=value_json(run.output))
        case workflows_pb2.WORKFLOW_RUN_STATUS_CANCELLED:
            return ActionEnded(key, error=f"Its run {run.id} was cancelled.")
    return ActionEnded(key, error=f"Its run {run.id} failed: {run.error}")
