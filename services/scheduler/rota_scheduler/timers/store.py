"""Timers in PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota_chassis.postgres.statements import statement
from sqlalchemy import (
    Column,
    DateTime,
    Integer,
    MetaData,
    Table,
    Text,
    and_,
    bindparam,
    case,
    exists,
    func,
    null,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_scheduler.timers.domain import Firing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from rota_chassis.batches import Fault
    from rota_chassis.postgres.work import Reader, UnitOfWork

    from rota_scheduler.timers.domain import Timer

TIMERS = Table(
    "timers",
    MetaData(),
    Column("workspace_id", PgUUID, primary_key=True),
    Column("task_id", PgUUID, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("task_version", Integer, nullable=False),
    Column("title", Text, nullable=False),
    Column("recipient_ids", ARRAY(PgUUID), nullable=False),
    Column("fire_at", DateTime(timezone=True)),
    Column("fired_for", DateTime(timezone=True)),
    Column("firings", Integer, nullable=False),
    Column("project_id", Text),
)
_KEY = (TIMERS.c.workspace_id, TIMERS.c.task_id, TIMERS.c.kind)
_TOLD_BY_TASK = ("task_version", "title", "recipient_ids", "project_id")

_NEW = insert(TIMERS).values(
    {name: bindparam(name) for name in ("workspace_id", "task_id", "kind", *_TOLD_BY_TASK, "fire_at")}
)
_UPSERT = statement(
    _NEW.on_conflict_do_update(
        index_elements=_KEY,
        set_={
            **{name: _NEW.excluded[name] for name in _TOLD_BY_TASK},
            "fire_at": case((_NEW.excluded.fire_at == TIMERS.c.fired_for, null()), else_=_NEW.excluded.fire_at),
        },
        where=TIMERS.c.task_version < _NEW.excluded.task_version,
    )
)
_OF_TASK = and_(
    TIMERS.c.workspace_id == bindparam("of_workspace", type_=PgUUID),
    TIMERS.c.task_id == bindparam("of_task", type_=PgUUID),
)
_LATER = statement(select(exists().where(_OF_TASK, TIMERS.c.task_version > bindparam("version", type_=Integer))))
_DISARM = statement(
    update(TIMERS)
    .where(_OF_TASK, TIMERS.c.kind != func.all(bindparam("kinds", type_=ARRAY(Text))))
    .values(fire_at=null(), task_version=bindparam("version", type_=Integer))
)
_DUE = (
    select(*_KEY)
    .where(TIMERS.c.fire_at <= bindparam("now"))
    .order_by(TIMERS.c.fire_at)
    .limit(bindparam("limit", type_=Integer))
    .with_for_update(skip_locked=True)
    .cte("due")
)
_FIRE = statement(
    update(TIMERS)
    .where(and_(*(column == _DUE.c[column.name] for column in _KEY)))
    .values(fire_at=null(), fired_for=TIMERS.c.fire_at, firings=TIMERS.c.firings + 1)
    .returning(*(TIMERS.c[name] for name in Firing.__slots__))
)
_SET_ASIDE = statement(
    update(TIMERS)
    .where(_OF_TASK, TIMERS.c.kind == bindparam("of_kind"), TIMERS.c.fire_at == bindparam("due"))
    .values(fire_at=null())
)
_NEXT = statement(select(func.min(TIMERS.c.fire_at)).where(TIMERS.c.fire_at.is_not(None)))


async def arm(work: UnitOfWork, timers: Sequence[Timer]) -> None:
    """Write the timers, each unless one of a later version of its task is there."""
    await work.execute_many(
        _UPSERT,
        [
            {
                "workspace_id": timer.workspace_id,
                "task_id": timer.task_id,
                "kind": timer.kind,
                "task_version": timer.task_version,
                "title": timer.title,
                "recipient_ids": list(timer.recipient_ids),
                "project_id": timer.project_id,
                "fire_at": timer.fire_at,
            }
            for timer in timers
        ],
    )


async def knows_later(reader: Reader, *, workspace_id: UUID, task_id: UUID, version: int) -> bool:
    """Whether a later version of the task has set its timers."""
    found: bool = await reader.fetch_value(_LATER, of_workspace=workspace_id, of_task=task_id, version=version)
    return found


async def disarm_others(
    work: UnitOfWork, *, workspace_id: UUID, task_id: UUID, version: int, kinds: Sequence[str]
) -> None:
    """Let the timers of a task not fire that this version of it does not have."""
    await work.execute(_DISARM, of_workspace=workspace_id, of_task=task_id, version=version, kinds=list(kinds))


async def fire(work: UnitOfWork, *, now: datetime, limit: int) -> Sequence[Mapping[str, Any]]:
    """Take at most `limit` timers that are due and that nobody else is taking; their rows."""
    return list(await work.fetch(_FIRE, now=now, limit=limit))


def firing_of(row: Mapping[str, Any]) -> Firing:
    """A row that `fire` returned."""
    return Firing(**{**row, "recipient_ids": tuple(row["recipient_ids"])})


async def set_aside(work: UnitOfWork, row: Mapping[str, Any], _fault: Fault) -> None:
    """Let a timer that `fire` returned not fire before its task changes."""
    of = {"of_workspace": row["workspace_id"], "of_task": row["task_id"], "of_kind": row["kind"]}
    await work.execute(_SET_ASIDE, **of, due=row["fired_for"])


async def next_due(reader: Reader) -> datetime | None:
    """When the next timer fires, over all workspaces."""
    due: datetime | None = await reader.fetch_value(_NEXT)
    return due
