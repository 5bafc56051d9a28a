"""What holders do with runs in PostgreSQL: claim them, keep them, end them, give them back.

Whatever a holder writes is conditional on its fence: a run that has been claimed again since, or ended, stays as it is.
All of it is in batches, one statement for many runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota_chassis.postgres.statements import statement
from sqlalchemy import (
    DateTime,
    Integer,
    Text,
    and_,
    bindparam,
    case,
    delete,
    func,
    literal_column,
    null,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_scheduler.runs.domain import End, Status
from rota_scheduler.runs.store import as_it_ended, to_history
from rota_scheduler.runs.tables import HISTORY, RUNS, given, run_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from rota_chassis.postgres.database import Reader, UnitOfWork
    from sqlalchemy import CTE, ColumnElement

    from rota_scheduler.runs.domain import Run

KEYS_AT_ONCE = 100
_KEYED_LOCK = 0x526F7461_6B657973  # "Rotakeys"; one claims runs with keys at a time
_NEXT_OF = 100
_INSTANT = DateTime(timezone=True)
_NOW = bindparam("now", type_=_INSTANT)
_LIMIT = bindparam("limit", type_=Integer)
_PENDING: ColumnElement[str] = literal_column(f"'{Status.PENDING}'")
_RUNNING: ColumnElement[str] = literal_column(f"'{Status.RUNNING}'")
# Seconds; the index `runs_ranked` is made of this very expression. A step of priority is worth six seconds of waiting.
_RANK = "(date_part('epoch', available_at - to_timestamp(0)) - priority * 6)"
RANK: ColumnElement[float] = literal_column(_RANK)

# Jobs are claimed by workers from outside. The column is made of the action, by the database.
_NO_JOB = "queue IS NULL"
_OPEN = select(RUNS.c.workspace_id, RUNS.c.id, RANK.label("rank")).where(
    RUNS.c.concurrency_key.is_(None), text(_NO_JOB), RUNS.c.available_at <= _NOW
)
_AVAILABLE = _OPEN.order_by(RANK).limit(_LIMIT).with_for_update(skip_locked=True).cte("available")


def chosen(whose: str) -> CTE:
    """Which runs to claim of those for which the condition `whose` on the columns of runs holds.

    Of each of the given keys so many as its limit leaves, the first by rank; of those and of the runs without a key the
    first by rank. Whatever of a key runs counts.
    """
    return (
        text(f"""
    WITH available AS (
        SELECT workspace_id, id, {_RANK} AS rank
        FROM runs
        WHERE concurrency_key IS NULL AND {whose} AND available_at <= :now
        ORDER BY rank LIMIT :limit
        FOR UPDATE SKIP LOCKED
    ), keyed AS (
        SELECT first.workspace_id, first.id, first.rank
        FROM unnest(CAST(:workspaces AS uuid[]), CAST(:keys AS text[])) AS key (workspace_id, name)
        CROSS JOIN LATERAL (
            SELECT count(*) AS running
            FROM runs
            WHERE workspace_id = key.workspace_id AND concurrency_key = key.name
                AND status = 'running' AND available_at > :now
        ) AS busy
        CROSS JOIN LATERAL (
            SELECT *, row_number() OVER (ORDER BY rank, id) AS place
            FROM (
                SELECT workspace_id, id, concurrency_limit, {_RANK} AS rank
                FROM runs
                WHERE workspace_id = key.workspace_id AND concurrency_key = key.name AND {whose}
                    AND available_at <= :now
                ORDER BY rank LIMIT :limit
            ) AS waiting
        ) AS first
        WHERE first.place + busy.running <= first.concurrency_limit
    )
    SELECT workspace_id, id
    FROM (SELECT * FROM available UNION ALL SELECT * FROM keyed) AS either
    ORDER BY rank LIMIT :limit
    """)  # noqa: S608 (constants of this module and of the queues')
        .bindparams(_NOW, _LIMIT)
        .columns(workspace_id=PgUUID, id=PgUUID)
        .cte("chosen")
    )


def claiming(those: CTE, **values: Any) -> Any:
    """The update that claims them, and sets these columns besides."""
    return (
        update(RUNS)
        .where(RUNS.c.workspace_id == those.c.workspace_id, RUNS.c.id == those.c.id, RUNS.c.available_at <= _NOW)
        .values(
            status=_RUNNING,
            fence=RUNS.c.fence + 1,
            attempts=RUNS.c.attempts + 1,
            available_at=bindparam("lease_until"),
            started_at=func.coalesce(RUNS.c.started_at, _NOW),
            **values,
        )
        .returning(RUNS)
    )


_CLAIM = statement(claiming(_AVAILABLE))
_CLAIM_EITHER = statement(claiming(chosen(_NO_JOB)))
_KEYS = statement(
    text(f"""
    WITH RECURSIVE keys AS (
        (
            SELECT workspace_id, concurrency_key
            FROM runs
            WHERE concurrency_key IS NOT NULL AND {_NO_JOB}
                AND (workspace_id, concurrency_key) > (CAST(:workspace_id AS uuid), CAST(:key AS text))
            ORDER BY workspace_id, concurrency_key LIMIT 1
        )
        UNION ALL
        SELECT later.workspace_id, later.concurrency_key
        FROM keys
        CROSS JOIN LATERAL (
            SELECT workspace_id, concurrency_key
            FROM runs
            WHERE concurrency_key IS NOT NULL AND {_NO_JOB}
                AND (workspace_id, concurrency_key) > (keys.workspace_id, keys.concurrency_key)
            ORDER BY workspace_id, concurrency_key LIMIT 1
        ) AS later
    )
    SELECT workspace_id, concurrency_key FROM keys LIMIT :limit
    """).bindparams(_LIMIT)  # noqa: S608 (constants of this module)
)
ONE_AT_A_TIME = statement(select(func.pg_try_advisory_xact_lock(literal_column(str(_KEYED_LOCK)))))

_OUTCOME = given(
    "outcome",
    workspace_id=PgUUID(),
    id=PgUUID(),
    fence=Integer(),
    status=Text(),
    task_id=PgUUID(),
    http_status=Integer(),
    error=Text(),
    response=Text(),
    result=JSONB(),
)


def _held(holder: Any) -> Any:
    return and_(
        RUNS.c.workspace_id == holder.c.workspace_id,
        RUNS.c.id == holder.c.id,
        RUNS.c.fence == holder.c.fence,
        RUNS.c.status == _RUNNING,
    )


_FINISH = statement(
    to_history(
        delete(RUNS)
        .where(_held(_OUTCOME))
        .returning(
            *as_it_ended(
                **{name: _OUTCOME.c[name] for name in End._fields}, finished_at=bindparam("finished_at", type_=_INSTANT)
            )
        )
        .cte("ended")
    ).returning(HISTORY.c.id)
)
_FAILURE = given(
    "failure",
    workspace_id=PgUUID(),
    id=PgUUID(),
    fence=Integer(),
    available_at=_INSTANT,
    http_status=Integer(),
    error=Text(),
)
_TRY_AGAIN = statement(
    update(RUNS)
    .where(_held(_FAILURE))
    .values(
        status=_PENDING,
        available_at=_FAILURE.c.available_at,
        http_status=_FAILURE.c.http_status,
        error=_FAILURE.c.error,
    )
    .returning(RUNS.c.id)
)
_HOLDER = given("holder", workspace_id=PgUUID(), id=PgUUID(), fence=Integer())
# Locked in the order of their ids, as cancelling locks them.
_STILL_HELD = (
    select(RUNS.c.workspace_id, RUNS.c.id)
    .join_from(RUNS, _HOLDER, _held(_HOLDER))
    .order_by(RUNS.c.id)
    .with_for_update(of=RUNS)
    .cte("still_held")
)
_OF_HOLDER = and_(RUNS.c.workspace_id == _STILL_HELD.c.workspace_id, RUNS.c.id == _STILL_HELD.c.id)
_RENEW = statement(
    update(RUNS).where(_OF_HOLDER).values(available_at=bindparam("lease_until", type_=_INSTANT)).returning(RUNS.c.id)
)
_GIVE_BACK = statement(
    update(RUNS)
    .where(_OF_HOLDER)
    .values(
        status=_PENDING,
        available_at=bindparam("available_at", type_=_INSTANT),
        attempts=RUNS.c.attempts - 1,
        started_at=case((RUNS.c.attempts == 1, null()), else_=RUNS.c.started_at),
    )
)
_SOON = (
    select(RUNS.c.available_at)
    .where(RUNS.c.available_at.is_not(None), RUNS.c.concurrency_key.is_(None), text(_NO_JOB))
    .order_by(RANK)
    .limit(_NEXT_OF)
    .subquery()
)
_NEXT = statement(select(func.min(_SOON.c.available_at)))
_FIRST = statement(select(func.min(RUNS.c.available_at)).where(RUNS.c.available_at.is_not(None), text(_NO_JOB)))


@dataclass(frozen=True, slots=True)
class Claimed:
    """Runs that are now held.

    Attributes:
        key: The last concurrency key that was looked at; None after the last of all.
        more: Whether there may be more to claim.
    """

    runs: Sequence[Run]
    key: tuple[UUID, str] | None
    more: bool


async def claim(
    work: UnitOfWork, *, now: datetime, lease_until: datetime, limit: int, after: tuple[UUID, str] | None = None
) -> Claimed:
    """Take at most `limit` runs that are available and that nobody else is taking, over all workspaces, jobs left out.

    First those that have waited longest, priority counted in. Of runs with a concurrency key only so many as may run
    at a time; `KEYS_AT_ONCE` keys are looked at, those after `after`.
    """
    workspace_id, name = after or (UUID(int=0), "")
    keys = await work.fetch(_KEYS, workspace_id=workspace_id, key=name, limit=KEYS_AT_ONCE)
    # One after the other, so that each sees what the others have claimed.
    if keys and await work.fetch_value(ONE_AT_A_TIME):
        rows = await work.fetch(
            _CLAIM_EITHER,
            now=now,
            lease_until=lease_until,
            limit=limit,
            workspaces=[row["workspace_id"] for row in keys],
            keys=[row["concurrency_key"] for row in keys],
        )
    else:
        rows = await work.fetch(_CLAIM, now=now, lease_until=lease_until, limit=limit)
    last = (keys[-1]["workspace_id"], keys[-1]["concurrency_key"]) if len(keys) == KEYS_AT_ONCE else None
    return Claimed([run_of(row) for row in rows], last, more=len(rows) == limit or last is not None)


async def finish(work: UnitOfWork, ends: Sequence[tuple[Run, End]], *, finished_at: datetime) -> frozenset[UUID]:
    """Move runs that are held with their fences to the history; returns the ids of those that still were."""
    if not ends:
        return frozenset()
    columns = {name: [getattr(end, name) for _, end in ends] for name in End._fields}
    rows = await work.fetch(_FINISH, **_holders([run for run, _ in ends]), **columns, finished_at=finished_at)
    return frozenset(row["id"] for row in rows)


async def try_again(work: UnitOfWork, runs: Sequence[Run]) -> frozenset[UUID]:
    """Make held runs pending again, each at its `available_at`; returns the ids of those that still were held."""
    if not runs:
        return frozenset()
    names = ("workspace_id", "id", "fence", "available_at", "http_status", "error")
    found = await work.fetch(_TRY_AGAIN, **{name: [getattr(run, name) for run in runs] for name in names})
    return frozenset(row["id"] for row in found)


async def renew(work: UnitOfWork, runs: Sequence[Run], *, lease_until: datetime) -> frozenset[UUID]:
    """Prolong the leases of those of the runs that are still held; returns their ids."""
    if not runs:
        return frozenset()
    return frozenset(row["id"] for row in await work.fetch(_RENEW, **_holders(runs), lease_until=lease_until))


async def give_back(work: UnitOfWork, runs: Sequence[Run], *, available_at: datetime) -> int:
    """Make held runs pending again as if they had not been claimed; those no longer held stay as they are.

    Returns:
        How many still were held.
    """
    return await work.execute(_GIVE_BACK, **_holders(runs), available_at=available_at) if runs else 0


async def first_available(reader: Reader) -> datetime | None:
    """When the first run, of no queue, can be claimed, over all workspaces, unless its concurrency key keeps it."""
    found: datetime | None = await reader.fetch_value(_FIRST)
    return found


async def next_available(reader: Reader) -> datetime | None:
    """When the next run without a concurrency key, and of no queue, can be claimed, over all workspaces.

    Where priorities differ much it may be later than that; so whoever waits for it looks again after a second.
    """
    found: datetime | None = await reader.fetch_value(_NEXT)
    return found


def _holders(runs: Sequence[Run]) -> dict[str, list[Any]]:
    return {name: [getattr(run, name) for run in runs] for name in ("workspace_id", "id", "fence")}
