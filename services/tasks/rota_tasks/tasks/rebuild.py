"""Rebuilds the read table from the event log, and says how far it was from the truth.

The log is the authority: whatever the read table held is replaced. Writers wait for the lock, readers see the old
rows until the commit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rota_chassis.events.types import event_types

from rota_tasks.tasks import store
from rota_tasks.tasks.domain import TaskCreated, TaskDeleted, TaskEvent
from rota_tasks.tasks.messages import task_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rota_chassis.postgres.database import Database

_FETCH = 1_000


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild did: events read, rows the table has now, rows that were missing, extra or different."""

    events: int
    rows: int
    differences: int


async def rebuild_tasks(database: Database) -> Rebuilt:
    """Replace the read table by what the log says, in one transaction.

    Raises:
        Unavailable: the database does not answer, or writers did not let go of the table in time.
    """
    async with database.transaction() as work:
        connection = work.connection
        await connection.execute("SET LOCAL statement_timeout = 0")
        await connection.execute("LOCK TABLE tasks IN EXCLUSIVE MODE")
        await connection.execute("CREATE TEMP TABLE tasks_before ON COMMIT DROP AS TABLE tasks")
        await connection.execute("DELETE FROM tasks")
        events = 0
        cursor = connection.cursor(
            "SELECT type, data FROM events WHERE aggregate = 'task' ORDER BY position", prefetch=_FETCH
        )
        async for row in cursor:
            await store.project(work, _event(row))
            events += 1
        differences = await connection.fetchval(
            "SELECT count(*) FROM tasks_before b FULL JOIN tasks t USING (workspace_id, id) WHERE b IS DISTINCT FROM t"
        )
        rows = await connection.fetchval("SELECT count(*) FROM tasks")
    return Rebuilt(events, rows, differences)


def _event(row: Mapping[str, Any]) -> TaskEvent:
    """What the projection needs of a logged event: the task, and whether it is gone."""
    task = task_of(event_types()[row["type"]].decode(row["data"]).task)
    return TaskDeleted(task) if row["type"] == "task.deleted" else TaskCreated(task)
