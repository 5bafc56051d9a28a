"""A service's own copy of who belongs to which workspace.

Auth is authoritative. The copy is fed by its events; when it does not know a membership that a call needs, auth is
asked, so that a user who has just registered or been invited can work at once. Each row carries the version of the
workspace at which it last changed: whichever way news arrive, and in whatever order, the newest version stays. A
removed member stays as a row, so that older news cannot bring them back.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import asyncpg
from rota.auth.v1 import workspaces_pb2, workspaces_pb2_grpc
from sqlalchemy import (
    Boolean,
    Column,
    Integer,
    MetaData,
    Select,
    Table,
    Text,
    bindparam,
    exists,
    func,
    null,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_chassis.errors import NotFound, PermissionDenied
from rota_chassis.postgres.statements import statement

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    import grpc
    from sqlalchemy import ColumnElement, FromClause

    from rota_chassis.events.consumer import Handler
    from rota_chassis.events.envelope import Event
    from rota_chassis.postgres.database import Database
    from rota_chassis.postgres.work import Reader, UnitOfWork

    Guard = Callable[[UnitOfWork], Awaitable[None]]

Answer = TypeVar("Answer")

OWNER, ADMIN, MEMBER, VIEWER = "owner", "admin", "member", "viewer"
WRITERS = frozenset({OWNER, ADMIN, MEMBER})
ALL = WRITERS | {VIEWER}

ASK_AT_MOST_EVERY_S = 1.0
_ASKED_KEPT = 10_000
_ROLE_NAMES = {
    workspaces_pb2.WORKSPACE_ROLE_OWNER: OWNER,
    workspaces_pb2.WORKSPACE_ROLE_ADMIN: ADMIN,
    workspaces_pb2.WORKSPACE_ROLE_MEMBER: MEMBER,
    workspaces_pb2.WORKSPACE_ROLE_VIEWER: VIEWER,
}

MEMBERSHIPS = Table(
    "memberships",
    MetaData(),
    Column("workspace_id", PgUUID, primary_key=True),
    Column("user_id", PgUUID, primary_key=True),
    Column("role", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("removed", Boolean, nullable=False),
)
_IS_CURRENT = ~MEMBERSHIPS.c.removed
_NEW = insert(MEMBERSHIPS).values({column.name: bindparam(column.name) for column in MEMBERSHIPS.c})
_UPSERT = statement(
    _NEW.on_conflict_do_update(
        index_elements=[MEMBERSHIPS.c.workspace_id, MEMBERSHIPS.c.user_id],
        set_={name: _NEW.excluded[name] for name in ("role", "version", "removed")},
        where=MEMBERSHIPS.c.version < _NEW.excluded.version,
    )
)
_ROLE = statement(
    select(MEMBERSHIPS.c.role).where(
        MEMBERSHIPS.c.workspace_id == bindparam("workspace_id"),
        MEMBERSHIPS.c.user_id == bindparam("user_id"),
        _IS_CURRENT,
    )
)
# Nothing, or where the user has none of the roles a row that no table takes: so what is written with it fails as well.
_IS_IN_ROLE = exists().where(
    MEMBERSHIPS.c.workspace_id == bindparam("of_workspace", type_=PgUUID),
    MEMBERSHIPS.c.user_id == bindparam("of_user", type_=PgUUID),
    MEMBERSHIPS.c.role == func.any(bindparam("of_roles", type_=ARRAY(Text))),
    _IS_CURRENT,
)
_GUARD = statement(insert(MEMBERSHIPS).from_select(["workspace_id"], select(null()).where(~_IS_IN_ROLE)))
_MEMBERS_AMONG = statement(
    select(MEMBERSHIPS.c.user_id).where(
        MEMBERSHIPS.c.workspace_id == bindparam("workspace_id"),
        MEMBERSHIPS.c.user_id == func.any(bindparam("user_ids", type_=ARRAY(PgUUID))),
        _IS_CURRENT,
    )
)


def visible_workspaces() -> Select[Any]:
    """The workspaces of the user in the parameter `user_id`, as a subquery for `workspace_id IN (…)`."""
    return select(MEMBERSHIPS.c.workspace_id).where(MEMBERSHIPS.c.user_id == bindparam("user_id"), _IS_CURRENT)


def newest_visible(table: Table, *conditions: ColumnElement[bool]) -> tuple[FromClause, Select[Any]]:
    """One page of the rows of a table that a user may see, newest first, as a query to select from.

    The newest of each of the user's workspaces, found by the primary key (UUIDv7 grows with time), then the newest of
    those: the cost is a page for each workspace, however many rows there are.

    Args:
        table: With the primary key (workspace_id, id).
        conditions: On its columns, over and above.

    Returns:
        The page, whose columns to select, and a query that selects them all. Its parameters are user_id, limit, and,
        None where they do not matter, before (the id of the last row of the page before) and workspace_id.
    """
    before, workspace_id = bindparam("before", type_=PgUUID), bindparam("workspace_id", type_=PgUUID)
    limit = bindparam("limit", type_=Integer)
    page = (
        select(table)
        .where(
            table.c.workspace_id == MEMBERSHIPS.c.workspace_id,
            or_(before.is_(None), table.c.id < before),
            *conditions,
        )
        .order_by(table.c.id.desc())
        .limit(limit)
        .lateral("page")
    )
    rows = (
        select(page)
        .select_from(MEMBERSHIPS.join(page, true()))
        .where(
            MEMBERSHIPS.c.user_id == bindparam("user_id"),
            _IS_CURRENT,
            or_(workspace_id.is_(None), MEMBERSHIPS.c.workspace_id == workspace_id),
        )
        .order_by(page.c.id.desc())
        .limit(limit)
    )
    return page, rows


class Memberships:
    """The copy in one service's database.

    Args:
        database: Where it is.
        auth: Whom to ask for what is not known.
        ask_at_most_every_s: How long an answer about a user counts as new.
    """

    def __init__(
        self, database: Database, auth: grpc.aio.Channel, *, ask_at_most_every_s: float = ASK_AT_MOST_EVERY_S
    ) -> None:
        self._database = database
        self._ask_at_most_every_s = ask_at_most_every_s
        self._auth = workspaces_pb2_grpc.WorkspaceServiceStub(auth)
        self._asked: dict[UUID, float] = {}
        self._asking: dict[UUID, asyncio.Task[None]] = {}

    def handlers(self) -> Mapping[str, Handler]:
        """The events that feed the copy, for `Runtime.consume`."""
        return {
            "workspace.member_added": _on_member,
            "workspace.member_changed": _on_member,
            "workspace.member_removed": _on_member_removed,
        }

    async def require(
        self, user_id: UUID, workspace_id: UUID, roles: frozenset[str] | None = None, *, reader: Reader | None = None
    ) -> str:
        """The user's role in the workspace.

        Args:
            user_id: Who.
            workspace_id: Where.
            roles: The roles that will do; None for any.
            reader: Where to look; absent means the database.

        Raises:
            NotFound: the user does not belong to it, or it does not exist (code WORKSPACE_NOT_FOUND).
            PermissionDenied: the user's role is another (code WORKSPACE_ROLE_REQUIRED).
        """
        reader = reader or self._database
        role: str | None = await reader.fetch_value(_ROLE, workspace_id=workspace_id, user_id=user_id)
        if role is None:
            await self.refresh(user_id)
            role = await self._database.fetch_value(_ROLE, workspace_id=workspace_id, user_id=user_id)
        if role is None:
            raise NotFound("There is no such workspace, or you do not belong to it.", code="WORKSPACE_NOT_FOUND")
        require_role(role, roles)
        return role

    async def guarded(
        self,
        act: Callable[[Guard], Awaitable[Answer]],
        *,
        user_id: UUID,
        workspace_id: UUID,
        roles: frozenset[str] = ALL,
    ) -> Answer:
        """What `act` returns, which writes only as long as the user has one of the roles in the workspace.

        To ask for the role first would be a round trip more, and the answer might be out of date by the commit.

        Args:
            act: One transaction, to begin with the guard that it is given.
            user_id: Who.
            workspace_id: Where.
            roles: The roles that will do.

        Raises:
            NotFound: the user does not belong to it, or it does not exist (code WORKSPACE_NOT_FOUND).
            PermissionDenied: the user's role is another (code WORKSPACE_ROLE_REQUIRED).
        """

        async def guard(work: UnitOfWork) -> None:
            await work.write(_GUARD, of_workspace=workspace_id, of_user=user_id, of_roles=list(roles))

        while True:
            try:
                return await act(guard)
            except asyncpg.NotNullViolationError as error:
                if error.table_name != MEMBERSHIPS.name:
                    raise
            # It says why not; or has learnt from auth, just now, that they have.
            await self.require(user_id, workspace_id, roles)

    async def known_role(self, reader: Reader, user_id: UUID, workspace_id: UUID) -> str | None:
        """The user's role in the workspace as far as the copy knows; for transactions, in which nobody is asked."""
        role: str | None = await reader.fetch_value(_ROLE, workspace_id=workspace_id, user_id=user_id)
        return role

    async def strangers(self, workspace_id: UUID, user_ids: Sequence[UUID]) -> list[UUID]:
        """Those of the users who do not belong to the workspace, in the order given."""
        if not user_ids:
            return []
        for attempt in range(2):
            rows = await self._database.fetch(_MEMBERS_AMONG, workspace_id=workspace_id, user_ids=list(user_ids))
            members = {row["user_id"] for row in rows}
            strangers = [user_id for user_id in user_ids if user_id not in members]
            if not strangers or attempt:
                break
            for user_id in strangers:
                await self.refresh(user_id)
        return strangers

    async def refresh(self, user_id: UUID) -> None:
        """Bring the user's memberships up to date with auth, as of at most a second ago; then look again.

        Calls at the same time share one question.

        Raises:
            Unavailable: auth cannot be asked now.
        """
        question = self._asking.get(user_id)
        if question is None:
            asked = self._asked.get(user_id)
            if asked is not None and time.monotonic() - asked < self._ask_at_most_every_s:
                return
            question = self._asking[user_id] = asyncio.create_task(self._ask(user_id))
            question.add_done_callback(lambda _: self._asking.pop(user_id))
        # A caller that gives up must not end the question of the others.
        await asyncio.shield(question)

    async def _ask(self, user_id: UUID) -> None:
        answer = await self._auth.ListMemberships(workspaces_pb2.ListMembershipsRequest(user_id=str(user_id)))
        async with self._database.transaction() as work:
            await work.execute_many(_UPSERT, [_row(membership, removed=False) for membership in answer.memberships])
        if len(self._asked) >= _ASKED_KEPT:
            self._asked.clear()
        self._asked[user_id] = time.monotonic()


def require_role(role: str, roles: frozenset[str] | None) -> None:
    """Return if the role is one of those that will do.

    Raises:
        PermissionDenied: it is not (code WORKSPACE_ROLE_REQUIRED).
    """
    if roles is not None and role not in roles:
        raise PermissionDenied(
            f"Your role here is {role}; this needs one of: {', '.join(sorted(roles))}.",
            code="WORKSPACE_ROLE_REQUIRED",
        )


async def _on_member(work: UnitOfWork, event: Event) -> None:
    await work.execute(_UPSERT, **_row(event.data.membership, removed=False))


async def _on_member_removed(work: UnitOfWork, event: Event) -> None:
    await work.execute(_UPSERT, **_row(event.data.membership, removed=True))


def _row(membership: workspaces_pb2.Membership, *, removed: bool) -> dict[str, Any]:
    return {
        "workspace_id": UUID(membership.workspace_id),
        "user_id": UUID(membership.user_id),
        "role": _ROLE_NAMES[membership.role],
        "version": membership.version,
        "removed": removed,
    }
