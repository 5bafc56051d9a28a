"""Saved filters in PostgreSQL, and the record of calls that carried a request id.

Every query is scoped to those that the caller may see: their own, and those shared in their workspaces.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.memberships import MEMBERSHIPS, newest_visible, visible_workspaces
from rota_chassis.postgres.statements import statement
from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    Integer,
    MetaData,
    Table,
    Text,
    and_,
    bindparam,
    delete,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import UUID as PgUUID
from sqlalchemy.dialects.postgresql import insert

from rota_tasks.projects.access import is_visible, role_in
from rota_tasks.requests.store import Records
from rota_tasks.saved_filters.domain import SavedFilter, SavedFilterDeleted, SavedFilterEvent

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from rota_chassis.postgres.work import Reader, UnitOfWork

METADATA = MetaData()
SAVED_FILTERS = Table(
    "saved_filters",
    METADATA,
    Column("workspace_id", PgUUID, primary_key=True),
    Column("id", PgUUID, primary_key=True),
    Column("name", Text, nullable=False),
    Column("filter", Text, nullable=False),
    Column("order_by", Text, nullable=False),
    Column("project_id", PgUUID),
    Column("is_favourite", Boolean, nullable=False),
    Column("is_shared", Boolean, nullable=False),
    Column("owner_id", PgUUID, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("version", Integer, nullable=False),
)
REQUESTS = Records("saved_filter_requests", "saved_filter_id", "saved filter")
_FIELDS = tuple(column.name for column in SAVED_FILTERS.c)
_KEY = ("workspace_id", "id")
IS_VISIBLE = and_(
    or_(SAVED_FILTERS.c.is_shared, SAVED_FILTERS.c.owner_id == bindparam("user_id", type_=PgUUID)),
    is_visible(SAVED_FILTERS.c.project_id),
)
"""Whether a member of the workspace, the user in the parameter `user_id`, may see it."""

_GET = statement(
    select(SAVED_FILTERS).where(
        SAVED_FILTERS.c.id == bindparam("id"), SAVED_FILTERS.c.workspace_id.in_(visible_workspaces()), IS_VISIBLE
    )
)
_LOCK = statement(
    select(SAVED_FILTERS, role_in(SAVED_FILTERS.c.project_id))
    .join_from(SAVED_FILTERS, MEMBERSHIPS, SAVED_FILTERS.c.workspace_id == MEMBERSHIPS.c.workspace_id)
    .where(
        SAVED_FILTERS.c.id == bindparam("id"),
        MEMBERSHIPS.c.user_id == bindparam("user_id"),
        ~MEMBERSHIPS.c.removed,
        IS_VISIBLE,
    )
    .with_for_update(of=SAVED_FILTERS)
)
_NEW = insert(SAVED_FILTERS).values({name: bindparam(name) for name in _FIELDS})
_SAVE = statement(
    _NEW.on_conflict_do_update(
        index_elements=list(_KEY), set_={name: _NEW.excluded[name] for name in _FIELDS if name not in _KEY}
    )
)
_DELETE = statement(
    delete(SAVED_FILTERS).where(
        SAVED_FILTERS.c.workspace_id == bindparam("workspace_id"), SAVED_FILTERS.c.id == bindparam("id")
    )
)
_LIST = statement(newest_visible(SAVED_FILTERS, IS_VISIBLE)[1])


async def get(reader: Reader, *, user_id: UUID, saved_filter_id: UUID) -> SavedFilter | None:
    """The saved filter, if the user may see it."""
    row = await reader.fetch_one(_GET, user_id=user_id, id=saved_filter_id)
    return None if row is None else SavedFilter(**row)


async def lock(work: UnitOfWork, *, user_id: UUID, saved_filter_id: UUID) -> tuple[SavedFilter, str] | None:
    """The saved filter, locked until the transaction ends, and the user's role in its project."""
    row = await work.fetch_one(_LOCK, user_id=user_id, id=saved_filter_id)
    return None if row is None else (SavedFilter(**{name: row[name] for name in _FIELDS}), row["role"])


async def page(
    reader: Reader, *, user_id: UUID, limit: int, before: UUID | None, workspace_id: UUID | None
) -> Sequence[SavedFilter]:
    """The newest that the user may see, at most `limit`, older than `before`."""
    rows = await reader.fetch(_LIST, user_id=user_id, limit=limit, before=before, workspace_id=workspace_id)
    return [SavedFilter(**row) for row in rows]


async def project(work: UnitOfWork, event: SavedFilterEvent) -> None:
    """Bring the read table up to date with an event; the rebuild uses the same function."""
    saved = event.saved_filter
    if isinstance(event, SavedFilterDeleted):
        await work.execute(_DELETE, workspace_id=saved.workspace_id, id=saved.id)
    else:
        await work.execute(_SAVE, **{name: getattr(saved, name) for name in _FIELDS})
