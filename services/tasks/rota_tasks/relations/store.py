"""Relations in PostgreSQL: two rows each, one for either task, written and deleted together.

Every query is scoped to one workspace, which the caller has found to be visible to whoever asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota_chassis.postgres.statements import statement
from sqlalchemy import (
    Column,
    DateTime,
    Integer,
    MetaData,
    Table,
    Text,
    and_,
    bindparam,
    delete,
    func,
    or_,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_tasks.projects.access import is_of_visible
from rota_tasks.relations.domain import Relation, RelationEvent, RelationRemoved, RelationType, Walk

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from rota_chassis.postgres.work import Reader, UnitOfWork

RELATIONS = Table(
    "relations",
    MetaData(),
    Column("workspace_id", PgUUID, primary_key=True),
    Column("source_id", PgUUID, primary_key=True),
    Column("type", Text, primary_key=True),
    Column("task_id", PgUUID, primary_key=True),
    Column("id", PgUUID, nullable=False),
    Column("created_by", PgUUID, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("lag_s", Integer, nullable=False),
)
_FIELDS = tuple(column.name for column in RELATIONS.c)
_WORKSPACE = bindparam("workspace_id", type_=PgUUID)
_IS_KEY = and_(
    RELATIONS.c.workspace_id == _WORKSPACE,
    RELATIONS.c.source_id == bindparam("source_id"),
    RELATIONS.c.type == bindparam("type"),
    RELATIONS.c.task_id == bindparam("task_id"),
)

_INSERT = statement(insert(RELATIONS).values({name: bindparam(name) for name in _FIELDS}))
_GET = statement(select(RELATIONS).where(_IS_KEY))
_DELETE = statement(delete(RELATIONS).where(_IS_KEY))
_COUNT = statement(
    select(func.count()).where(RELATIONS.c.workspace_id == _WORKSPACE, RELATIONS.c.source_id == bindparam("source_id"))
)
_AFTER_TYPE, _AFTER_TASK = bindparam("after_type", type_=Text), bindparam("after_task_id", type_=PgUUID)
_PAGE = statement(
    select(RELATIONS)
    .where(
        RELATIONS.c.workspace_id == _WORKSPACE,
        RELATIONS.c.source_id == bindparam("source_id"),
        is_of_visible(RELATIONS.c.workspace_id, RELATIONS.c.task_id),
        or_(_AFTER_TYPE.is_(None), tuple_(RELATIONS.c.type, RELATIONS.c.task_id) > tuple_(_AFTER_TYPE, _AFTER_TASK)),
    )
    .order_by(RELATIONS.c.type, RELATIONS.c.task_id)
    .limit(bindparam("limit", type_=Integer))
)
_REACHED = select(bindparam("start", type_=PgUUID).label("id")).cte("reached", recursive=True)
_REACHED = _REACHED.union(
    select(RELATIONS.c.task_id).where(
        RELATIONS.c.workspace_id == _WORKSPACE,
        RELATIONS.c.source_id == _REACHED.c.id,
        RELATIONS.c.type == func.any(bindparam("types", type_=ARRAY(Text))),
    )
)
_LEADS = statement(select(_REACHED.c.id).where(_REACHED.c.id == bindparam("end", type_=PgUUID)).limit(1))


async def get(
    reader: Reader, *, workspace_id: UUID, source_id: UUID, kind: RelationType, task_id: UUID
) -> Relation | None:
    """The relation of this type between these tasks, as the source sees it."""
    row = await reader.fetch_one(_GET, workspace_id=workspace_id, source_id=source_id, type=kind.value, task_id=task_id)
    return None if row is None else relation_of_row(row)


async def count(reader: Reader, *, workspace_id: UUID, source_id: UUID) -> int:
    """How many relations a task has."""
    relations: int = await reader.fetch_value(_COUNT, workspace_id=workspace_id, source_id=source_id)
    return relations


async def page(
    reader: Reader,
    *,
    user_id: UUID,
    workspace_id: UUID,
    source_id: UUID,
    limit: int,
    after: tuple[str, UUID] | None,
) -> Sequence[Relation]:
    """The relations of a task to others that the user may see, by type and task, at most `limit`, behind `after`."""
    after_type, after_task_id = after or (None, None)
    rows = await reader.fetch(
        _PAGE,
        user_id=user_id,
        workspace_id=workspace_id,
        source_id=source_id,
        limit=limit,
        after_type=after_type,
        after_task_id=after_task_id,
    )
    return [relation_of_row(row) for row in rows]


async def leads(reader: Reader, *, workspace_id: UUID, walk: Walk) -> bool:
    """Whether there is such a walk."""
    types = sorted(each.value for each in walk.types)
    found = await reader.fetch_value(_LEADS, workspace_id=workspace_id, types=types, start=walk.start, end=walk.end)
    return found is not None


async def project(work: UnitOfWork, event: RelationEvent) -> None:
    """Bring the read table up to date with an event; the rebuild uses the same function."""
    for relation in (event.relation, event.relation.inverse):
        if isinstance(event, RelationRemoved):
            await work.execute(
                _DELETE,
                workspace_id=relation.workspace_id,
                source_id=relation.source_id,
                type=relation.type.value,
                task_id=relation.task_id,
            )
        else:
            await work.execute(_INSERT, **_row(relation))


async def save(work: UnitOfWork, relations: Sequence[Relation]) -> None:
    """Write many relations that are not there, in one round trip."""
    await work.execute_many(_INSERT, [_row(each) for relation in relations for each in (relation, relation.inverse)])


def _row(relation: Relation) -> dict[str, Any]:
    return {name: getattr(relation, name) for name in _FIELDS}


def relation_of_row(row: Mapping[str, Any]) -> Relation:
    """The relation in a row of the table."""
    return Relation(**{name: row[name] for name in _FIELDS} | {"type": RelationType(row["type"])})
