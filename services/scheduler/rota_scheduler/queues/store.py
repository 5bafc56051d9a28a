"""Jobs in PostgreSQL: what workers claim, and keep. How they end is as with all runs (`runs.completions`).

The column `queue` of `runs` is made of the action by the database; it is NULL for whatever is no job.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota_chassis.postgres.statements import statement
from sqlalchemy import DateTime, Integer, bindparam, func, literal_column, text, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_scheduler.actions.retries import RetryPolicy
from rota_scheduler.runs import allotting
from rota_scheduler.runs.allocation import Allotted
from rota_scheduler.runs.allotting import LANES_AT_ONCE, ONE_AT_A_TIME, Lane
from rota_scheduler.runs.claims import allotted_columns, chosen, claiming, open_by_rank
from rota_scheduler.runs.domain import Status
from rota_scheduler.runs.messages import task_runs_started
from rota_scheduler.runs.tables import FIELDS, RUNS, run_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from rota_chassis.postgres.work import Reader, UnitOfWork

    from rota_scheduler.runs.domain import Run

Place = tuple[UUID, str]
"""A workspace, and the name of a queue in it."""
MOST_WOKEN = 100
_OF_QUEUE = "workspace_id = CAST(:workspace_id AS uuid) AND queue = CAST(:queue AS text)"
_LIMIT = bindparam("limit", type_=Integer)
_NOW = bindparam("now", type_=DateTime(timezone=True))

_CLAIM = statement(claiming(chosen(open_by_rank(_OF_QUEUE)), work=bindparam("said", type_=JSONB)))
_CANDIDATES = allotting.candidates(_OF_QUEUE)
_LANES = statement(
    text(f"""
    WITH RECURSIVE lanes AS (
        (
            SELECT lane, concurrency_key
            FROM runs
            WHERE {_OF_QUEUE} AND lane IS NOT NULL AND lane > CAST(:lane AS text)
            ORDER BY lane LIMIT 1
        )
        UNION ALL
        SELECT later.lane, later.concurrency_key
        FROM lanes
        CROSS JOIN LATERAL (
            SELECT lane, concurrency_key
            FROM runs
            WHERE {_OF_QUEUE} AND lane IS NOT NULL AND lane > lanes.lane
            ORDER BY lane LIMIT 1
        ) AS later
    )
    SELECT lane, concurrency_key FROM lanes LIMIT :limit
    """).bindparams(_LIMIT)  # noqa: S608 (constants of this module)
)
_KEEP = statement(
    update(RUNS)
    .where(
        RUNS.c.workspace_id == bindparam("workspace_id", type_=PgUUID),
        RUNS.c.id == bindparam("id", type_=PgUUID),
        RUNS.c.fence == bindparam("fence", type_=Integer),
        RUNS.c.status == literal_column(f"'{Status.RUNNING}'"),
    )
    .values(
        available_at=_NOW + func.make_interval(0, 0, 0, 0, 0, 0, RUNS.c.work["lease_s"].as_integer()),
        work=RUNS.c.work.op("||")(bindparam("said", type_=JSONB)),
    )
    .returning(RUNS.c.available_at)
)
# Read by `runs_held`. What nobody could read of the policy counts as absent.
_TAKE_SPENT = statement(
    text(f"""
    UPDATE runs SET fence = fence + 1, available_at = :lease_until
    FROM (
        SELECT workspace_id, id FROM runs
        WHERE queue IS NOT NULL AND status = 'running' AND available_at > :since AND available_at <= :until
            AND attempts >= CASE jsonb_typeof(action #> '{{retry,max_attempts}}')
                WHEN 'number' THEN CAST(action #>> '{{retry,max_attempts}}' AS numeric)
                ELSE {RetryPolicy().max_attempts} END
        ORDER BY available_at LIMIT :limit
        FOR UPDATE SKIP LOCKED
    ) AS spent
    WHERE runs.workspace_id = spent.workspace_id AND runs.id = spent.id
    RETURNING {", ".join(f"runs.{name}" for name in FIELDS)}
    """).bindparams(  # noqa: S608 (constants)
        _LIMIT, *(bindparam(name, type_=DateTime(timezone=True)) for name in ("since", "until", "lease_until"))
    )
)
# Of each queue no more than are woken; the two indexes of jobs, one after the other.
_LOOK = statement(
    text(f"""
    SELECT place.workspace_id, place.queue, least(open.available + keyed.available, {MOST_WOKEN}) AS available,
        least(open.next_at, keyed.next_at) AS next_at
    FROM unnest(CAST(:workspaces AS uuid[]), CAST(:queues AS text[])) AS place (workspace_id, queue)
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE available_at <= :now) AS available,
            min(available_at) FILTER (WHERE available_at > :now) AS next_at
        FROM (
            SELECT available_at FROM runs
            WHERE workspace_id = place.workspace_id AND queue = place.queue AND lane IS NULL
                AND available_at IS NOT NULL
            ORDER BY (date_part('epoch', available_at - to_timestamp(0)) - priority * 6) LIMIT {MOST_WOKEN}
        ) AS first
    ) AS open
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE available_at <= :now) AS available,
            min(available_at) FILTER (WHERE available_at > :now) AS next_at
        FROM (
            SELECT available_at FROM runs
            WHERE workspace_id = place.workspace_id AND queue = place.queue AND lane IS NOT NULL
                AND available_at <= :now
            LIMIT {MOST_WOKEN}
        ) AS first
    ) AS keyed
    """).bindparams(_NOW)  # noqa: S608 (constants of this module)
)
_LIST = statement(
    text("""
    SELECT queue,
        count(*) FILTER (WHERE status = 'pending' AND available_at <= :now) AS waiting,
        count(*) FILTER (WHERE status = 'running') AS running,
        count(*) FILTER (WHERE status = 'pending' AND (available_at > :now OR available_at IS NULL)) AS delayed
    FROM (
        SELECT queue, status, available_at FROM runs
        WHERE workspace_id = :workspace_id AND queue > :after AND lane IS NULL
        UNION ALL
        SELECT queue, status, available_at FROM runs
        WHERE workspace_id = :workspace_id AND queue > :after AND lane IS NOT NULL
    ) AS jobs
    GROUP BY queue ORDER BY queue LIMIT :limit
    """).bindparams(_NOW, _LIMIT)
)


@dataclass(frozen=True, slots=True)
class Claimed:
    """Jobs that are now held.

    Attributes:
        lane: The last lane that was looked at; None after the last of all.
        ended: Runs that were cancelled so that others can start.
        contended: Whether somebody else was just claiming runs that share something, so that none of those could be.
    """

    runs: Sequence[Run]
    lane: str | None
    ended: Sequence[Run]
    contended: bool


@dataclass(frozen=True, slots=True)
class Taken:
    """What `take` has found, as `begin` needs it.

    Attributes:
        rows: Of the jobs that are now held; nobody has looked at what they hold.
        allotted: Which of them share something.
        claimed: All else that `begin` returns.
    """

    rows: Sequence[Mapping[str, Any]]
    allotted: Allotted
    claimed: Claimed


@dataclass(frozen=True, slots=True)
class Found:
    """What is in a queue.

    Attributes:
        available: How many jobs may be claimed, as far as their keys let them; at most `MOST_WOKEN`.
        next_at: When the next may be.
    """

    place: Place
    available: int
    next_at: datetime | None


async def take(
    work: UnitOfWork, place: Place, *, now: datetime, limit: int, said: Mapping[str, Any], after: str
) -> Taken:
    """Take at most `limit` jobs of a queue that are available and that nobody else is taking (see `runs.claims.take`).

    Args:
        work: The transaction.
        place: The queue.
        now: When that is.
        limit: How many at most.
        said: What becomes `work` of the runs; it has `lease_s`.
        after: Look at lanes after this one.
    """
    workspace_id, queue = place
    of_queue = {"workspace_id": workspace_id, "queue": queue}
    found = await work.fetch(_LANES, **of_queue, lane=after, limit=LANES_AT_ONCE)
    lanes = [Lane(workspace_id, row["lane"], row["concurrency_key"]) for row in found]
    # As those who execute do: one after the other, so that each sees what the others have claimed.
    mine = bool(lanes) and await work.fetch_value(ONE_AT_A_TIME)
    allotted = Allotted()
    ended: Sequence[Run] = ()
    if mine:
        allotted = await allotting.choose(work, _CANDIDATES, lanes, now=now, limit=limit, of_statement=of_queue)
        ended = await allotting.end_others(work, allotted, now=now)
    rows = await work.fetch(
        _CLAIM,
        now=now,
        lease_until=now + timedelta(seconds=said["lease_s"]),
        limit=limit,
        said=said,
        **of_queue,
        **allotted_columns(allotted),
    )
    lane = lanes[-1].name if len(lanes) == LANES_AT_ONCE else None
    return Taken(rows, allotted, Claimed((), lane, ended, contended=bool(lanes) and not mine))


async def begin(work: UnitOfWork, taken: Taken, *, now: datetime) -> Claimed:
    """The jobs that were taken; tasks are told of those of their actions that begin by it."""
    runs = [run_of(row) for row in taken.rows]
    work.append(*task_runs_started(runs))
    await allotting.note(work, taken.allotted, runs, now=now)
    return replace(taken.claimed, runs=runs)


async def keep(work: UnitOfWork, run: Run, *, fence: int, now: datetime, said: Mapping[str, Any]) -> datetime | None:
    """Prolong the lease of a job that is held with a fence; until when, None when it is not."""
    until: datetime | None = await work.fetch_value(
        _KEEP, workspace_id=run.workspace_id, id=run.id, fence=fence, now=now, said=said
    )
    return until


async def take_spent(
    work: UnitOfWork, *, since: datetime, until: datetime, lease_until: datetime, limit: int
) -> Sequence[Mapping[str, Any]]:
    """Take the jobs without attempts left whose leases ended after `since` and up to `until`, the earliest first.

    That is no attempt; the next fence keeps whoever had them from saying more.
    """
    return await work.fetch(_TAKE_SPENT, since=since, until=until, lease_until=lease_until, limit=limit)


async def look(reader: Reader, places: Sequence[Place], *, now: datetime) -> Sequence[Found]:
    """What is in queues."""
    if not places:
        return []
    rows = await reader.fetch(
        _LOOK, workspaces=[each for each, _ in places], queues=[each for _, each in places], now=now
    )
    return [Found((row["workspace_id"], row["queue"]), row["available"], row["next_at"]) for row in rows]


async def counts(
    reader: Reader, *, workspace_id: UUID, now: datetime, limit: int, after: str
) -> Sequence[Mapping[str, Any]]:
    """`queue`, `waiting`, `running` and `delayed` of the queues of a workspace by name, at most `limit`, after one."""
    return await reader.fetch(_LIST, workspace_id=workspace_id, now=now, limit=limit, after=after)
