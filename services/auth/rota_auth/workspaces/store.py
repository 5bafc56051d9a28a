"""Workspaces and memberships in SQL. A membership that ended stays as a row, with the version at which it did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rota_chassis.postgres.statements import statement
from sqlalchemy import (
    Column,
    DateTime,
    Integer,
    MetaData,
    Table,
    Text,
    bindparam,
    select,
    tuple_,
    update,
)
from sqlalchemy import (
    insert as plain_insert,
)
from sqlalchemy.dialects.postgresql import UUID as PgUUID
from sqlalchemy.dialects.postgresql import insert

from rota_auth.users.store import USERS
from rota_auth.workspaces.domain import (
    MemberAdded,
    MemberChanged,
    MemberRemoved,
    Membership,
    Workspace,
    WorkspaceCreated,
    WorkspaceRole,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from typing import Any
    from uuid import UUID

    from rota_chassis.postgres.work import Reader, UnitOfWork

    from rota_auth.workspaces.domain import WorkspaceEvent

    Cursor = tuple[datetime, UUID]

WORKSPACES = Table(
    "workspaces",
    MetaData(),
    Column("id", PgUUID, primary_key=True),
    Column("name", Text, nullable=False),
    Column("owner_id", PgUUID, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("version", Integer, nullable=False),
)
MEMBERSHIPS = Table(
    "memberships",
    MetaData(),
    Column("workspace_id", PgUUID, primary_key=True),
    Column("user_id", PgUUID, primary_key=True),
    Column("role", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("joined_at", DateTime(timezone=True), nullable=False),
    Column("removed_at", DateTime(timezone=True)),
)

_OF_WORKSPACE = MEMBERSHIPS.c.workspace_id == bindparam("workspace_id")
_OF_USER = MEMBERSHIPS.c.user_id == bindparam("user_id")
_LASTS = MEMBERSHIPS.c.removed_at.is_(None)
_AFTER = tuple_(bindparam("after_time", type_=DateTime(timezone=True)), bindparam("after_id", type_=PgUUID))
_LIMIT = bindparam("limit", type_=Integer)

_LOCK = statement(select(WORKSPACES).where(WORKSPACES.c.id == bindparam("id")).with_for_update())
_FIND = statement(
    select(WORKSPACES, MEMBERSHIPS.c.role)
    .join(MEMBERSHIPS, MEMBERSHIPS.c.workspace_id == WORKSPACES.c.id)
    .where(WORKSPACES.c.id == bindparam("id"), _OF_USER, _LASTS)
)
_ADD = statement(plain_insert(WORKSPACES).values({column.name: bindparam(column.name) for column in WORKSPACES.c}))
_SAVE = statement(
    update(WORKSPACES)
    .where(WORKSPACES.c.id == bindparam("workspace_id"))
    .values(version=bindparam("new_version"), owner_id=bindparam("new_owner_id"))
)
_MEMBERSHIP = statement(select(MEMBERSHIPS).where(_OF_WORKSPACE, _OF_USER, _LASTS))
_MEMBERSHIPS_OF_USER = statement(select(MEMBERSHIPS).where(_OF_USER, _LASTS))
_NEW = insert(MEMBERSHIPS).values({column.name: bindparam(column.name) for column in MEMBERSHIPS.c})
_SAVE_MEMBERSHIP = statement(
    _NEW.on_conflict_do_update(
        index_elements=[MEMBERSHIPS.c.workspace_id, MEMBERSHIPS.c.user_id],
        set_={name: _NEW.excluded[name] for name in ("role", "version", "joined_at", "removed_at")},
    )
)
_WORKSPACES = (
    select(WORKSPACES, MEMBERSHIPS.c.role)
    .join(MEMBERSHIPS, MEMBERSHIPS.c.workspace_id == WORKSPACES.c.id)
    .where(_OF_USER, _LASTS)
    .order_by(WORKSPACES.c.created_at, WORKSPACES.c.id)
    .limit(_LIMIT)
)
_FIRST_WORKSPACES = statement(_WORKSPACES)
_NEXT_WORKSPACES = statement(_WORKSPACES.where(tuple_(WORKSPACES.c.created_at, WORKSPACES.c.id) > _AFTER))
_MEMBER = statement(
    select(MEMBERSHIPS, USERS.c.name, USERS.c.email)
    .join(USERS, USERS.c.id == MEMBERSHIPS.c.user_id)
    .where(_OF_WORKSPACE, _OF_USER, _LASTS)
)
_MEMBERS = (
    select(MEMBERSHIPS, USERS.c.name, USERS.c.email)
    .join(USERS, USERS.c.id == MEMBERSHIPS.c.user_id)
    .where(_OF_WORKSPACE, _LASTS)
    .order_by(MEMBERSHIPS.c.joined_at, MEMBERSHIPS.c.user_id)
    .limit(_LIMIT)
)
_FIRST_MEMBERS = statement(_MEMBERS)
_NEXT_MEMBERS = statement(_MEMBERS.where(tuple_(MEMBERSHIPS.c.joined_at, MEMBERSHIPS.c.user_id) > _AFTER))


@dataclass(frozen=True, slots=True)
class Member:
    """A membership with what people want to see of the user."""

    membership: Membership
    name: str
    email: str


async def lock_workspace(work: UnitOfWork, workspace_id: UUID) -> Workspace | None:
    """A workspace, until the transaction ends nobody else's to change."""
    row = await work.fetch_one(_LOCK, id=workspace_id)
    return _workspace(row) if row else None


async def find_workspace_of(
    reader: Reader, workspace_id: UUID, user_id: UUID
) -> tuple[Workspace, WorkspaceRole] | None:
    """A workspace and the user's role in it, if they belong to it."""
    row = await reader.fetch_one(_FIND, id=workspace_id, user_id=user_id)
    return (_workspace(row), WorkspaceRole(row["role"])) if row else None


async def find_member(reader: Reader, workspace_id: UUID, user_id: UUID) -> Member | None:
    """A user's membership of a workspace, if it lasts, with what people want to see of the user."""
    row = await reader.fetch_one(_MEMBER, workspace_id=workspace_id, user_id=user_id)
    return Member(_membership(row), row["name"], row["email"]) if row else None


async def find_membership(reader: Reader, workspace_id: UUID, user_id: UUID) -> Membership | None:
    """A user's membership of a workspace, if it lasts."""
    row = await reader.fetch_one(_MEMBERSHIP, workspace_id=workspace_id, user_id=user_id)
    return _membership(row) if row else None


async def memberships_of_user(reader: Reader, user_id: UUID) -> list[Membership]:
    """Every membership of a user that lasts."""
    return [_membership(row) for row in await reader.fetch(_MEMBERSHIPS_OF_USER, user_id=user_id)]


async def list_workspaces(
    reader: Reader, user_id: UUID, *, after: Cursor | None, limit: int
) -> list[tuple[Workspace, WorkspaceRole]]:
    """The user's workspaces and role in each, oldest first, after the one created at `after`."""
    rows = await _page(reader, _FIRST_WORKSPACES, _NEXT_WORKSPACES, after, user_id=user_id, limit=limit)
    return [(_workspace(row), WorkspaceRole(row["role"])) for row in rows]


async def list_members(reader: Reader, workspace_id: UUID, *, after: Cursor | None, limit: int) -> list[Member]:
    """The members of a workspace in the order they joined, after the one who joined at `after`."""
    rows = await _page(reader, _FIRST_MEMBERS, _NEXT_MEMBERS, after, workspace_id=workspace_id, limit=limit)
    return [Member(_membership(row), row["name"], row["email"]) for row in rows]


async def apply(work: UnitOfWork, event: WorkspaceEvent) -> None:
    """Write what an event changed."""
    workspace = event.workspace
    match event:
        case WorkspaceCreated():
            await work.execute(_ADD, **{column.name: getattr(workspace, column.name) for column in WORKSPACES.c})
        case MemberAdded() | MemberChanged() | MemberRemoved():
            row = {column.name: getattr(event.membership, column.name) for column in MEMBERSHIPS.c}
            await work.execute(_SAVE_MEMBERSHIP, **{**row, "role": event.membership.role.value})
            await work.execute(
                _SAVE, workspace_id=workspace.id, new_version=workspace.version, new_owner_id=workspace.owner_id
            )


async def _page(
    reader: Reader, first: Any, following: Any, after: Cursor | None, **parameters: Any
) -> Sequence[Mapping[str, Any]]:
    if after is None:
        return await reader.fetch(first, **parameters)
    return await reader.fetch(following, after_time=after[0], after_id=after[1], **parameters)


def _workspace(row: Mapping[str, Any]) -> Workspace:
    return Workspace(
        id=row["id"],
        name=row["name"],
        owner_id=row["owner_id"],
        created_at=row["created_at"],
        version=row["version"],
    )


def _membership(row: Mapping[str, Any]) -> Membership:
    return Membership(
        workspace_id=row["workspace_id"],
        user_id=row["user_id"],
        role=WorkspaceRole(row["role"]),
        version=row["version"],
        joined_at=row["joined_at"],
        removed_at=row["removed_at"],
    )
