"""Concurrency keys in PostgreSQL: their own limits are rows, everything else their runs say."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rota_chassis.postgres.statements import statement
from sqlalchemy import DateTime, Integer, Text, bindparam, text
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_scheduler.concurrency_keys.domain import ConcurrencyKey, Limits
from rota_scheduler.runs.allocation import RateLimit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from rota_chassis.postgres.work import Reader, UnitOfWork

_WORKSPACE = bindparam("workspace_id", type_=PgUUID)
_OF_PAGE = (
    _WORKSPACE,
    bindparam("after", type_=Text),
    bindparam("now", type_=DateTime(timezone=True)),
    bindparam("limit", type_=Integer),
)
_COUNTED = """
    SELECT keys.key, stored.concurrency_limit, stored.rate_limit, stored.rate_period_s, runs.running, runs.waiting,
        CASE WHEN stored.rate_limit IS NOT NULL THEN (
            SELECT count(*) FROM run_starts
            WHERE workspace_id = :workspace_id AND concurrency_key = keys.key
                AND started_at > :now - make_interval(secs => stored.rate_period_s)
        ) END AS starts
    FROM keys
    LEFT JOIN concurrency_keys AS stored
        ON stored.workspace_id = :workspace_id AND stored.concurrency_key = keys.key
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE status = 'running' AND available_at > :now) AS running,
            count(*) FILTER (WHERE status = 'pending' AND available_at <= :now) AS waiting
        FROM runs
        WHERE workspace_id = :workspace_id AND concurrency_key = keys.key
    ) AS runs
    ORDER BY keys.key
"""
# From one key to the next by the index, however many runs each has.
_PAGE = statement(
    text(f"""
    WITH RECURSIVE of_runs AS (
        SELECT min(concurrency_key) AS key FROM runs
        WHERE workspace_id = :workspace_id AND concurrency_key > CAST(:after AS text)
        UNION ALL
        SELECT (
            SELECT min(concurrency_key) FROM runs
            WHERE workspace_id = :workspace_id AND concurrency_key > of_runs.key
        )
        FROM of_runs WHERE of_runs.key IS NOT NULL
    ), first AS (
        SELECT key FROM of_runs
        WHERE key IS NOT NULL AND EXISTS (
            SELECT FROM runs
            WHERE workspace_id = :workspace_id AND concurrency_key = key
                AND (action -> 'of_projects' ?| CAST(:hidden AS text[])) IS NOT TRUE)
        LIMIT :limit
    ), keys AS (
        SELECT key FROM first
        UNION
        (
            SELECT concurrency_key FROM concurrency_keys
            WHERE workspace_id = :workspace_id AND concurrency_key > CAST(:after AS text)
            ORDER BY concurrency_key LIMIT :limit
        )
        ORDER BY key LIMIT :limit
    )
    {_COUNTED}
    """).bindparams(*_OF_PAGE)  # noqa: S608 (constants of this module)
)
_GET = statement(
    text(f"WITH keys AS (SELECT CAST(:key AS text) AS key) {_COUNTED}").bindparams(
        _WORKSPACE, bindparam("key", type_=Text), bindparam("now", type_=DateTime(timezone=True))
    )
)
_PUT = statement(
    text("""
    INSERT INTO concurrency_keys AS stored
        (workspace_id, concurrency_key, concurrency_limit, rate_limit, rate_period_s, id, version)
    VALUES (:workspace_id, :key, :concurrency_limit, :rate_limit, :rate_period_s, :id, 1)
    ON CONFLICT (workspace_id, concurrency_key) DO UPDATE SET concurrency_limit = excluded.concurrency_limit,
        rate_limit = excluded.rate_limit, rate_period_s = excluded.rate_period_s, version = stored.version + 1
    WHERE (stored.concurrency_limit, stored.rate_limit, stored.rate_period_s)
        IS DISTINCT FROM (excluded.concurrency_limit, excluded.rate_limit, excluded.rate_period_s)
    RETURNING id, version
    """).bindparams(
        _WORKSPACE,
        bindparam("id", type_=PgUUID),
        bindparam("key", type_=Text),
        *(bindparam(name, type_=Integer) for name in ("concurrency_limit", "rate_limit", "rate_period_s")),
    )
)
_DELETE = statement(
    text("""
    DELETE FROM concurrency_keys WHERE workspace_id = :workspace_id AND concurrency_key = :key
    RETURNING id, concurrency_limit, rate_limit, rate_period_s, version
    """).bindparams(_WORKSPACE, bindparam("key", type_=Text))
)


async def put(work: UnitOfWork, limits: Limits) -> Limits | None:
    """Write the limits of a key, whatever they were; those that it has now, None when it had the same."""
    limit, period_s = limits.rate_limit or (None, None)
    row = await work.fetch_one(
        _PUT,
        workspace_id=limits.workspace_id,
        key=limits.key,
        concurrency_limit=limits.concurrency_limit,
        rate_limit=limit,
        rate_period_s=period_s,
        id=limits.id,
    )
    return None if row is None else replace(limits, id=row["id"], version=row["version"])


async def remove(work: UnitOfWork, *, workspace_id: UUID, key: str) -> Limits | None:
    """Take the limits of a key away; those that it had, None when it had none."""
    row = await work.fetch_one(_DELETE, workspace_id=workspace_id, key=key)
    if row is None:
        return None
    return Limits(
        id=row["id"],
        workspace_id=workspace_id,
        key=key,
        concurrency_limit=row["concurrency_limit"],
        rate_limit=_rate(row),
        version=row["version"],
    )


async def get(reader: Reader, *, workspace_id: UUID, key: str, now: datetime) -> ConcurrencyKey:
    """A key, whether there is anything to say of it or not."""
    (row,) = await reader.fetch(_GET, workspace_id=workspace_id, key=key, now=now)
    return _key(workspace_id, row)


async def page(
    reader: Reader, *, workspace_id: UUID, now: datetime, limit: int, after: str, hidden: Sequence[str]
) -> Sequence[ConcurrencyKey]:
    """The keys of a workspace by name that have runs or limits of their own, at most `limit`, after one.

    A key that only runs of the `hidden` projects have is left out: its name may say what is in them.
    """
    rows = await reader.fetch(_PAGE, workspace_id=workspace_id, now=now, limit=limit, after=after, hidden=hidden)
    return [_key(workspace_id, row) for row in rows]


def _key(workspace_id: UUID, row: Mapping[str, Any]) -> ConcurrencyKey:
    return ConcurrencyKey(
        workspace_id=workspace_id,
        key=row["key"],
        concurrency_limit=row["concurrency_limit"],
        rate_limit=_rate(row),
        running=row["running"],
        waiting=row["waiting"],
        starts=row["starts"],
    )


def _rate(row: Mapping[str, Any]) -> RateLimit | None:
    limit = row["rate_limit"]
    return None if limit is None else RateLimit(limit, row["rate_period_s"])
