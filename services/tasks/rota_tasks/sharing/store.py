"""Links in PostgreSQL, and what they show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota_chassis.memberships import ADMIN, MEMBERSHIPS
from rota_chassis.postgres.statements import statement
from sqlalchemy import (
    Column,
    DateTime,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    bindparam,
    delete,
    exists,
    func,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import UUID as PgUUID
from sqlalchemy.dialects.postgresql import insert

from rota_tasks.projects.access import PRIVATE_PROJECTS, keeps_role, role_in
from rota_tasks.projects.domain import Visibility
from rota_tasks.projects.store import PROJECTS, project_of_row
from rota_tasks.sharing.domain import Access, ShareLink
from rota_tasks.tasks.tables import TASKS, own, task_of_row

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from rota_chassis.postgres.work import Reader, UnitOfWork

    from rota_tasks.projects.domain import Project
    from rota_tasks.tasks.domain import Task

SHARE_LINKS = Table(
    "share_links",
    MetaData(),
    Column("workspace_id", PgUUID, primary_key=True),
    Column("id", PgUUID, primary_key=True),
    Column("digest", LargeBinary, nullable=False),
    Column("task_id", PgUUID),
    Column("project_id", PgUUID),
    Column("access", Text, nullable=False),
    Column("expires_at", DateTime(timezone=True)),
    Column("created_by", PgUUID, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
)
_FIELDS = tuple(column.name for column in SHARE_LINKS.c if column.name != "digest")
_WORKSPACE, _LIMIT = bindparam("workspace_id", type_=PgUUID), bindparam("limit", type_=Integer)
_AFTER = bindparam("after", type_=PgUUID)

_ADD = statement(insert(SHARE_LINKS).values({column.name: bindparam(column.name) for column in SHARE_LINKS.c}))
_COUNT = statement(select(func.count()).where(SHARE_LINKS.c.workspace_id == _WORKSPACE))
_SHOWN_IN = func.coalesce(
    SHARE_LINKS.c.project_id,
    select(TASKS.c.project_id)
    .where(TASKS.c.workspace_id == SHARE_LINKS.c.workspace_id, TASKS.c.id == SHARE_LINKS.c.task_id)
    .correlate_except(TASKS)
    .scalar_subquery(),
)
_MINE = (
    select(SHARE_LINKS)
    .join_from(SHARE_LINKS, MEMBERSHIPS, SHARE_LINKS.c.workspace_id == MEMBERSHIPS.c.workspace_id)
    .where(
        MEMBERSHIPS.c.user_id == bindparam("user_id", type_=PgUUID),
        ~MEMBERSHIPS.c.removed,
        or_(
            SHARE_LINKS.c.created_by == MEMBERSHIPS.c.user_id,
            keeps_role(MEMBERSHIPS),
            role_in(_SHOWN_IN).element == ADMIN,
        ),
    )
)
_GET = statement(_MINE.where(SHARE_LINKS.c.id == bindparam("id")))
_LOCK = statement(_MINE.where(SHARE_LINKS.c.id == bindparam("id")).with_for_update(of=SHARE_LINKS))
_LIST = statement(
    _MINE.where(
        SHARE_LINKS.c.workspace_id == _WORKSPACE,
        or_(bindparam("before", type_=PgUUID).is_(None), SHARE_LINKS.c.id < bindparam("before", type_=PgUUID)),
    )
    .order_by(SHARE_LINKS.c.id.desc())
    .limit(_LIMIT)
)
_REVOKE = statement(
    delete(SHARE_LINKS).where(SHARE_LINKS.c.workspace_id == _WORKSPACE, SHARE_LINKS.c.id == bindparam("id"))
)
_OPEN = statement(
    select(SHARE_LINKS).where(
        SHARE_LINKS.c.digest == bindparam("digest"),
        or_(SHARE_LINKS.c.expires_at.is_(None), SHARE_LINKS.c.expires_at > bindparam("now")),
    )
)
_MAKER = bindparam("created_by", type_=PgUUID)
# A link shows what its maker sees; who has left the workspace since sees what everybody there does.
_MAKER_SEES = or_(
    ~exists().where(
        PRIVATE_PROJECTS.c.workspace_id == TASKS.c.workspace_id, PRIVATE_PROJECTS.c.project_id == TASKS.c.project_id
    ),
    exists().where(
        MEMBERSHIPS.c.workspace_id == TASKS.c.workspace_id,
        MEMBERSHIPS.c.user_id == _MAKER,
        ~MEMBERSHIPS.c.removed,
        role_in(TASKS.c.project_id).element.is_not(None),
    ),
)
_TASK = statement(
    select(*own(TASKS)).where(TASKS.c.workspace_id == _WORKSPACE, TASKS.c.id == bindparam("id"), _MAKER_SEES)
)
_PROJECT = statement(
    select(PROJECTS).where(
        PROJECTS.c.workspace_id == _WORKSPACE,
        PROJECTS.c.id == bindparam("id"),
        or_(
            PROJECTS.c.visibility != Visibility.PRIVATE.value,
            exists().where(
                MEMBERSHIPS.c.workspace_id == PROJECTS.c.workspace_id,
                MEMBERSHIPS.c.user_id == _MAKER,
                ~MEMBERSHIPS.c.removed,
                role_in(PROJECTS.c.id).element.is_not(None),
            ),
        ),
    )
)
_OF_PROJECT = statement(
    select(*own(TASKS))
    .where(
        TASKS.c.workspace_id == _WORKSPACE,
        TASKS.c.project_id == bindparam("id"),
        _MAKER_SEES,
        or_(_AFTER.is_(None), TASKS.c.id > _AFTER),
    )
    .order_by(TASKS.c.id)
    .limit(_LIMIT)
)
_BELOW = (
    select(TASKS.c.id)
    .where(TASKS.c.workspace_id == _WORKSPACE, TASKS.c.id == bindparam("id", type_=PgUUID))
    .cte("below", recursive=True)
)
_BELOW = _BELOW.union(select(TASKS.c.id).where(TASKS.c.workspace_id == _WORKSPACE, TASKS.c.parent_id == _BELOW.c.id))
_OF_TASK = statement(
    select(*own(TASKS))
    .where(
        TASKS.c.workspace_id == _WORKSPACE,
        TASKS.c.id.in_(select(_BELOW.c.id)),
        _MAKER_SEES,
        or_(_AFTER.is_(None), TASKS.c.id > _AFTER),
    )
    .order_by(TASKS.c.id)
    .limit(_LIMIT)
)


async def add(work: UnitOfWork, link: ShareLink, *, digest: bytes) -> None:
    """Write a new link."""
    await work.execute(_ADD, **{name: getattr(link, name) for name in _FIELDS}, digest=digest)


async def count(reader: Reader, *, workspace_id: UUID) -> int:
    """How many links a workspace has."""
    links: int = await reader.fetch_value(_COUNT, workspace_id=workspace_id)
    return links


async def get(reader: Reader, *, user_id: UUID, link_id: UUID) -> ShareLink | None:
    """The link, if the user made it, or manages its workspace or the project that it shows something of."""
    row = await reader.fetch_one(_GET, user_id=user_id, id=link_id)
    return None if row is None else _link(row)


async def lock(work: UnitOfWork, *, user_id: UUID, link_id: UUID) -> ShareLink | None:
    """As `get`, locked until the transaction ends."""
    row = await work.fetch_one(_LOCK, user_id=user_id, id=link_id)
    return None if row is None else _link(row)


async def page(
    reader: Reader, *, user_id: UUID, workspace_id: UUID, limit: int, before: UUID | None
) -> Sequence[ShareLink]:
    """The newest links of a workspace that the user made or manages, at most `limit`, older than `before`."""
    rows = await reader.fetch(_LIST, user_id=user_id, workspace_id=workspace_id, limit=limit, before=before)
    return [_link(row) for row in rows]


async def revoke(work: UnitOfWork, link: ShareLink) -> None:
    """Forget a link."""
    await work.execute(_REVOKE, workspace_id=link.workspace_id, id=link.id)


async def opened(reader: Reader, *, digest: bytes, now: datetime) -> ShareLink | None:
    """The link with this secret, unless it has expired."""
    row = await reader.fetch_one(_OPEN, digest=digest, now=now)
    return None if row is None else _link(row)


async def task(reader: Reader, link: ShareLink, *, task_id: UUID) -> Task | None:
    """A task by itself, if whoever made the link sees it."""
    row = await reader.fetch_one(_TASK, workspace_id=link.workspace_id, id=task_id, created_by=link.created_by)
    return None if row is None else task_of_row(row)


async def project(reader: Reader, link: ShareLink, *, project_id: UUID) -> Project | None:
    """A project, if whoever made the link sees it."""
    row = await reader.fetch_one(_PROJECT, workspace_id=link.workspace_id, id=project_id, created_by=link.created_by)
    return None if row is None else project_of_row(row)


async def tasks(reader: Reader, link: ShareLink, *, limit: int, after: UUID | None) -> Sequence[Task]:
    """The oldest tasks that a link shows, at most `limit`, younger than `after`."""
    query, shown = (_OF_TASK, link.task_id) if link.task_id else (_OF_PROJECT, link.project_id)
    scope = {"workspace_id": link.workspace_id, "created_by": link.created_by}
    rows = await reader.fetch(query, **scope, id=shown, limit=limit, after=after)
    return [task_of_row(row) for row in rows]


def _link(row: Mapping[str, Any]) -> ShareLink:
    return ShareLink(**{name: row[name] for name in _FIELDS} | {"access": Access(row["access"])})
