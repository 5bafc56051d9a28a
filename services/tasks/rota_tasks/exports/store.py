"""Exports in PostgreSQL: the jobs and the pieces of their files.

A job is seen by the user who started it, as long as they belong to its workspace.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota_chassis.memberships import visible_workspaces
from rota_chassis.postgres.statements import statement
from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    and_,
    bindparam,
    delete,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import UUID as PgUUID
from sqlalchemy.dialects.postgresql import insert as insert_or_not

from rota_tasks.exports.domain import Export, Format, Status
from rota_tasks.projects.access import is_visible

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from rota_chassis.postgres.work import Reader, UnitOfWork

EXPORTS = Table(
    "exports",
    MetaData(),
    Column("workspace_id", PgUUID, primary_key=True),
    Column("id", PgUUID, primary_key=True),
    Column("created_by", PgUUID, nullable=False),
    Column("format", Text, nullable=False),
    Column("project_id", PgUUID),
    Column("status", Text, nullable=False),
    Column("tasks_total", Integer, nullable=False),
    Column("tasks", Integer, nullable=False),
    Column("records", Integer, nullable=False),
    Column("characters", BigInteger, nullable=False),
    Column("parts", Integer, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("finished_at", DateTime(timezone=True)),
    Column("lease_until", DateTime(timezone=True)),
    Column("request_id", Text),
    Column("fingerprint", LargeBinary),
)
PARTS = Table(
    "export_parts",
    MetaData(),
    Column("workspace_id", PgUUID, primary_key=True),
    Column("export_id", PgUUID, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("content", Text, nullable=False),
)
_OWN = tuple(column.name for column in EXPORTS.c if column.name not in ("lease_until", "request_id", "fingerprint"))
_SHOWN = [EXPORTS.c[name] for name in _OWN]
_WORKSPACE, _ID = bindparam("workspace", type_=PgUUID), bindparam("export", type_=PgUUID)
_USER = bindparam("user_id", type_=PgUUID)
_NOW = bindparam("now", type_=DateTime(timezone=True))
_LEASE_UNTIL = bindparam("lease", type_=DateTime(timezone=True))
_IS_KEY = and_(EXPORTS.c.workspace_id == _WORKSPACE, EXPORTS.c.id == _ID)
_IS_CLAIMED = and_(
    _IS_KEY, EXPORTS.c.fence == bindparam("held_fence", type_=Integer), EXPORTS.c.status == Status.RUNNING.value
)

_INSERT = statement(
    insert_or_not(EXPORTS)
    .values({column.name: bindparam(column.name, type_=column.type) for column in EXPORTS.c})
    .on_conflict_do_nothing()
)
_FIRST = statement(
    select(EXPORTS.c.id, EXPORTS.c.fingerprint).where(
        EXPORTS.c.workspace_id == _WORKSPACE,
        EXPORTS.c.created_by == _USER,
        EXPORTS.c.request_id == bindparam("request", type_=Text),
    )
)
_GET = statement(
    select(*_SHOWN).where(
        EXPORTS.c.id == _ID,
        EXPORTS.c.created_by == _USER,
        EXPORTS.c.workspace_id.in_(visible_workspaces()),
        is_visible(EXPORTS.c.project_id),
    )
)
_CLAIMABLE = (
    select(EXPORTS.c.workspace_id, EXPORTS.c.id)
    .where(
        or_(EXPORTS.c.status == Status.QUEUED.value, EXPORTS.c.status == Status.RUNNING.value),
        or_(EXPORTS.c.lease_until.is_(None), EXPORTS.c.lease_until < _NOW),
    )
    .order_by(EXPORTS.c.id)
    .limit(1)
    .with_for_update(skip_locked=True)
    .cte("claimable")
)
_CLAIM = statement(
    update(EXPORTS)
    .where(EXPORTS.c.workspace_id == _CLAIMABLE.c.workspace_id, EXPORTS.c.id == _CLAIMABLE.c.id)
    .values(
        status=Status.RUNNING.value,
        fence=EXPORTS.c.fence + 1,
        attempts=EXPORTS.c.attempts + 1,
        lease_until=_LEASE_UNTIL,
        tasks_total=0,
        tasks=0,
        records=0,
        characters=0,
        parts=0,
    )
    .returning(*_SHOWN)
)
_SAVED = ("status", "tasks_total", "tasks", "records", "characters", "parts", "updated_at", "finished_at")
_SAVE = statement(
    update(EXPORTS)
    .where(_IS_CLAIMED)
    .values(
        {name: bindparam(f"new_{name}", type_=EXPORTS.c[name].type) for name in _SAVED} | {"lease_until": _LEASE_UNTIL}
    )
)
_DELETE_OLD = statement(delete(EXPORTS).where(EXPORTS.c.finished_at < bindparam("before", type_=_NOW.type)))
_ADD_PART = statement(
    insert(PARTS).values(workspace_id=_WORKSPACE, export_id=_ID, number=bindparam("place"), content=bindparam("text"))
)
_IS_PART = and_(PARTS.c.workspace_id == _WORKSPACE, PARTS.c.export_id == _ID)
_GET_PART = statement(select(PARTS.c.content).where(_IS_PART, PARTS.c.number == bindparam("place", type_=Integer)))
_DROP_PARTS = statement(delete(PARTS).where(_IS_PART))


async def insert_job(
    work: UnitOfWork, job: Export, *, request_id: str | None, fingerprint: bytes | None
) -> tuple[UUID, bytes] | None:
    """Add a job.

    Returns:
        None when it is new; else the id and the fingerprint of the first with this request id.
    """
    values = {name: getattr(job, name) for name in _OWN}
    if await work.execute(_INSERT, **values, request_id=request_id, fingerprint=fingerprint, lease_until=None):
        return None
    row = await work.fetch_one(_FIRST, workspace=job.workspace_id, user_id=job.created_by, request=request_id)
    if row is None:
        raise LookupError("a request that conflicted is gone")
    return row["id"], row["fingerprint"]


async def get(reader: Reader, *, user_id: UUID, export_id: UUID) -> Export | None:
    """The user's export."""
    row = await reader.fetch_one(_GET, user_id=user_id, export=export_id)
    return None if row is None else _job(row)


async def claim(work: UnitOfWork, *, now: datetime, lease_until: datetime) -> Export | None:
    """Take the oldest job that nobody works on, from its beginning: what it had written is gone."""
    row = await work.fetch_one(_CLAIM, now=now, lease=lease_until)
    if row is None:
        return None
    job = _job(row)
    await work.execute(_DROP_PARTS, workspace=job.workspace_id, export=job.id)
    return job


async def save(work: UnitOfWork, job: Export, *, lease_until: datetime) -> bool:
    """Hold the row, write how far the job is and prolong the lease; whether it is still this claim's."""
    values = {f"new_{name}": getattr(job, name) for name in _SAVED}
    saved = await work.execute(
        _SAVE, workspace=job.workspace_id, export=job.id, held_fence=job.fence, lease=lease_until, **values
    )
    return saved == 1


async def delete_old(work: UnitOfWork, *, before: datetime) -> None:
    """Delete jobs that ended before a time, with their files."""
    await work.execute(_DELETE_OLD, before=before)


async def add_part(work: UnitOfWork, job: Export, *, number: int, content: str) -> None:
    """Add a piece to the file."""
    await work.execute(_ADD_PART, workspace=job.workspace_id, export=job.id, place=number, text=content)


async def part(reader: Reader, job: Export, *, number: int) -> str | None:
    """A piece of the file; the first is 1."""
    content: str | None = await reader.fetch_value(_GET_PART, workspace=job.workspace_id, export=job.id, place=number)
    return content


def _job(row: Mapping[str, Any]) -> Export:
    values = {name: row[name] for name in _OWN}
    return Export(**values | {"format": Format(row["format"]), "status": Status(row["status"])})
