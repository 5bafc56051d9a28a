"""Events in, steps that wait for them done.

The inbox row and the advance commit together: an event that is delivered twice, to one replica or to two, wakes a step
once. Who may be concerned is found without a lock; those runs are locked, in the order of their ids, and the domain
asks again whether the step still waits. An event from before a step began to wait does not wake it, nor one of a
project that is hidden from whoever started the run.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import orjson
from rota_chassis.errors import InvalidArgument
from rota_chassis.logs import logger

from rota_scheduler.rules.facts import EVENT_TYPES, Facts, holds
from rota_scheduler.rules.sight import projects_of, seeing
from rota_scheduler.workflows import store, waiters
from rota_scheduler.workflows.engine import apply
from rota_scheduler.workflows.orders import MAX_OUTPUTS_BYTES
from rota_scheduler.workflows.state import ActionEnded, Decided, Heard
from rota_scheduler.workflows.waits import DECISIONS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from uuid import UUID

    from rota_chassis.events.consumer import Handler
    from rota_chassis.events.envelope import Event
    from rota_chassis.postgres.work import UnitOfWork

    from rota_scheduler.workflows.dependencies import Workflows
    from rota_scheduler.workflows.state import Event as DomainEvent

_DECIDES = frozenset({"task.completed", "task.updated", "task.deleted"})
_LOG = logger(__name__)


def handlers(workflows: Workflows) -> Mapping[str, Handler]:
    """The events that steps may wait for, which are those that rules may."""
    return dict.fromkeys(EVENT_TYPES, partial(on_event, workflows))


async def concerned(workflows: Workflows, events: Sequence[Event]) -> Collection[UUID]:
    """The ids of those of the events that a step waits for, as far as is committed."""
    return await waiters.concerned(workflows.database, events, deciding=_DECIDES)


async def on_event(workflows: Workflows, work: UnitOfWork, event: Event) -> None:
    """End the waits of the event's workspace that it ends."""
    types = [event.type, DECISIONS] if event.type in _DECIDES else [event.type]
    found = await waiters.listening(
        work.ahead, workspace_id=event.workspace_id, event_types=types, subject=event.aggregate_id, at=event.time
    )
    if not found:
        return
    facts = Facts.of(event)
    project_ids = await projects_of(workflows.projects, facts)
    seen_by = await seeing(workflows.projects, work, facts, [waiter["acts_for"] for waiter in found], project_ids)
    told: dict[UUID, list[DomainEvent]] = {}
    for waiter in found:
        # The decision of an approval says nothing of its task but that it is decided, and by whom.
        if waiter["event_type"] != DECISIONS and waiter["acts_for"] not in seen_by:
            continue
        news = _news(waiter, facts)
        of_run = told.setdefault(waiter["workflow_run_id"], [])
        if news is not None and news not in of_run:
            of_run.append(news)
    concerned = [run_id for run_id, news in told.items() if news]
    for run in await store.lock_some(work, workspace_id=event.workspace_id, run_ids=concerned):
        # What it hears of a project stays with it, and with what it starts from then on.
        hears = any(isinstance(each, Heard) for each in told[run.id])
        advanced = run.knowing(project_ids or ()) if hears else run
        for each in told[run.id]:
            advanced = await apply(workflows, work, advanced, each)


def _news(waiter: Mapping[str, Any], facts: Facts) -> DomainEvent | None:
    """What the event means for who waits, if anything."""
    if waiter["event_type"] == DECISIONS:
        return _decision(facts)
    try:
        if not holds(waiter["condition"], facts, me=waiter["acts_for"]):
            return None
    except InvalidArgument as error:
        # It was written for an event that had other members; others must not wait for it.
        _LOG.warning("waiter.unreadable", workflow_run_id=waiter["workflow_run_id"], error=str(error))
        return None
    if len(orjson.dumps(facts.data)) > MAX_OUTPUTS_BYTES:
        return ActionEnded(waiter["key"], error=f"The event is larger than {MAX_OUTPUTS_BYTES} bytes.")
    return Heard(waiter["key"], facts.data)


def _decision(facts: Facts) -> Decided | None:
    """What the event decides of its task: completed, it is approved; cancelled or deleted, refused."""
    event, task = facts.event, facts.data["task"]
    approved = event.type == "task.completed"
    if event.type == "task.updated" and task.get("status") != "cancelled":
        return None
    at = event.time.isoformat().replace("+00:00", "Z")
    by = event.actor.removeprefix("user:")
    return Decided(task["id"], {"approved": approved, "by": by, "at": at, "task_id": task["id"]})
