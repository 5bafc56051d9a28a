"""Runs that share something, in PostgreSQL: which could start, what is taken, and what is noted when they start.

All of it happens under the lock of `ONE_AT_A_TIME`, so that each sees what the others have claimed. What is taken is
counted from the running runs themselves, so nothing can be left over by who dies.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from rota_chassis.postgres.statements import statement
from sqlalchemy import DateTime, Integer, bindparam, func, literal_column, select, text
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_scheduler.runs import allocation, store
from rota_scheduler.runs.allocation import (
    Allotted,
    Candidate,
    ConcurrencyPolicy,
    Holder,
    RateLimit,
    Usage,
    allot,
    shares_of,
)
from rota_scheduler.runs.messages import run_ended
from rota_scheduler.runs.tables import RANK
from rota_scheduler.schedules import store as schedules
from rota_scheduler.schedules.rearming import rearm

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from rota_chassis.postgres.statements import Statement
    from rota_chassis.postgres.work import Reader, UnitOfWork

    from rota_scheduler.runs.allocation import WaitReason
    from rota_scheduler.runs.domain import Run

LANES_AT_ONCE = 100
MOST_OF_LANE = 100
_LOCK = 0x526F7461_6B657973  # "Rotakeys"
_NOW = bindparam("now", type_=DateTime(timezone=True))

ONE_AT_A_TIME = statement(select(func.pg_try_advisory_xact_lock(literal_column(str(_LOCK)))))


class Lane(NamedTuple):
    """Runs of a workspace that wait for the same."""

    workspace_id: UUID
    name: str
    concurrency_key: str | None


def candidates(whose: str) -> Statement:
    """Of each of the given lanes the first by rank, of those for which the condition `whose` on the columns holds.

    As many as the key has places for, unless what they are depends on more than that.
    """
    return statement(
        text(f"""
        SELECT first.*, lane.concurrency_key AS key, busy.running, stored.rate_limit, stored.rate_period_s,
            coalesce(stored.concurrency_limit, first.concurrency_limit) AS most
        FROM unnest(CAST(:workspaces AS uuid[]), CAST(:lanes AS text[]), CAST(:keys AS text[]))
            AS lane (workspace_id, name, concurrency_key)
        LEFT JOIN concurrency_keys AS stored
            ON stored.workspace_id = lane.workspace_id AND stored.concurrency_key = lane.concurrency_key
        CROSS JOIN LATERAL (
            SELECT count(*) AS running
            FROM runs
            WHERE workspace_id = lane.workspace_id AND concurrency_key = lane.concurrency_key
                AND status = 'running' AND available_at > :now
        ) AS busy
        CROSS JOIN LATERAL (
            SELECT *, row_number() OVER (ORDER BY rank, id) AS place
            FROM (
                SELECT workspace_id, id, schedule_id, nominal_time, fence, attempts, concurrency_limit, allocation,
                    {RANK} AS rank
                FROM runs
                WHERE workspace_id = lane.workspace_id AND lane = lane.name AND {whose} AND available_at <= :now
                ORDER BY rank LIMIT least(CAST(:limit AS integer), {MOST_OF_LANE})
            ) AS waiting
        ) AS first
        WHERE lane.concurrency_key IS NULL OR first.allocation ->> 'policy' IS NOT NULL
            OR first.place + busy.running <= coalesce(stored.concurrency_limit, first.concurrency_limit)
        """).bindparams(_NOW, bindparam("limit", type_=Integer))  # noqa: S608 (constants of this module and of callers)
    )


_ONE = statement(
    text(f"""
    SELECT run.workspace_id, run.id, run.schedule_id, run.nominal_time, run.attempts, run.allocation, {RANK} AS rank,
        run.concurrency_key AS key, busy.running, stored.rate_limit, stored.rate_period_s,
        coalesce(stored.concurrency_limit, run.concurrency_limit) AS most
    FROM runs AS run
    LEFT JOIN concurrency_keys AS stored USING (workspace_id, concurrency_key)
    CROSS JOIN LATERAL (
        SELECT count(*) AS running
        FROM runs
        WHERE workspace_id = run.workspace_id AND concurrency_key = run.concurrency_key
            AND status = 'running' AND available_at > :now
    ) AS busy
    WHERE run.workspace_id = :workspace_id AND run.id = :id
    """).bindparams(  # noqa: S608 (constants of this module)
        _NOW, bindparam("workspace_id", type_=PgUUID), bindparam("id", type_=PgUUID)
    )
)
_HOLDERS = statement(
    text("""
    SELECT workspace_id, concurrency_key, id, schedule_id, nominal_time
    FROM unnest(CAST(:workspaces AS uuid[]), CAST(:keys AS text[])) AS key (workspace_id, concurrency_key)
    JOIN runs USING (workspace_id, concurrency_key)
    WHERE status = 'running' AND available_at > :now
    """).bindparams(_NOW)
)
_STARTS = statement(
    text("""
    SELECT key.workspace_id, key.name, key.period_s, starts.count
    FROM unnest(CAST(:workspaces AS uuid[]), CAST(:keys AS text[]), CAST(:periods AS integer[]))
        AS key (workspace_id, name, period_s)
    CROSS JOIN LATERAL (
        SELECT count(*) FROM run_starts
        WHERE workspace_id = key.workspace_id AND concurrency_key = key.name
            AND started_at > :now - make_interval(secs => key.period_s)
    ) AS starts
    """).bindparams(_NOW)
)
_TURNS = statement(
    text("""
    SELECT workspace_id, concurrency_key, concurrency_group, served_at
    FROM unnest(CAST(:workspaces AS uuid[]), CAST(:keys AS text[]), CAST(:groups AS text[]))
        AS asked (workspace_id, concurrency_key, concurrency_group)
    JOIN concurrency_turns USING (workspace_id, concurrency_key, concurrency_group)
    """)
)
_POOLS = statement(
    text("""
    SELECT pool.workspace_id, pool.name, pool.units, taken.units AS taken
    FROM unnest(CAST(:workspaces AS uuid[]), CAST(:names AS text[])) AS asked (workspace_id, name)
    JOIN resource_pools AS pool USING (workspace_id, name)
    CROSS JOIN LATERAL (
        SELECT CAST(least(coalesce(sum(CAST(share AS numeric)), 0), 2147483647) AS integer) AS units
        FROM runs CROSS JOIN LATERAL (SELECT allocation -> 'resources' -> asked.name AS share) AS of_pool
        WHERE workspace_id = asked.workspace_id AND allocation IS NOT NULL AND status = 'running'
            AND available_at > :now AND jsonb_typeof(share) = 'number'
    ) AS taken
    """).bindparams(_NOW)
)
_NOTE_STARTS = statement(
    text("""
    INSERT INTO run_starts (workspace_id, concurrency_key, started_at, run_id, fence)
    SELECT workspace_id, concurrency_key, :now, run_id, fence
    FROM unnest(CAST(:workspaces AS uuid[]), CAST(:keys AS text[]), CAST(:ids AS uuid[]), CAST(:fences AS integer[]))
        AS started (workspace_id, concurrency_key, run_id, fence)
    """).bindparams(_NOW)
)
_NOTE_TURNS = statement(
    text("""
    INSERT INTO concurrency_turns (workspace_id, concurrency_key, concurrency_group, served_at)
    SELECT DISTINCT workspace_id, concurrency_key, concurrency_group, CAST(:now AS timestamptz)
    FROM unnest(CAST(:workspaces AS uuid[]), CAST(:keys AS text[]), CAST(:groups AS text[]))
        AS served (workspace_id, concurrency_key, concurrency_group)
    ON CONFLICT (workspace_id, concurrency_key, concurrency_group) DO UPDATE SET served_at = excluded.served_at
    """).bindparams(_NOW)
)


async def choose(
    work: UnitOfWork,
    among: Statement,
    lanes: Sequence[Lane],
    *,
    now: datetime,
    limit: int,
    held: Mapping[UUID, int] | None = None,
    of_statement: Mapping[str, Any] | None = None,
) -> Allotted:
    """Which runs of some lanes start now, and which end for it; the lock is held.

    Args:
        work: The transaction.
        among: A statement of `candidates`.
        lanes: Where to look.
        now: When that is.
        limit: How many start at most.
        held: See `allocation.allot`.
        of_statement: What the condition of the statement asks for.
    """
    rows = await work.fetch(
        among,
        now=now,
        limit=limit,
        workspaces=[lane.workspace_id for lane in lanes],
        lanes=[lane.name for lane in lanes],
        keys=[lane.concurrency_key for lane in lanes],
        **(of_statement or {}),
    )
    runs: list[Candidate] = []
    unreadable: list[tuple[Mapping[str, Any], Exception]] = []
    for row in rows:
        try:
            runs.append(_candidate(row))
        except ValueError as error:
            unreadable.append((row, error))
    usage = await usage_of(work, runs, now=now)
    for row in rows:
        usage.running[row["workspace_id"], row["key"] or ""] = row["running"]
    return replace(allot(runs, usage, limit=limit, held=held), unreadable=unreadable)


async def usage_of(reader: Reader, runs: Sequence[Candidate], *, now: datetime) -> Usage:
    """What is taken of what the runs share, but for how many of a key run; each question only if some run asks it."""
    usage = Usage()
    if keys := {run.keyed for run in runs if run.policy is ConcurrencyPolicy.CANCEL_IN_PROGRESS}:
        holders = defaultdict[tuple[UUID, str], list[Holder]](list)
        for row in await reader.fetch(_HOLDERS, now=now, **_columns(keys, "workspaces", "keys")):
            holders[row["workspace_id"], row["concurrency_key"]].append(
                Holder(row["id"], row["schedule_id"], row["nominal_time"])
            )
        usage.holders = holders
    if rates := {(*run.keyed, run.rate.period_s) for run in runs if run.rate is not None}:
        found = await reader.fetch(_STARTS, now=now, **_columns(rates, "workspaces", "keys", "periods"))
        usage.starts = {(row["workspace_id"], row["name"], row["period_s"]): row["count"] for row in found}
    if groups := {(*run.keyed, run.group) for run in runs if run.policy is ConcurrencyPolicy.ROUND_ROBIN}:
        found = await reader.fetch(_TURNS, **_columns(groups, "workspaces", "keys", "groups"))
        usage.served = {
            (row["workspace_id"], row["concurrency_key"], row["concurrency_group"]): row["served_at"] for row in found
        }
    if pools := {pool for run in runs for pool, _ in run.pools}:
        found = await reader.fetch(_POOLS, now=now, **_columns(pools, "workspaces", "names"))
        usage.units = {(row["workspace_id"], row["name"]): row["units"] for row in found}
        usage.free = {(row["workspace_id"], row["name"]): row["units"] - row["taken"] for row in found}
    return usage


async def wait_reason(reader: Reader, run: Run, *, now: datetime) -> WaitReason | None:
    """What keeps a run from starting; None when nothing does, or it is gone."""
    row = await reader.fetch_one(_ONE, workspace_id=run.workspace_id, id=run.id, now=now)
    if row is None:
        return None
    candidate = _candidate(row)
    usage = await usage_of(reader, [candidate], now=now)
    usage.running[candidate.keyed] = row["running"]
    return allocation.wait_reason(candidate, usage)


async def end_others(work: UnitOfWork, allotted: Allotted, *, now: datetime) -> Sequence[Run]:
    """Cancel what ends so that others can start; returns what has ended."""
    if not allotted.cancelled:
        return []
    of_schedules = {(each.workspace_id, each.schedule_id) for each in allotted.cancelled}
    # As whoever ends runs does: the schedules first.
    _, waiting = await schedules.lock_counts(work, of_schedules)
    ends = [(each.workspace_id, each.id, each.reason) for each in allotted.cancelled]
    ended = await store.cancel_these(work, ends, finished_at=now)
    await store.release(work, list(of_schedules), available_at=now)
    for run in ended:
        work.append(*run_ended(run, now))
    await rearm(work, sorted(waiting & {(run.workspace_id, run.schedule_id) for run in ended}), now)
    return ended


async def note(work: UnitOfWork, allotted: Allotted, claimed: Sequence[Run], *, now: datetime) -> None:
    """Remember what has started of keys with a rate limit, and whose turn it was."""
    started = [(run, allotted.starts[run.id]) for run in claimed if run.id in allotted.starts]
    if rated := [(run.workspace_id, run.concurrency_key, run.id, run.fence) for run, each in started if each.rate]:
        await work.execute(_NOTE_STARTS, now=now, **_columns(rated, "workspaces", "keys", "ids", "fences"))
    turned = [each for _, each in started if each.policy is ConcurrencyPolicy.ROUND_ROBIN]
    if turned:
        groups = {(*each.keyed, each.group) for each in turned}
        await work.execute(_NOTE_TURNS, now=now, **_columns(groups, "workspaces", "keys", "groups"))


def _candidate(row: Mapping[str, Any]) -> Candidate:
    shared = shares_of(row["allocation"])
    if row["rate_limit"] is not None:
        shared["rate"] = RateLimit(row["rate_limit"], row["rate_period_s"])
    return Candidate(
        workspace_id=row["workspace_id"],
        id=row["id"],
        schedule_id=row["schedule_id"],
        nominal_time=row["nominal_time"],
        rank=row["rank"],
        has_begun=row["attempts"] > 0,
        key=row["key"],
        limit=row["most"],
        **shared,
    )


def _columns(rows: Iterable[Sequence[Any]], *names: str) -> dict[str, list[Any]]:
    """Rows as one parameter a column."""
    return dict(zip(names, (list(each) for each in zip(*rows, strict=True)), strict=True))
