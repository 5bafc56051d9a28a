"""Projects in PostgreSQL, and who is named in them.

Every query is scoped to a workspace, or to what the caller may see.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

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
    column,
    delete,
    func,
    or_,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by, insert
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_tasks.keys import store as keys
from rota_tasks.projects.access import PRIVATE_PROJECTS, PROJECT_MEMBERS, is_visible, keeps_role, role_in
from rota_tasks.projects.domain import Member, Project, ProjectDeleted, ProjectEvent, Role, Visibility

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from rota_chassis.postgres.work import Reader, UnitOfWork

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
    Column("visibility", Text, nullable=False),
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
_WORKSPACE, _ID = bindparam("workspace_id", type_=PgUUID), bindparam("id", type_=PgUUID)
_USER = bindparam("user_id", type_=PgUUID)
_MINE = and_(MEMBERSHIPS.c.user_id == _USER, ~MEMBERSHIPS.c.removed)
_LOCK = statement(
    select(PROJECTS, role_in(PROJECTS.c.id))
    .join_from(PROJECTS, MEMBERSHIPS, PROJECTS.c.workspace_id == MEMBERSHIPS.c.workspace_id)
    .where(PROJECTS.c.id == _ID, _MINE)
    .with_for_update(of=PROJECTS)
)
_HOLD = statement(select(PROJECTS).where(PROJECTS.c.workspace_id == _WORKSPACE, PROJECTS.c.id == _ID).with_for_update())
_GET = statement(
    select(PROJECTS).where(
        PROJECTS.c.id == _ID, PROJECTS.c.workspace_id.in_(visible_workspaces()), is_visible(PROJECTS.c.id)
    )
)
_EXISTS = statement(select(PROJECTS.c.id).where(PROJECTS.c.workspace_id == _WORKSPACE, PROJECTS.c.id == _ID))
_ROLE = statement(
    select(role_in(PROJECTS.c.id))
    .join_from(PROJECTS, MEMBERSHIPS, PROJECTS.c.workspace_id == MEMBERSHIPS.c.workspace_id)
    .where(PROJECTS.c.workspace_id == _WORKSPACE, PROJECTS.c.id == _ID, _MINE)
)
_SEEING = statement(
    select(MEMBERSHIPS.c.user_id).where(
        MEMBERSHIPS.c.workspace_id == _WORKSPACE,
        MEMBERSHIPS.c.user_id == func.any(bindparam("user_ids", type_=ARRAY(PgUUID))),
        ~MEMBERSHIPS.c.removed,
        role_in(_ID).element.is_not(None),
    )
)
_SEEING_ALL = statement(
    select(MEMBERSHIPS.c.user_id).where(
        MEMBERSHIPS.c.workspace_id == _WORKSPACE,
        MEMBERSHIPS.c.user_id == func.any(bindparam("user_ids", type_=ARRAY(PgUUID))),
        ~MEMBERSHIPS.c.removed,
        keeps_role(MEMBERSHIPS),
    )
)
_IS_MEMBER = and_(PROJECT_MEMBERS.c.workspace_id == _WORKSPACE, PROJECT_MEMBERS.c.project_id == _ID)
_MEMBERS = statement(select(PROJECT_MEMBERS).where(_IS_MEMBER).order_by(PROJECT_MEMBERS.c.user_id))
_AFTER = bindparam("after", type_=PgUUID)
_MEMBERS_PAGE = statement(
    select(PROJECT_MEMBERS)
    .where(_IS_MEMBER, or_(_AFTER.is_(None), PROJECT_MEMBERS.c.user_id > _AFTER))
    .order_by(PROJECT_MEMBERS.c.user_id)
    .limit(bindparam("limit", type_=Integer))
)
_MEMBER = statement(select(PROJECT_MEMBERS).where(_IS_MEMBER, PROJECT_MEMBERS.c.user_id == _USER))
_WITH_MEMBER = statement(
    select(PROJECT_MEMBERS.c.project_id)
    .where(PROJECT_MEMBERS.c.workspace_id == _WORKSPACE, PROJECT_MEMBERS.c.user_id == _USER)
    .order_by(PROJECT_MEMBERS.c.project_id)
)
_GIVEN = (
    func.unnest(
        bindparam("user_ids", type_=ARRAY(PgUUID)),
        bindparam("roles", type_=ARRAY(Text)),
        bindparam("added_bys", type_=ARRAY(PgUUID)),
        bindparam("added_ats", type_=ARRAY(DateTime(timezone=True))),
    )
    .table_valued(
        column("user_id", PgUUID),
        column("role", Text),
        column("added_by", PgUUID),
        column("added_at", DateTime(timezone=True)),
        name="given",
    )
    .render_derived()
)
_NEW_MEMBERS = insert(PROJECT_MEMBERS).from_select(
    [each.name for each in PROJECT_MEMBERS.c], select(_WORKSPACE, _ID, *_GIVEN.c)
)
_TOLD = ("role", "added_by", "added_at")
_SAVE_MEMBERS = statement(
    _NEW_MEMBERS.on_conflict_do_update(
        index_elements=[*PROJECT_MEMBERS.primary_key],
        set_={name: _NEW_MEMBERS.excluded[name] for name in _TOLD},
        where=tuple_(*(PROJECT_MEMBERS.c[name] for name in _TOLD))
        != tuple_(*(_NEW_MEMBERS.excluded[name] for name in _TOLD)),
    )
)
_DELETE_MEMBERS = statement(
    delete(PROJECT_MEMBERS).where(
        _IS_MEMBER, PROJECT_MEMBERS.c.user_id != func.all(bindparam("user_ids", type_=ARRAY(PgUUID)))
    )
)
_SHUT = statement(insert(PRIVATE_PROJECTS).values(workspace_id=_WORKSPACE, project_id=_ID).on_conflict_do_nothing())
_OPEN = statement(
    delete(PRIVATE_PROJECTS).where(PRIVATE_PROJECTS.c.workspace_id == _WORKSPACE, PRIVATE_PROJECTS.c.project_id == _ID)
)
_MEMBER_IDS = (
    select(func.array_agg(aggregate_order_by(PROJECT_MEMBERS.c.user_id, PROJECT_MEMBERS.c.user_id)))
    .where(
        PROJECT_MEMBERS.c.workspace_id == PRIVATE_PROJECTS.c.workspace_id,
        PROJECT_MEMBERS.c.project_id == PRIVATE_PROJECTS.c.project_id,
    )
    .correlate(PRIVATE_PROJECTS)
    .scalar_subquery()
)
_WRITES = statement(
    select(PROJECT_MEMBERS.c.project_id)
    .where(
        PROJECT_MEMBERS.c.workspace_id == _WORKSPACE,
        PROJECT_MEMBERS.c.user_id == _USER,
        PROJECT_MEMBERS.c.role != Role.VIEWER.value,
    )
    .limit(1)
)
_IS_PRIVATE = statement(
    select(PRIVATE_PROJECTS.c.project_id).where(
        PRIVATE_PROJECTS.c.workspace_id == _WORKSPACE, PRIVATE_PROJECTS.c.project_id == _ID
    )
)
_PRIVATE = statement(
    select(
        PRIVATE_PROJECTS.c.project_id, func.coalesce(PROJECTS.c.version, 0).label("version"), _MEMBER_IDS.label("ids")
    )
    .join_from(
        PRIVATE_PROJECTS,
        PROJECTS,
        and_(
            PROJECTS.c.workspace_id == PRIVATE_PROJECTS.c.workspace_id, PROJECTS.c.id == PRIVATE_PROJECTS.c.project_id
        ),
        isouter=True,
    )
    .where(PRIVATE_PROJECTS.c.workspace_id == _WORKSPACE)
    .order_by(PRIVATE_PROJECTS.c.project_id)
)
_LIST = statement(newest_visible(PROJECTS, is_visible(PROJECTS.c.id))[1])


async def project(work: UnitOfWork, event: ProjectEvent) -> None:
    """Bring the read table up to date with an event; the rebuild uses the same function.

    Raises:
        asyncpg.ForeignKeyViolationError: it is deleted and has tasks.
    """
    changed = event.project
    scope = {"workspace_id": changed.workspace_id, "id": changed.id}
    if isinstance(event, ProjectDeleted):
        await work.execute(_DELETE, **scope)
        await work.execute(_DELETE_MEMBERS, **scope, user_ids=[])
        await keys.release(work, workspace_id=changed.workspace_id, project_id=changed.id)
        return
    await work.execute(_SAVE, **{name: getattr(changed, name) for name in _FIELDS})
    await work.execute(_SHUT if changed.visibility is Visibility.PRIVATE else _OPEN, **scope)
    await _save_members(work, changed)
    if changed.key:
        await keys.claim(work, workspace_id=changed.workspace_id, project_id=changed.id, key=changed.key)


async def lock(work: UnitOfWork, *, user_id: UUID, project_id: UUID) -> tuple[Project, str] | None:
    """The project with its members, locked until the transaction ends, and the user's role in it."""
    row = await work.fetch_one(_LOCK, user_id=user_id, id=project_id)
    if row is None or row["role"] is None:
        return None
    return await _with_members(work, project_of_row(row)), row["role"]


async def hold(work: UnitOfWork, *, workspace_id: UUID, project_id: UUID) -> Project | None:
    """The project of the workspace with its members, locked until the transaction ends, whoever may see it."""
    row = await work.fetch_one(_HOLD, workspace_id=workspace_id, id=project_id)
    return None if row is None else await _with_members(work, project_of_row(row))


async def get(reader: Reader, *, user_id: UUID, project_id: UUID) -> Project | None:
    """The project, if the user may see it."""
    row = await reader.fetch_one(_GET, user_id=user_id, id=project_id)
    return None if row is None else project_of_row(row)


async def exists(reader: Reader, *, workspace_id: UUID, project_id: UUID) -> bool:
    """Whether the workspace has the project."""
    return await reader.fetch_value(_EXISTS, workspace_id=workspace_id, id=project_id) is not None


async def role(reader: Reader, *, user_id: UUID, workspace_id: UUID, project_id: UUID) -> str | None:
    """The user's role in a project of the workspace; None when there is none for them."""
    found: str | None = await reader.fetch_value(_ROLE, user_id=user_id, workspace_id=workspace_id, id=project_id)
    return found


async def seeing(reader: Reader, *, workspace_id: UUID, project_id: UUID, user_ids: Sequence[UUID]) -> set[UUID]:
    """Those of the users who see a project."""
    rows = await reader.fetch(_SEEING, workspace_id=workspace_id, id=project_id, user_ids=list(user_ids))
    return {row["user_id"] for row in rows}


async def seeing_all(reader: Reader, *, workspace_id: UUID, user_ids: Sequence[UUID]) -> set[UUID]:
    """Those of the users who see every project of the workspace."""
    rows = await reader.fetch(_SEEING_ALL, workspace_id=workspace_id, user_ids=list(user_ids))
    return {row["user_id"] for row in rows}


async def page(
    reader: Reader, *, user_id: UUID, limit: int, before: UUID | None, workspace_id: UUID | None
) -> Sequence[Project]:
    """The newest projects that the user may see, at most `limit`, older than `before`."""
    rows = await reader.fetch(_LIST, user_id=user_id, limit=limit, before=before, workspace_id=workspace_id)
    return [project_of_row(row) for row in rows]


async def members(reader: Reader, project: Project, *, limit: int, after: UUID | None) -> Sequence[Member]:
    """The members of a project by their ids, at most `limit`, behind `after`."""
    scope = {"workspace_id": project.workspace_id, "id": project.id}
    return [_member(row) for row in await reader.fetch(_MEMBERS_PAGE, **scope, limit=limit, after=after)]


async def member(reader: Reader, project: Project, *, user_id: UUID) -> Member | None:
    """The member of a project who is this user."""
    row = await reader.fetch_one(_MEMBER, workspace_id=project.workspace_id, id=project.id, user_id=user_id)
    return None if row is None else _member(row)


async def with_member(reader: Reader, *, workspace_id: UUID, user_id: UUID) -> Sequence[UUID]:
    """The projects of a workspace in which a user is named, by their ids."""
    rows = await reader.fetch(_WITH_MEMBER, workspace_id=workspace_id, user_id=user_id)
    return [row["project_id"] for row in rows]


async def writes_in_one(reader: Reader, *, workspace_id: UUID, user_id: UUID) -> bool:
    """Whether a user may write in a project of the workspace because they are named in it."""
    return await reader.fetch_value(_WRITES, workspace_id=workspace_id, user_id=user_id) is not None


async def is_private(reader: Reader, *, workspace_id: UUID, project_id: UUID) -> bool:
    """Whether a project is private, or was when it was deleted."""
    return await reader.fetch_value(_IS_PRIVATE, workspace_id=workspace_id, id=project_id) is not None


async def private(reader: Reader, *, workspace_id: UUID) -> Sequence[tuple[UUID, int, Sequence[UUID]]]:
    """The private projects of a workspace: id, version, who is named; one that was deleted has neither."""
    rows = await reader.fetch(_PRIVATE, workspace_id=workspace_id)
    return [(row["project_id"], row["version"], row["ids"] or []) for row in rows]


def project_of_row(row: Mapping[str, Any]) -> Project:
    """The project in a row of the table, without its members."""
    return Project(**{name: row[name] for name in _FIELDS} | {"visibility": Visibility(row["visibility"])})


async def _with_members(work: UnitOfWork, found: Project) -> Project:
    rows = await work.fetch(_MEMBERS, workspace_id=found.workspace_id, id=found.id)
    return replace(found, members=tuple(map(_member, rows)))


async def _save_members(work: UnitOfWork, changed: Project) -> None:
    scope = {"workspace_id": changed.workspace_id, "id": changed.id}
    user_ids = [each.user_id for each in changed.members]
    await work.execute(_DELETE_MEMBERS, **scope, user_ids=user_ids)
    if user_ids:
        await work.execute(
            _SAVE_MEMBERS,
            **scope,
            user_ids=user_ids,
            roles=[each.role.value for each in changed.members],
            added_bys=[each.added_by for each in changed.members],
            added_ats=[each.added_at for each in changed.members],
        )


def _member(row: Mapping[str, Any]) -> Member:
    return Member(user_id=row["user_id"], role=Role(row["role"]), added_by=row["added_by"], added_at=row["added_at"])
