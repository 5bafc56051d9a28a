"""Series in PostgreSQL: the newest version that the tasks service told of, and when to look at it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota_chassis.postgres.statements import statement
from sqlalchemy import Column, DateTime, Integer, MetaData, Table, bindparam, func, null, select, update
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.dialects.postgresql import UUID as PgUUID

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from rota_chassis.batches import Fault
    from rota_chassis.postgres.work import Reader, UnitOfWork

    from rota_scheduler.series.domain import Series

SERIES = Table(
    "task_series",
    MetaData(),
    Column("workspace_id", PgUUID, primary_key=True),
    Column("id", PgUUID, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("data", JSONB, nullable=False),
    Column("wake_at", DateTime(timezone=True)),
)
_KEY = ("workspace_id", "id")
_NEW = insert(SERIES).values({column.name: bindparam(column.name) for column in SERIES.c})
_UPSERT = statement(
    _NEW.on_conflict_do_update(
        index_elements=list(_KEY),
        set_={name: _NEW.excluded[name] for name in ("version", "data", "wake_at")},
        where=SERIES.c.version < _NEW.excluded.version,
    )
)
_TAKE = statement(
    select(SERIES)
    .where(SERIES.c.wake_at <= bindparam("now"))
    .order_by(SERIES.c.wake_at)
    .limit(bindparam("limit", type_=Integer))
    .with_for_update(skip_locked=True)
)
_WAKE = statement(
    update(SERIES)
    .where(SERIES.c.workspace_id == bindparam("of_workspace"), SERIES.c.id == bindparam("of_series"))
    .values(wake_at=bindparam("wake_at", type_=DateTime(timezone=True)))
)
_SET_ASIDE = statement(
    update(SERIES)
    .where(
        SERIES.c.workspace_id == bindparam("of_workspace"),
        SERIES.c.id == bindparam("of_series"),
        SERIES.c.wake_at == bindparam("due"),
    )
    .values(wake_at=null())
)
_NEXT = statement(select(func.min(SERIES.c.wake_at)).where(SERIES.c.wake_at.is_not(None)))


async def keep(
    work: UnitOfWork,
    *,
    workspace_id: UUID,
    series_id: UUID,
    version: int,
    data: Mapping[str, Any],
    wake_at: datetime | None,
) -> None:
    """Keep a version of a series, unless a later one is there."""
    await work.execute(
        _UPSERT, workspace_id=workspace_id, id=series_id, version=version, data=dict(data), wake_at=wake_at
    )


async def take(work: UnitOfWork, *, now: datetime, limit: int) -> Sequence[Mapping[str, Any]]:
    """The rows of at most `limit` series whose time has come and that nobody else is looking at, locked."""
    return list(await work.fetch(_TAKE, now=now, limit=limit))


async def set_aside(work: UnitOfWork, row: Mapping[str, Any], _fault: Fault) -> None:
    """Do not look at a series that was taken before its next version."""
    await work.execute(_SET_ASIDE, of_workspace=row["workspace_id"], of_series=row["id"], due=row["wake_at"])


async def wake(work: UnitOfWork, times: Sequence[tuple[Series, datetime | None]]) -> None:
    """Say when to look at series next; None for not before their next version."""
    await work.execute_many(
        _WAKE,
        [{"of_workspace": each.workspace_id, "of_series": each.id, "wake_at": wake_at} for each, wake_at in times],
    )


async def next_due(reader: Reader) -> datetime | None:
    """When the next series is to be looked at, over all workspaces."""
    due: datetime | None = await reader.fetch_value(_NEXT)
    return due
