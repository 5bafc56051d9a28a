"""Resource pools in PostgreSQL. What is in use of them, running runs say (see `runs.allotting`)."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

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
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.dialects.postgresql import UUID as PgUUID
from sqlalchemy.sql import func

from rota_scheduler.resource_pools.domain import ResourcePool

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from rota_chassis.postgres.work import Reader, UnitOfWork

POOLS = Table(
    "resource_pools",
    MetaData(),
    Column("workspace_id", PgUUID, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("id", PgUUID, nullable=False),
    Column("units", Integer, nullable=False),
    Column("description", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("version", Integer, nullable=False),
    Column("request_key", Text),
    Column("fingerprint", LargeBinary),
)
_FIELDS = tuple(column.name for column in POOLS.c if column.name not in {"request_key", "fingerprint"})
_POOL = tuple(POOLS.c[name] for name in _FIELDS)
_CHANGED = ("units", "description", "updated_at", "version")
_WORKSPACE, _NAME = bindparam("workspace_id", type_=PgUUID), bindparam("name", type_=Text)
_THIS = (POOLS.c.workspace_id == _WORKSPACE, POOLS.c.name == _NAME)

_ADD = statement(
    insert(POOLS).values({column.name: bindparam(column.name) for column in POOLS.c}).on_conflict_do_nothing()
)
_REQUESTED = statement(
    select(*_POOL, POOLS.c.fingerprint).where(
        POOLS.c.workspace_id == _WORKSPACE, POOLS.c.request_key == bindparam("request_key", type_=Text)
    )
)
_LOCK = statement(select(*_POOL).where(*_THIS).with_for_update())
_UPDATE = statement(
    update(POOLS)
    .where(
        POOLS.c.workspace_id == bindparam("of_workspace", type_=PgUUID),
        POOLS.c.name == bindparam("of_name", type_=Text),
    )
    .values({name: bindparam(name) for name in _CHANGED})
)
_DELETE = statement(delete(POOLS).where(*_THIS))
_UNITS = statement(
    select(POOLS.c.name, POOLS.c.units).where(
        POOLS.c.workspace_id == _WORKSPACE, POOLS.c.name == func.any(bindparam("names", type_=ARRAY(Text)))
    )
)
# One look at the runs of the workspace that ask for units, for all of the page.
_PAGE = statement(
    text("""
    WITH pools AS (
        SELECT id, workspace_id, name, units, description, created_at, updated_at, version
        FROM resource_pools
        WHERE workspace_id = :workspace_id AND name > CAST(:after AS text) COLLATE "C"
            AND (CAST(:name AS text) IS NULL OR name = :name)
        ORDER BY name LIMIT :limit
    ), asked AS (
        SELECT resource.key AS name,
            CAST(sum(CAST(resource.value AS integer)) FILTER (WHERE status = 'running') AS integer) AS in_use,
            count(*) FILTER (WHERE status = 'pending') AS waiting
        FROM runs CROSS JOIN LATERAL jsonb_each_text(allocation -> 'resources') AS resource
        WHERE workspace_id = :workspace_id AND allocation IS NOT NULL AND EXISTS (SELECT FROM pools)
            AND (status = 'running' AND available_at > :now OR status = 'pending' AND available_at <= :now)
        GROUP BY resource.key
    )
    SELECT pools.*, coalesce(in_use, 0) AS units_in_use, coalesce(waiting, 0) AS runs_waiting
    FROM pools LEFT JOIN asked ON asked.name = pools.name
    ORDER BY pools.name
    """).bindparams(
        _WORKSPACE,
        _NAME,
        bindparam("after", type_=Text),
        bindparam("now", type_=DateTime(timezone=True)),
        bindparam("limit", type_=Integer),
    )
)


async def add(work: UnitOfWork, pool: ResourcePool, *, request_key: str | None, fingerprint: bytes | None) -> bool:
    """Write a new pool and the call that makes it; returns whether there was none of its name, nor of the call."""
    return bool(await work.execute(_ADD, **_columns(pool, _FIELDS), request_key=request_key, fingerprint=fingerprint))


async def requested(
    reader: Reader, *, workspace_id: UUID, request_key: str | None
) -> tuple[ResourcePool, bytes] | None:
    """The pool that a call made, and the fingerprint of the call."""
    row = await reader.fetch_one(_REQUESTED, workspace_id=workspace_id, request_key=request_key)
    return None if row is None else (ResourcePool(**{name: row[name] for name in _FIELDS}), row["fingerprint"])


async def lock(work: UnitOfWork, *, workspace_id: UUID, name: str) -> ResourcePool | None:
    """The pool, locked until the transaction ends."""
    row = await work.fetch_one(_LOCK, workspace_id=workspace_id, name=name)
    return None if row is None else ResourcePool(**row)


async def save(work: UnitOfWork, pool: ResourcePool) -> None:
    """Write a locked pool as it is now."""
    await work.execute(_UPDATE, of_workspace=pool.workspace_id, of_name=pool.name, **_columns(pool, _CHANGED))


async def remove(work: UnitOfWork, pool: ResourcePool) -> None:
    """Delete a locked pool."""
    await work.execute(_DELETE, workspace_id=pool.workspace_id, name=pool.name)


async def units(reader: Reader, *, workspace_id: UUID, names: Collection[str]) -> Mapping[str, int]:
    """How many units those of the pools have that exist."""
    rows = await reader.fetch(_UNITS, workspace_id=workspace_id, names=list(names))
    return {row["name"]: row["units"] for row in rows}


async def get(reader: Reader, *, workspace_id: UUID, name: str, now: datetime) -> ResourcePool | None:
    """A pool, and what is in use of it."""
    rows = await reader.fetch(_PAGE, workspace_id=workspace_id, name=name, after="", now=now, limit=1)
    return ResourcePool(**rows[0]) if rows else None


async def page(reader: Reader, *, workspace_id: UUID, now: datetime, limit: int, after: str) -> Sequence[ResourcePool]:
    """The pools of a workspace by name, at most `limit`, after one, and what is in use of them."""
    rows = await reader.fetch(_PAGE, workspace_id=workspace_id, name=None, after=after, now=now, limit=limit)
    return [ResourcePool(**row) for row in rows]


def _columns(pool: ResourcePool, names: Sequence[str]) -> dict[str, Any]:
    values = asdict(pool)
    return {name: values[name] for name in names}
