"""Firing the timers that are due."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from google.protobuf.timestamp_pb2 import Timestamp
from rota.events.v1 import events_pb2
from rota_chassis.batches import handle_batch
from rota_chassis.events.log import NewEvent

from rota_scheduler.metrics import LATENESS_SECONDS
from rota_scheduler.ticker import next_tick
from rota_scheduler.timers import store
from rota_scheduler.timers.domain import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from rota_chassis.clock import Clock
    from rota_chassis.postgres.database import Database
    from rota_chassis.postgres.work import UnitOfWork

    from rota_scheduler.timers.domain import Firing

BATCH = 200


@dataclass(frozen=True)
class Timers:
    """What firing timers needs."""

    database: Database
    clock: Clock


async def fire_timers(timers: Timers) -> datetime | None:
    """Fire a batch of the timers that are due; each firing and its event commit together.

    Returns:
        When to fire next: at once while there may be more, None when no timer is armed.
    """
    due = await store.next_due(timers.database)
    now = timers.clock.now()
    if due is None or due > now:
        return due

    async def fire(work: UnitOfWork, rows: Sequence[Mapping[str, Any]]) -> Sequence[Firing]:
        firings = [store.firing_of(row) for row in rows]
        work.append(*(_event(firing, now) for firing in firings))
        return firings

    firings = await handle_batch(
        timers.database,
        "timer",
        most=BATCH,
        take=lambda work, limit: store.fire(work, now=now, limit=limit),
        handle=fire,
        set_aside=store.set_aside,
        key=("workspace_id", "task_id", "kind"),
    )
    if firings is None:
        return now
    for firing in firings:
        LATENESS_SECONDS.labels(firing.kind.partition(":")[0]).observe((now - firing.fired_for).total_seconds())
    return next_tick(now, taken=len(firings), batch=BATCH, due=await store.next_due(timers.database))


def _event(firing: Firing, now: datetime) -> NewEvent:
    fire_at = Timestamp()
    fire_at.FromDatetime(firing.fired_for)
    return NewEvent(
        workspace_id=firing.workspace_id,
        aggregate_id=firing.reminder_id,
        aggregate_version=firing.firings,
        data=events_pb2.ReminderFired(
            kind=events_pb2.REMINDER_KIND_DUE if firing.kind == Kind.DUE else events_pb2.REMINDER_KIND_REMINDER,
            task_id=str(firing.task_id),
            fire_at=fire_at,
            title=firing.title,
            recipient_ids=[str(user_id) for user_id in firing.recipient_ids],
            project_id=firing.project_id,
        ),
        time=now,
    )
