"""Notifications in PostgreSQL.

A row lives in the workspace it is about, so that all that one event causes is written in one place; reads are scoped
to the user it is for, across workspaces, through indexes that begin with the user.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota_chassis.postgres.statements import statement
from sqlalchemy import (
    Column,
    DateTime,
    Integer,
    MetaData,
    Select,
    Table,
    Text,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_notifications.notifications.domain import Kind, Notification

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rota_chassis.postgres.work import Reader, UnitOfWork

NOTIFICATIONS = Table(
    "notifications",
    MetaData(),
    Column("workspace_id", PgUUID, primary_key=True),
    Column("id", PgUUID, primary_key=True),
    Column("event_id", PgUUID, nullable=False),
    Column("user_id", PgUUID, nullable=False),
    Column("kind", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("task_id", PgUUID),
    Column("read_at", DateTime(timezone=True)),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("version", Integer, nullable=False),
)
_FIELDS = tuple(column.name for column in NOTIFICATIONS.c)
_ABOVE_ALL = UUID(int=2**128 - 1)
_UNREAD = NOTIFICATIONS.c.read_at.is_(None)
_IS_THE_USERS = NOTIFICATIONS.c.user_id == bindparam("user_id")
_IS_THIS = (NOTIFICATIONS.c.workspace_id == bindparam("in_workspace"), NOTIFICATIONS.c.id == bindparam("this_id"))


def _page(*conditions: Any) -> Select[Any]:
    return (
        select(NOTIFICATIONS)
        .where(_IS_THE_USERS, NOTIFICATIONS.c.id < bindparam("before"), *conditions)
        .order_by(NOTIFICATIONS.c.id.desc())
        .limit(bindparam("limit", type_=Integer))
    )


_INSERT = statement(insert(NOTIFICATIONS).values({name: bindparam(name) for name in _FIELDS}))
_TOLD = statement(
    select(NOTIFICATIONS.c.user_id).where(
        NOTIFICATIONS.c.workspace_id == bindparam("workspace_id"),
        NOTIFICATIONS.c.event_id == bindparam("event_id"),
        NOTIFICATIONS.c.kind == bindparam("kind"),
    )
)
_LOCK = statement(select(NOTIFICATIONS).where(_IS_THE_USERS, NOTIFICATIONS.c.id == bindparam("id")).with_for_update())
_MARK = statement(update(NOTIFICATIONS).where(*_IS_THIS).values(read_at=bindparam("read"), version=bindparam("new")))
_DELETE = statement(delete(NOTIFICATIONS).where(*_IS_THIS))
_LIST_ALL = statement(_page())
_LIST_UNREAD = statement(_page(_UNREAD))
_COUNT_UNREAD = statement(select(func.count()).select_from(NOTIFICATIONS).where(_IS_THE_USERS, _UNREAD))


async def told(work: UnitOfWork, *, workspace_id: UUID, event_id: UUID, kind: Kind) -> frozenset[UUID]:
    """The users who have already been told this of the event."""
    rows = await work.fetch(_TOLD, workspace_id=workspace_id, event_id=event_id, kind=kind.value)
    return frozenset(row["user_id"] for row in rows)


async def add(work: UnitOfWork, notifications: Sequence[Notification]) -> None:
    """Write new notifications."""
    await work.execute_many(_INSERT, [{name: getattr(each, name) for name in _FIELDS} for each in notifications])


async def lock(work: UnitOfWork, *, user_id: UUID, notification_id: UUID) -> Notification | None:
    """The user's notification, locked until the transaction ends."""
    row = await work.fetch_one(_LOCK, user_id=user_id, id=notification_id)
    return None if row is None else _notification(row)


async def mark(work: UnitOfWork, notification: Notification) -> None:
    """Write when the notification was read, and its version."""
    await work.execute(
        _MARK,
        in_workspace=notification.workspace_id,
        this_id=notification.id,
        read=notification.read_at,
        new=notification.version,
    )


async def remove(work: UnitOfWork, notification: Notification) -> None:
    """Delete the row, and with it a mail that has not been sent."""
    await work.execute(_DELETE, in_workspace=notification.workspace_id, this_id=notification.id)


async def page(
    reader: Reader, *, user_id: UUID, limit: int, before: UUID | None, unread: bool
) -> Sequence[Notification]:
    """The newest notifications of the user, at most `limit`, older than `before`; with `unread`, only those."""
    listing = _LIST_UNREAD if unread else _LIST_ALL
    rows = await reader.fetch(listing, user_id=user_id, limit=limit, before=before or _ABOVE_ALL)
    return [_notification(row) for row in rows]


async def count_unread(reader: Reader, *, user_id: UUID) -> int:
    """How many of the user's notifications are unread."""
    count: int = await reader.fetch_value(_COUNT_UNREAD, user_id=user_id)
    return count


def _notification(row: Mapping[str, Any]) -> Notification:
    return Notification(**{**row, "kind": Kind(row["kind"])})
