"""Queuing the runs of actions whose time has come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rota_chassis.batches import handle_batch
from rota_chassis.logs import logger
from rota_chassis.memberships import WRITERS

from rota_scheduler import origins
from rota_scheduler.actions.contract import RefusedAction, action_of
from rota_scheduler.executions import store
from rota_scheduler.executions.domain import Due
from rota_scheduler.executions.messages import queued_event, refused_event
from rota_scheduler.metrics import LATENESS_SECONDS
from rota_scheduler.origins import Origin
from rota_scheduler.runs import store as runs
from rota_scheduler.runs.domain import Run, of_projects
from rota_scheduler.ticker import next_tick

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from rota_chassis.batches import Fault
    from rota_chassis.clock import Clock
    from rota_chassis.events.log import NewEvent
    from rota_chassis.memberships import Memberships
    from rota_chassis.postgres.database import Database
    from rota_chassis.postgres.work import UnitOfWork

    from rota_scheduler.actions.egress import EgressPolicy

BATCH = 100
_LOG = logger(__name__)


@dataclass(frozen=True)
class Executions:
    """What the actions of tasks need.

    Attributes:
        egress: Where HTTP actions may connect to.
        on_runs: Called when new runs have been committed.
    """

    database: Database
    memberships: Memberships
    clock: Clock
    egress: EgressPolicy
    on_runs: Callable[[], None]


async def fire_task_actions(executions: Executions) -> datetime | None:
    """Queue the runs of a batch of the actions whose time has come; each commits with its event.

    Returns:
        When to fire next: at once while there may be more, None when no action is armed.
    """
    due = await store.next_due(executions.database)
    now = executions.clock.now()
    if due is None or due > now:
        return due

    async def queue(work: UnitOfWork, rows: Sequence[Mapping[str, Any]]) -> tuple[Sequence[Due], bool]:
        taken = [Due(**row) for row in rows]
        return taken, await _queue(executions, work, taken, now)

    async def set_aside(work: UnitOfWork, row: Mapping[str, Any], fault: Fault) -> None:
        if await store.set_aside(work, row) and fault.is_told:
            work.append(refused_event(Due(**row), f"It could not be run ({fault.reason}).", now))

    handled = await handle_batch(
        executions.database,
        "task_action",
        most=BATCH,
        take=lambda work, limit: store.take(work, now=now, limit=limit),
        handle=queue,
        set_aside=set_aside,
        key=("workspace_id", "task_id"),
    )
    if handled is None:
        return now
    taken, started = handled
    for each in taken:
        LATENESS_SECONDS.labels("task_action").observe((now - each.fire_at).total_seconds())
    if started:
        executions.on_runs()
    return next_tick(now, taken=len(taken), batch=BATCH, due=await store.next_due(executions.database))


async def _queue(executions: Executions, work: UnitOfWork, taken: Sequence[Due], now: datetime) -> bool:
    """Queue the runs of actions that were taken; whether there are any."""
    started: list[tuple[Run, Due]] = []
    events: list[NewEvent] = []
    for each in await store.without_fired(work, taken):
        try:
            started.append((_run(executions, each, now), each))
        except RefusedAction as error:
            _LOG.warning("task_action.refused", task_id=each.task_id, error=str(error))
            events.append(refused_event(each, str(error), now))
    await runs.add(work, [run for run, _ in started])
    for run, each in started:
        if each.causation_depth:
            await origins.add(work, [run], Origin(causation_depth=each.causation_depth))
        events.append(queued_event(run, each, now))
    await store.fired(work, taken)
    work.append(*events)
    return bool(started)


def _run(executions: Executions, due: Due, now: datetime) -> Run:
    if due.role not in WRITERS:
        raise RefusedAction("Whoever gave the task its action may not write in the workspace any more; give it anew.")
    ordered = action_of(due.action, executions.egress)
    of_task = {
        "task_id": str(due.task_id),
        "action_id": str(due.action_id),
        "causation_depth": due.causation_depth,
    }
    return Run(
        workspace_id=due.workspace_id,
        id=due.run_id,
        schedule_id=due.run_id,
        nominal_time=due.fire_at,
        due_at=due.fire_at,
        action={**of_projects(ordered.action, [str(due.project_id)] if due.project_id else ()), "of_task": of_task},
        acts_for=due.acts_for,
        available_at=now,
        **ordered.of_run,
    )
