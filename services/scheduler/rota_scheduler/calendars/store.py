"""Calendars in PostgreSQL; what users ask for is scoped to the workspaces they belong to."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from rota_chassis.logs import logger
from rota_chassis.memberships import MEMBERSHIPS, newest_visible, visible_workspaces
from rota_chassis.postgres.statements import statement
from sqlalchemy import (
    Column,
    DateTime,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    bindparam,
    delete,
    func,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_scheduler.calendars.domain import Calendar, RefusedCalendar

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from uuid import UUID

    from rota_chassis.postgres.work import Reader, UnitOfWork

    from rota_scheduler.schedules.days_off import DaysOff

_LOG = logger(__name__)
CALENDARS = Table(
    "calendars",
    MetaData(),
    Column("workspace_id", PgUUID, primary_key=True),
    Column("id", PgUUID, primary_key=True),
    Column("name", Text, nullable=False),
    Column("time_zone", Text, nullable=False),
    Column("dates", ARRAY(Text), nullable=False),
    Column("weekdays", ARRAY(SmallInteger), nullable=False),
    Column("rrules", ARRAY(Text), nullable=False),
    Column("created_by", PgUUID, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("version", Integer, nullable=False),
    # The version from which the next times of its schedules come.
    Column("followed_version", Integer, nullable=False),
    Column("request_key", Text),
    Column("fingerprint", LargeBinary),
)
_FIELDS = tuple(each.name for each in fields(Calendar))
_LISTS = ("dates", "weekdays", "rrules")
_WORKSPACE, _ID = bindparam("workspace_id", type_=PgUUID), bindparam("id", type_=PgUUID)
_IDS = bindparam("ids", type_=ARRAY(PgUUID))
_ONE = (CALENDARS.c.workspace_id == bindparam("of_workspace"), CALENDARS.c.id == bindparam("of_id"))

_ADD = statement(
    insert(CALENDARS)
    .values({column.name: bindparam(column.name) for column in CALENDARS.c})
    .on_conflict_do_nothing(index_elements=[CALENDARS.c.workspace_id, CALENDARS.c.request_key])
)
_REQUESTED = statement(
    select(CALENDARS).where(CALENDARS.c.workspace_id == _WORKSPACE, CALENDARS.c.request_key == bindparam("request_key"))
)
_GET = statement(select(CALENDARS).where(CALENDARS.c.id == _ID, CALENDARS.c.workspace_id.in_(visible_workspaces())))
_LOCK = statement(
    select(CALENDARS, MEMBERSHIPS.c.role)
    .join_from(CALENDARS, MEMBERSHIPS, CALENDARS.c.workspace_id == MEMBERSHIPS.c.workspace_id)
    .where(CALENDARS.c.id == _ID, MEMBERSHIPS.c.user_id == bindparam("user_id"), ~MEMBERSHIPS.c.removed)
    .with_for_update(of=CALENDARS)
)
_SAVE = statement(
    update(CALENDARS)
    .where(*_ONE)
    .values({name: bindparam(name) for name in _FIELDS if name not in {"workspace_id", "id"}})
)
_DELETE = statement(delete(CALENDARS).where(*_ONE))
_LIST = statement(newest_visible(CALENDARS)[1])
_OF_IDS = select(CALENDARS).where(
    CALENDARS.c.workspace_id == func.any(bindparam("workspace_ids", type_=ARRAY(PgUUID))),
    CALENDARS.c.id == func.any(_IDS),
)
_MANY = statement(_OF_IDS)
# In the order of their ids, so that two that hold several take turns.
_HOLD = statement(_OF_IDS.order_by(CALENDARS.c.id).with_for_update(read=True))
_VISIBLE = statement(
    select(CALENDARS).where(CALENDARS.c.workspace_id.in_(visible_workspaces()), CALENDARS.c.id == func.any(_IDS))
)
_NEXT_CHANGED = statement(
    select(CALENDARS)
    .where(CALENDARS.c.followed_version < CALENDARS.c.version)
    .order_by(CALENDARS.c.workspace_id, CALENDARS.c.id)
    .limit(1)
)
_FOLLOWED = statement(
    update(CALENDARS)
    .where(*_ONE, CALENDARS.c.followed_version < bindparam("of_version", type_=Integer))
    .values(followed_version=bindparam("of_version", type_=Integer))
)


async def add(work: UnitOfWork, calendar: Calendar, *, request_key: str | None, fingerprint: bytes | None) -> bool:
    """Write a new calendar; returns whether no other was made by the same request."""
    return bool(
        await work.execute(
            _ADD, **_columns(calendar), followed_version=1, request_key=request_key, fingerprint=fingerprint
        )
    )


async def requested(reader: Reader, *, workspace_id: UUID, request_key: str) -> tuple[Calendar, bytes] | None:
    """The calendar that a request has made, and what that asked for."""
    row = await reader.fetch_one(_REQUESTED, workspace_id=workspace_id, request_key=request_key)
    return None if row is None else (_calendar(row), row["fingerprint"])


async def get(reader: Reader, *, user_id: UUID, calendar_id: UUID) -> Calendar | None:
    """The calendar, if the user may see it."""
    row = await reader.fetch_one(_GET, user_id=user_id, id=calendar_id)
    return None if row is None else _calendar(row)


async def lock(work: UnitOfWork, *, user_id: UUID, calendar_id: UUID) -> tuple[Calendar, str] | None:
    """The calendar, locked until the transaction ends, and the user's role in its workspace."""
    row = await work.fetch_one(_LOCK, user_id=user_id, id=calendar_id)
    return None if row is None else (_calendar(row), row["role"])


async def page(
    reader: Reader, *, user_id: UUID, limit: int, before: UUID | None, workspace_id: UUID | None
) -> Sequence[Calendar]:
    """The newest calendars that the user may see, at most `limit`, older than `before`."""
    rows = await reader.fetch(_LIST, user_id=user_id, limit=limit, before=before, workspace_id=workspace_id)
    return [_calendar(row) for row in rows]


async def save(work: UnitOfWork, calendar: Calendar) -> None:
    """Write a locked calendar as it is now."""
    columns = _columns(calendar)
    workspace_id, calendar_id = columns.pop("workspace_id"), columns.pop("id")
    await work.execute(_SAVE, of_workspace=workspace_id, of_id=calendar_id, **columns)


async def remove(work: UnitOfWork, calendar: Calendar) -> None:
    """Delete a calendar."""
    await work.execute(_DELETE, of_workspace=calendar.workspace_id, of_id=calendar.id)


async def days_off(reader: Reader, keys: Collection[tuple[UUID, UUID]]) -> Mapping[tuple[UUID, UUID], DaysOff]:
    """What calendars mean, by (workspace, id); those that are gone are left out."""
    if not keys:
        return {}
    workspaces, ids = zip(*keys, strict=True)
    rows = await reader.fetch(_MANY, workspace_ids=list(set(workspaces)), ids=list(set(ids)))
    found = {}
    for row in rows:
        try:
            found[row["workspace_id"], row["id"]] = _calendar(row).days_off
        except RefusedCalendar as error:
            # It was accepted once: its zone is gone. Its schedules fire on all days rather than not at all.
            _LOG.error("calendar.refused", calendar_id=row["id"], error=str(error))
    return found


async def hold(work: UnitOfWork, *, workspace_id: UUID, ids: Sequence[UUID]) -> Mapping[UUID, DaysOff]:
    """What calendars of a workspace mean, which do not change before the transaction ends."""
    if not ids:
        return {}
    rows = await work.fetch(_HOLD, workspace_ids=[workspace_id], ids=list(ids))
    return {row["id"]: _calendar(row).days_off for row in rows}


async def visible(reader: Reader, *, user_id: UUID, ids: Sequence[UUID]) -> Mapping[UUID, DaysOff]:
    """What those calendars mean that the user may see."""
    rows = await reader.fetch(_VISIBLE, user_id=user_id, ids=list(ids))
    return {row["id"]: _calendar(row).days_off for row in rows}


async def next_changed(reader: Reader) -> Calendar | None:
    """A calendar from whose version before the next times of its schedules come, over all workspaces."""
    row = await reader.fetch_one(_NEXT_CHANGED)
    return None if row is None else _calendar(row)


async def followed(work: UnitOfWork, calendar: Calendar) -> None:
    """Note that the next times of its schedules come from this version, or a later one."""
    await work.execute(_FOLLOWED, of_workspace=calendar.workspace_id, of_id=calendar.id, of_version=calendar.version)


def _calendar(row: Mapping[str, Any]) -> Calendar:
    return Calendar(**{name: row[name] for name in _FIELDS} | {name: tuple(row[name]) for name in _LISTS})


def _columns(calendar: Calendar) -> dict[str, Any]:
    columns = {name: getattr(calendar, name) for name in _FIELDS}
    return columns | {name: list(columns[name]) for name in _LISTS}
