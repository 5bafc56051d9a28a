"""Which run is the one for a key: in a period (unique), or of requests that follow each other closely (debounce).

A row for each key of a workspace says which run it is. Two at once: the second waits for the row of the first, and
finds its run. What a row says of a run that was never written, or has ended, counts for nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from rota_chassis.postgres.statements import statement
from sqlalchemy import DateTime, Integer, Text, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_scheduler.runs.tables import RUNS, run_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from rota_chassis.postgres.work import UnitOfWork

    from rota_scheduler.runs.domain import Run

_NOW = bindparam("now", type_=DateTime(timezone=True))
_TAKE = statement(
    text("""
    INSERT INTO run_uniques (workspace_id, key, run_id, until)
    SELECT workspace_id, key, run_id, :now + make_interval(secs => period_s)
    FROM unnest(CAST(:workspaces AS uuid[]), CAST(:keys AS text[]), CAST(:ids AS uuid[]), CAST(:periods AS integer[]))
        AS wanted (workspace_id, key, run_id, period_s)
    ORDER BY workspace_id, key
    ON CONFLICT (workspace_id, key) DO UPDATE SET run_id = excluded.run_id, until = excluded.until
    WHERE run_uniques.until <= :now
    RETURNING run_id
    """).bindparams(_NOW)
)
_TAKEN_BY = statement(
    text("""
    SELECT run_id FROM run_uniques WHERE workspace_id = :workspace_id AND key = :key
    """).bindparams(bindparam("workspace_id", type_=PgUUID), bindparam("key", type_=Text))
)
_POINT = statement(
    text("""
    UPDATE run_uniques SET run_id = :run_id, until = :now + make_interval(secs => :period_s)
    WHERE workspace_id = :workspace_id AND key = :key
    """).bindparams(
        _NOW,
        bindparam("workspace_id", type_=PgUUID),
        bindparam("run_id", type_=PgUUID),
        bindparam("key", type_=Text),
        bindparam("period_s", type_=Integer),
    )
)
# Written in any case, so that it is locked.
_FOLLOW = statement(
    text("""
    INSERT INTO run_debounces AS known (workspace_id, key, run_id, first_at)
    VALUES (:workspace_id, :key, :run_id, :now)
    ON CONFLICT (workspace_id, key) DO UPDATE SET key = excluded.key
    RETURNING run_id, first_at
    """).bindparams(
        _NOW,
        bindparam("workspace_id", type_=PgUUID),
        bindparam("run_id", type_=PgUUID),
        bindparam("key", type_=Text),
    )
)
_BEGIN = statement(
    text("""
    UPDATE run_debounces SET run_id = :run_id, first_at = :now WHERE workspace_id = :workspace_id AND key = :key
    """).bindparams(
        _NOW,
        bindparam("workspace_id", type_=PgUUID),
        bindparam("run_id", type_=PgUUID),
        bindparam("key", type_=Text),
    )
)
_REPLACED = ("nominal_time", "available_at", "priority", "concurrency_key", "concurrency_limit", "acts_for")
_PUT_OFF = statement(
    RUNS.update()
    .where(
        RUNS.c.workspace_id == bindparam("of_workspace", type_=PgUUID),
        RUNS.c.id == bindparam("of_id", type_=PgUUID),
        RUNS.c.status == "pending",
        RUNS.c.attempts == 0,
    )
    .values(
        {name: bindparam(name, type_=RUNS.c[name].type) for name in _REPLACED}
        | {name: bindparam(name, type_=JSONB) for name in ("action", "allocation")}
    )
    .returning(RUNS)
)


class Wanted(NamedTuple):
    """A run that is to be the one for a key for so many seconds."""

    workspace_id: UUID
    key: str
    period_s: int
    run_id: UUID


async def take(work: UnitOfWork, wanted: Sequence[Wanted], *, now: datetime) -> frozenset[UUID]:
    """Let runs be those for their keys, each key's first; returns the ids of those that are."""
    first = {(each.workspace_id, each.key): each for each in reversed(wanted)}
    rows = await work.fetch(
        _TAKE,
        now=now,
        workspaces=[each.workspace_id for each in first.values()],
        keys=[each.key for each in first.values()],
        ids=[each.run_id for each in first.values()],
        periods=[each.period_s for each in first.values()],
    )
    return frozenset(row["run_id"] for row in rows)


async def taken_by(work: UnitOfWork, *, workspace_id: UUID, key: str) -> UUID | None:
    """Which run is the one for a key, if one is."""
    found: UUID | None = await work.fetch_value(_TAKEN_BY, workspace_id=workspace_id, key=key)
    return found


async def point(work: UnitOfWork, wanted: Wanted, *, now: datetime) -> None:
    """Let a run be the one for a key whatever was before."""
    await work.execute(_POINT, now=now, **wanted._asdict())


async def follow(work: UnitOfWork, run: Run, *, key: str, now: datetime) -> tuple[UUID, datetime]:
    """Which run stands for the requests of a key, this one if none does, and when the first came; the key is locked."""
    row = await work.fetch_one(_FOLLOW, workspace_id=run.workspace_id, key=key, run_id=run.id, now=now)
    if row is None:
        raise LookupError("a row that was written is gone")
    return row["run_id"], row["first_at"]


async def begin(work: UnitOfWork, run: Run, *, key: str, now: datetime) -> None:
    """Let a new run stand for the requests of a locked key from now on."""
    await work.execute(_BEGIN, workspace_id=run.workspace_id, key=key, run_id=run.id, now=now)


async def put_off(work: UnitOfWork, run_id: UUID, by: Run) -> Run | None:
    """Give a run that has not begun the start of another, and what that does; None when it has begun."""
    values: dict[str, Any] = {name: getattr(by, name) for name in (*_REPLACED, "action", "allocation")}
    row = await work.fetch_one(_PUT_OFF, of_workspace=by.workspace_id, of_id=run_id, **values)
    return None if row is None else run_of(row)
