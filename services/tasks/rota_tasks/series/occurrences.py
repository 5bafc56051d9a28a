"""Which occurrences of a series there have been, in PostgreSQL: a row for each, with its task, if it has had one.

Rows do not change: what became of an occurrence is what became of its task. One moves to another series alone, when
that series goes on in place of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.postgres.statements import statement
from sqlalchemy import Column, MetaData, Table, Text, bindparam, delete
from sqlalchemy.dialects.postgresql import UUID as PgUUID
from sqlalchemy.dialects.postgresql import insert

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rota_chassis.postgres.work import UnitOfWork

    from rota_tasks.series.domain import Series
    from rota_tasks.tasks.domain import Task

OCCURRENCES = Table(
    "task_occurrences",
    MetaData(),
    Column("workspace_id", PgUUID, primary_key=True),
    Column("series_id", PgUUID, primary_key=True),
    Column("occurrence", Text, primary_key=True),
    Column("task_id", PgUUID),
)
_ADD = statement(
    insert(OCCURRENCES)
    .values({column.name: bindparam(column.name) for column in OCCURRENCES.c})
    .on_conflict_do_nothing()
)
_LEAVE = statement(
    delete(OCCURRENCES).where(
        OCCURRENCES.c.workspace_id == bindparam("workspace_id"),
        OCCURRENCES.c.task_id == bindparam("task_id"),
        OCCURRENCES.c.series_id != bindparam("series_id"),
    )
)


async def write(work: UnitOfWork, tasks: Sequence[Task]) -> None:
    """Write the occurrences that tasks are, if they are any."""
    keys = [
        ({"workspace_id": task.workspace_id, "series_id": task.series_id, "task_id": task.id}, task.occurrence)
        for task in tasks
        if task.series_id is not None
    ]
    if keys:
        await work.execute_many(_LEAVE, [key for key, _ in keys])
        await work.execute_many(_ADD, [{**key, "occurrence": occurrence} for key, occurrence in keys])


async def write_skipped(work: UnitOfWork, series: Series) -> None:
    """Write the occurrences of a series that will have no task."""
    await work.execute_many(
        _ADD,
        [
            {"workspace_id": series.workspace_id, "series_id": series.id, "occurrence": each, "task_id": None}
            for each in series.skipped
        ],
    )
