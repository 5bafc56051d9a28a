"""What a call that does many things has to know before, and the record of what each did."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from rota_chassis.events.types import event_type_of
from rota_chassis.ids import uuid7
from rota_chassis.memberships import MEMBERSHIPS
from rota_chassis.postgres.statements import statement
from sqlalchemy import Column, Integer, MetaData, Table, Text, bindparam, delete, func, insert, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_tasks.batch.domain import Done
from rota_tasks.projects.access import is_visible
from rota_tasks.tasks.tables import TASKS, own, task_of_row

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from rota_chassis.postgres.work import Reader, UnitOfWork

    from rota_tasks.tasks.domain import Task

BATCHES = Table(
    "batches",
    MetaData(),
    Column("workspace_id", PgUUID, primary_key=True),
    Column("id", PgUUID, primary_key=True),
    Column("user_id", PgUUID, nullable=False),
    Column("aggregates", ARRAY(Text), nullable=False),
    Column("aggregate_ids", ARRAY(PgUUID), nullable=False),
    Column("aggregate_versions", ARRAY(Integer), nullable=False),
)
_ADD = statement(insert(BATCHES).values({column.name: bindparam(column.name) for column in BATCHES.c}))
# Ids begin with their time. Whoever else forgets the same at this moment does it for both.
_OLD = (
    select(BATCHES.c.id)
    .where(BATCHES.c.workspace_id == bindparam("workspace"), BATCHES.c.id < bindparam("oldest", type_=PgUUID))
    .with_for_update(skip_locked=True)
)
_FORGET = statement(delete(BATCHES).where(BATCHES.c.workspace_id == bindparam("workspace"), BATCHES.c.id.in_(_OLD)))
_FIND = statement(
    select(BATCHES)
    .join_from(BATCHES, MEMBERSHIPS, BATCHES.c.workspace_id == MEMBERSHIPS.c.workspace_id)
    .where(
        BATCHES.c.id == bindparam("id"),
        BATCHES.c.user_id == bindparam("user_id"),
        MEMBERSHIPS.c.user_id == bindparam("user_id"),
        ~MEMBERSHIPS.c.removed,
    )
)
_PROJECTS_OF = statement(
    select(TASKS.c.project_id)
    .where(
        TASKS.c.workspace_id == bindparam("workspace_id", type_=PgUUID),
        TASKS.c.id == func.any(bindparam("ids", type_=ARRAY(PgUUID))),
        TASKS.c.project_id.is_not(None),
    )
    .distinct()
)
_TASKS = statement(
    select(*own(TASKS)).where(
        TASKS.c.workspace_id == bindparam("workspace_id", type_=PgUUID),
        TASKS.c.id == func.any(bindparam("ids", type_=ARRAY(PgUUID))),
        is_visible(TASKS.c.project_id),
    )
)


async def tasks_of(reader: Reader, *, user_id: UUID, workspace_id: UUID, task_ids: Sequence[UUID]) -> Sequence[Task]:
    """Those of the tasks that the workspace has and the user sees."""
    rows = await reader.fetch(_TASKS, user_id=user_id, workspace_id=workspace_id, ids=list(task_ids))
    return [task_of_row(row) for row in rows]


async def projects_of(reader: Reader, *, workspace_id: UUID, task_ids: Sequence[UUID]) -> Sequence[UUID]:
    """The projects of tasks of a workspace."""
    rows = await reader.fetch(_PROJECTS_OF, workspace_id=workspace_id, ids=list(task_ids))
    return [row["project_id"] for row in rows]


async def note(work: UnitOfWork, *, workspace_id: UUID, user_id: UUID, oldest: datetime) -> UUID | None:
    """Remember what the transaction has done, and forget what others did before `oldest`; the name of it.

    Returns:
        None when it has done nothing.
    """
    if not work.has_events:
        return None
    batch_id = uuid7()
    await work.execute(
        _ADD,
        workspace_id=workspace_id,
        id=batch_id,
        user_id=user_id,
        aggregates=[event_type_of(type(event.data)).aggregate for event in work.events],
        aggregate_ids=[event.aggregate_id for event in work.events],
        aggregate_versions=[event.aggregate_version for event in work.events],
    )
    await work.execute(_FORGET, workspace=workspace_id, oldest=_first_id(oldest))
    return batch_id


async def find(reader: Reader, *, user_id: UUID, batch_id: UUID) -> tuple[UUID, Sequence[Done]] | None:
    """What the user did with one call, in order, and the workspace, while they belong to it."""
    row = await reader.fetch_one(_FIND, user_id=user_id, id=batch_id)
    if row is None:
        return None
    lists = (row["aggregates"], row["aggregate_ids"], row["aggregate_versions"])
    return row["workspace_id"], [Done(*each) for each in zip(*lists, strict=True)]


def _first_id(time: datetime) -> UUID:
    """The lowest id that could be made at a time (RFC 9562, section 5.7)."""
    return UUID(int=int(time.timestamp() * 1000) << 80)
