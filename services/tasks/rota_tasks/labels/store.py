"""Labels in PostgreSQL; every query is scoped to a workspace, or to those that the caller belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota_chassis.memberships import MEMBERSHIPS, newest_visible, visible_workspaces
from rota_chassis.postgres.statements import statement
from sqlalchemy import Column, DateTime, Integer, MetaData, Table, Text, bindparam, delete, func, or_, select
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_tasks.labels.domain import Label, LabelDeleted, LabelEvent
from rota_tasks.search import documents

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from uuid import UUID

    from rota_chassis.postgres.work import Reader, UnitOfWork

LABELS = Table(
    "labels",
    MetaData(),
    Column("workspace_id", PgUUID, primary_key=True),
    Column("id", PgUUID, primary_key=True),
    Column("name", Text, nullable=False),
    Column("name_key", Text, nullable=False),
    Column("color", Text, nullable=False),
    Column("created_by", PgUUID, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("version", Integer, nullable=False),
)
_WRITTEN = tuple(column.name for column in LABELS.c)
_FIELDS = tuple(name for name in _WRITTEN if name != "name_key")
_KEY = ("workspace_id", "id")

_GET = statement(select(LABELS).where(LABELS.c.id == bindparam("id"), LABELS.c.workspace_id.in_(visible_workspaces())))
_LOCK = statement(
    select(LABELS, MEMBERSHIPS.c.role)
    .join_from(LABELS, MEMBERSHIPS, LABELS.c.workspace_id == MEMBERSHIPS.c.workspace_id)
    .where(LABELS.c.id == bindparam("id"), MEMBERSHIPS.c.user_id == bindparam("user_id"), ~MEMBERSHIPS.c.removed)
    .with_for_update(of=LABELS)
)
_NEW = insert(LABELS).values({name: bindparam(name) for name in _WRITTEN})
_SAVE = statement(
    _NEW.on_conflict_do_update(
        index_elements=list(_KEY), set_={name: _NEW.excluded[name] for name in _WRITTEN if name not in _KEY}
    )
)
_DELETE = statement(
    delete(LABELS).where(LABELS.c.workspace_id == bindparam("workspace_id"), LABELS.c.id == bindparam("id"))
)
_AMONG = statement(
    select(LABELS.c.id).where(
        LABELS.c.workspace_id == bindparam("workspace_id"),
        LABELS.c.id == func.any(bindparam("ids", type_=ARRAY(PgUUID))),
    )
)
_LIVING = statement(
    select(LABELS.c.id, LABELS.c.name_key).where(
        LABELS.c.workspace_id.in_(visible_workspaces()),
        or_(
            LABELS.c.name_key == func.any(bindparam("names", type_=ARRAY(Text))),
            LABELS.c.id == func.any(bindparam("ids", type_=ARRAY(PgUUID))),
        ),
    )
)
_LIST = statement(newest_visible(LABELS)[1])


async def get(reader: Reader, *, user_id: UUID, label_id: UUID) -> Label | None:
    """The label, if the user may see it."""
    row = await reader.fetch_one(_GET, user_id=user_id, id=label_id)
    return None if row is None else label_of_row(row)


async def lock(work: UnitOfWork, *, user_id: UUID, label_id: UUID) -> tuple[Label, str] | None:
    """The label, locked until the transaction ends, and the user's role in its workspace."""
    row = await work.fetch_one(_LOCK, user_id=user_id, id=label_id)
    return None if row is None else (label_of_row(row), row["role"])


async def missing(reader: Reader, *, workspace_id: UUID, label_ids: Collection[UUID]) -> set[UUID]:
    """Those of the labels that the workspace does not have."""
    if not label_ids:
        return set()
    rows = await reader.fetch(_AMONG, workspace_id=workspace_id, ids=list(label_ids))
    return set(label_ids) - {row["id"] for row in rows}


async def living(
    reader: Reader, *, user_id: UUID, names: Collection[str], ids: Collection[UUID]
) -> Sequence[tuple[UUID, str]]:
    """The labels that the user may see with one of the names or ids, each with the key of its name."""
    rows = await reader.fetch(_LIVING, user_id=user_id, names=list(names), ids=list(ids))
    return [(row["id"], row["name_key"]) for row in rows]


async def page(
    reader: Reader, *, user_id: UUID, limit: int, before: UUID | None, workspace_id: UUID | None
) -> Sequence[Label]:
    """The newest labels that the user may see, at most `limit`, older than `before`."""
    rows = await reader.fetch(_LIST, user_id=user_id, limit=limit, before=before, workspace_id=workspace_id)
    return [label_of_row(row) for row in rows]


async def project(work: UnitOfWork, event: LabelEvent) -> None:
    """Bring the read table up to date with an event; the rebuild uses the same function.

    Raises:
        asyncpg.UniqueViolationError: another label of the workspace has the name.
    """
    label = event.label
    if isinstance(event, LabelDeleted):
        await work.execute(_DELETE, workspace_id=label.workspace_id, id=label.id)
    else:
        await work.execute(_SAVE, **{name: getattr(label, name) for name in _WRITTEN})
    await documents.write_of_label(work, workspace_id=label.workspace_id, label_id=label.id)


def label_of_row(row: Mapping[str, Any]) -> Label:
    """The label in a row of the table."""
    return Label(**{name: row[name] for name in _FIELDS})
