"""Saying which occurrences are due."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rota_chassis.batches import handle_batch
from rota_chassis.logs import logger

from rota_scheduler.metrics import LATENESS_SECONDS
from rota_scheduler.series import store
from rota_scheduler.series.domain import Decision, decide
from rota_scheduler.series.messages import due_event, series_of_json
from rota_scheduler.series.times import RefusedRecurrence
from rota_scheduler.ticker import next_tick

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from rota_chassis.clock import Clock
    from rota_chassis.postgres.database import Database
    from rota_chassis.postgres.work import UnitOfWork

    from rota_scheduler.series.domain import Series

BATCH = 50
_LOG = logger(__name__)


@dataclass(frozen=True)
class SeriesTimes:
    """What the times of series need."""

    database: Database
    clock: Clock


async def fire_series(times: SeriesTimes) -> datetime | None:
    """Look at a batch of the series whose time has come; what is due is said in the transaction that notes it.

    Returns:
        When to look next: at once while there may be more, None when no series waits for a time.
    """
    due = await store.next_due(times.database)
    now = times.clock.now()
    if due is None or due > now:
        return due

    async def look(work: UnitOfWork, rows: Sequence[Mapping[str, Any]]) -> Sequence[tuple[Series, Decision]]:
        taken = [series_of_json(row["data"]) for row in rows]
        # In a thread: a rule that hardly ever matches may take a moment.
        decided = await asyncio.to_thread(_decided, taken, now)
        await store.wake(work, [(series, decision.wake_at) for series, decision in decided])
        work.append(*(due_event(series, each.occurrence, now) for series, each in decided if each.due))
        return decided

    decided = await handle_batch(
        times.database,
        "series",
        most=BATCH,
        take=lambda work, limit: store.take(work, now=now, limit=limit),
        handle=look,
        set_aside=store.set_aside,
    )
    if decided is None:
        return now
    for _series, each in decided:
        if each.occurrence is not None and each.occurrence.at <= now:
            LATENESS_SECONDS.labels("occurrence").observe((now - each.occurrence.at).total_seconds())
    return next_tick(now, taken=len(decided), batch=BATCH, due=await store.next_due(times.database))


def _decided(taken: Sequence[Series], now: datetime) -> list[tuple[Series, Decision]]:
    return [(series, _decision(series, now)) for series in taken]


def _decision(series: Series, now: datetime) -> Decision:
    try:
        return decide(series, now)
    except RefusedRecurrence as error:
        # It was accepted once: its zone is gone, or it comes from another version. Its next version is looked at again.
        _LOG.error("series.refused", series=str(series.id), error=str(error))
        return Decision(due=False)
