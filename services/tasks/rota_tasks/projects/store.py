"""Projects in PostgreSQL; every query is scoped to a workspace, or to those that the caller belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.memberships import MEMBERSHIPS, newest_visible, visible_workspaces
from rota_chassis.postgres.statements import statement
from sqlalchemy import Boolean, Column, DateTime, Integer, MetaData, Table, Text, bindparam, delete, select
from sqlalchemy.dialects.postgresql import UUID as PgUUID
from sqlalchemy.dialects.postgresql import insert

from rota_tasks.keys import store as keys
from rota_tasks.projects.domain import Project, ProjectDeleted, ProjectEvent

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from rota_chassis.postgres.database import Reader, UnitOfWork

PROJECTS = Table(
    "projects",
    MetaData(),
    Column("workspace_id", PgUUID, primary_key=True),
    Column("id", PgUUID, primary_key=True),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("color", Text, nullable=False),
    Column("archived", Boolean, nullable=False),
    Column("key", Text, nullable=False),
    Column("created_by", PgUUID, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("version", Integer, nullable=False),
)
_FIELDS = tuple(column.name for column in PROJECTS.c)

_KEY = ("workspace_id", "id")

_NEW = insert(PROJECTS).values({name: bindparam(name) for name in _FIELDS})
_SAVE = statement(
    _NEW.on_conflict_do_update(
        index_elements=list(_KEY), set_={name: _NEW.excluded[name] for name in _FIELDS if name not in _KEY}
    )
)
_DELETE = statement(
    delete(PROJECTS).where(PROJECTS.c.workspace_id == bindparam("workspace_id"), PROJECTS.c.id == bindparam("id"))
)
_LOCK = statement(
    select(PROJECTS, MEMBERSHIPS.c.role)
    .join_from(PROJECTS, MEMBERSHIPS, PROJECTS.c.workspace_id == MEMBERSHIPS.c.workspace_id)
    .where(PROJECTS.c.id == bindparam("id"), MEMBERSHIPS.c.user_id == bindparam("user_id"), ~MEMBERSHIPS.c.removed)
    .with_for_update(of=PROJECTS)
)
_GET = statement(
    select(PROJECTS).where(PROJECTS.c.id == bindparam("id"), PROJECTS.c.workspace_id.in_(visible_workspaces()))
)
_EXISTS = statement(
    select(PROJECTS.c.id).where(PROJECTS.c.workspace_id == bindparam("workspace_id"), PROJECTS.c.id == bindparam("id"))
)
_OF_WORKSPACE = statement(
    select(PROJECTS).where(PROJECTS.c.workspace_id == bindparam("workspace_id"), PROJECTS.c.id == bindparam("id"))
)
_LIST = statement(newest_visible(PROJECTS)[1])


async def project(work: UnitOfWork, event: ProjectEvent) -> None:
    """Bring the read table up to date with an event; the rebuild uses the same function.

    Raises:
        asyncpg.ForeignKeyViolationError: it is deleted and has tasks.
    """
    changed = event.project
    if isinstance(event, ProjectDeleted):
        await work.execute(_DELETE, workspace_id=changed.workspace_id, id=changed.id)
        await keys.release(work, workspace_id=changed.workspace_id, project_id=changed.id)
    else:
        await work.execute(_SAVE, **{name: getattr(changed, name) for name in _FIELDS})
        if changed.key:
            await keys.claim(work, workspace_id=changed.workspace_id, project_id=changed.id, key=changed.key)


async def lock(work: UnitOfWork, *, user_id: UUID, project_id: UUID) -> tuple[Project, str] | None:
    """The project, locked until the transaction ends, and the user's role in its workspace."""
    row = await work.fetch_one(_LOCK, user_id=user_id, id=project_id)
    return None if row is None else (Project(**{name: row[name] for name in _FIELDS}), row["role"])


async def get(reader: Reader, *, user_id: UUID, project_id: UUID) -> Project | None:
    """The project, if the user may see it."""
    row = await reader.fetch_one(_GET, user_id=user_id, id=project_id)
    return None if row is None else Project(**row)


async def of_workspace(reader: Reader, *, workspace_id: UUID, project_id: UUID) -> Project | None:
    """The project, if the workspace has it."""
    row = await reader.fetch_one(_OF_WORKSPACE, workspace_id=workspace_id, id=project_id)
    return None if row is None else Project(**row)


async def exists(reader: Reader, *, workspace_id: UUID, project_id: UUID) -> bool:
    """Whether the workspace has the project."""
    return await reader.fetch_value(_EXISTS, workspace_id=workspace_id, id=project_id) is not None


async def page(
    reader: Reader, *, user_id: UUID, limit: int, before: UUID | None, workspace_id: UUID | None
) -> Sequence[Project]:
    """The newest projects that the user may see, at most `limit`, older than `before`."""
    rows = await reader.fetch(_LIST, user_id=user_id, limit=limit, before=before, workspace_id=workspace_id)
    return [Project(**row) for row in rows]
