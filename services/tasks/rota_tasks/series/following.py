"""Series follow what becomes of their tasks, in the same transaction: every path that changes a task comes here.

The row of a series is locked after those of its tasks, and only when it is to change: by the task of its newest
occurrence, of which there is one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_tasks.series import domain, store
from rota_tasks.series.messages import event_message

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from rota_chassis.postgres.work import UnitOfWork

    from rota_tasks.series.domain import SeriesEvent
    from rota_tasks.tasks.domain import Task


async def follow(work: UnitOfWork, task: Task, *, gone: bool = False) -> None:
    """Let the series of a task know what the task is now; one that recurs for the first time begins its series.

    Args:
        work: The transaction.
        task: As it is after a change, at its `updated_at`.
        gone: Whether it is deleted now.
    """
    if task.series_id is None:
        return
    key = {"workspace_id": task.workspace_id, "series_id": task.series_id}
    seen = await store.get(work, **key)
    if seen is None:
        await apply(work, domain.begin(task))
    elif domain.note(seen, task, gone=gone) is not None:
        # It may have a newer occurrence by now.
        series = await store.lock(work, **key)
        await apply(work, domain.note(series or seen, task, gone=gone))


async def begin(work: UnitOfWork, tasks: Sequence[Task]) -> None:
    """Begin the series of new tasks, as far as they recur."""
    events = [domain.begin(task) for task in tasks if task.recurrence is not None]
    work.append(*map(event_message, events))
    await store.add(work, [event.series for event in events])


async def leave(work: UnitOfWork, task: Task, *, now: datetime) -> None:
    """End the series that a task is of, if it is of any: the task begins another."""
    if task.series_id is None:
        return
    series = await store.lock(work, workspace_id=task.workspace_id, series_id=task.series_id)
    if series is not None:
        await apply(work, domain.end(series, now=now))


async def apply(work: UnitOfWork, event: SeriesEvent | None) -> None:
    """Make it so: the event, if there is one, into the log and into the row."""
    if event is not None:
        work.append(event_message(event))
        await store.project(work, event)
