"""How runs are claimed in PostgreSQL, in batches, and when there will be some to claim.

What their holders do with them then is `holding`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota_chassis.postgres.statements import statement
from sqlalchemy import (
    DateTime,
    Integer,
    bindparam,
    func,
    literal_column,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_scheduler.runs import allotting
from rota_scheduler.runs.allocation import Allotted
from rota_scheduler.runs.allotting import LANES_AT_ONCE, ONE_AT_A_TIME, Lane
from rota_scheduler.runs.domain import Status
from rota_scheduler.runs.messages import task_runs_started
from rota_scheduler.runs.tables import RANK, RUNS, run_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from rota_chassis.postgres.work import Reader, UnitOfWork
    from sqlalchemy import CTE, ColumnElement

    from rota_scheduler.runs.domain import Run

FROM_THE_FIRST = UUID(int=0)
_NEXT_OF = 100
_WORKSPACES_AT_ONCE = 100
_INSTANT = DateTime(timezone=True)
_NOW = bindparam("now", type_=_INSTANT)
_LIMIT = bindparam("limit", type_=Integer)
_PENDING: ColumnElement[str] = literal_column(f"'{Status.PENDING}'")
_RUNNING: ColumnElement[str] = literal_column(f"'{Status.RUNNING}'")
_RANK: ColumnElement[float] = literal_column(RANK)

# Jobs are claimed by workers from outside. The columns are made of others, by the database.
_NO_JOB = "queue IS NULL"
_OPEN = select(RUNS.c.workspace_id, RUNS.c.id, _RANK.label("rank")).where(
    text("lane IS NULL"), text(_NO_JOB), RUNS.c.available_at <= _NOW
)
_AVAILABLE = _OPEN.order_by(_RANK).limit(_LIMIT).with_for_update(skip_locked=True).cte("available")


def open_by_rank(whose: str) -> str:
    """The query of runs that share nothing, those of the condition `whose` on the columns, the first by rank."""
    return f"""
        SELECT workspace_id, id, 0 AS turn, {RANK} AS rank
        FROM runs
        WHERE lane IS NULL AND {whose} AND available_at <= :now
        ORDER BY rank LIMIT :limit
        FOR UPDATE SKIP LOCKED
    """  # noqa: S608 (constants of this module and of the queues')


# The first of each of the given workspaces, by turn. Locked where they are found, so that who claims at the same time
# takes the next of each. What is not pending is left to the others. Written as a range, the order is that of one index
# alone, `runs_of_workspace`, whatever PostgreSQL knows of the table.
_OPEN_BY_TURN = f"""
    SELECT workspace.id AS workspace_id, each.id, each.rank,
        CAST(workspace.held + row_number() OVER (PARTITION BY workspace.id ORDER BY each.rank) AS integer) AS turn
    FROM unnest(CAST(:workspace_ids AS uuid[]), CAST(:held AS integer[])) AS workspace (id, held)
    CROSS JOIN LATERAL (
        SELECT id, {RANK} AS rank
        FROM runs
        WHERE workspace_id BETWEEN workspace.id AND workspace.id AND lane IS NULL AND {_NO_JOB}
            AND status = 'pending' AND available_at <= :now
        ORDER BY workspace_id, rank LIMIT :of_each
        FOR UPDATE SKIP LOCKED
    ) AS each
"""  # noqa: S608 (constants of this module)


def chosen(available: str) -> CTE:
    """Which runs to claim: of what a query finds that share nothing, and of those that were allotted, the first."""
    return (
        text(f"""
    WITH available AS ({available}), allotted AS (
        SELECT workspace_id, id, turn, rank
        FROM unnest(
            CAST(:allotted_workspaces AS uuid[]), CAST(:allotted AS uuid[]), CAST(:turns AS integer[]),
            CAST(:ranks AS double precision[])
        ) AS allotted (workspace_id, id, turn, rank)
    )
    SELECT workspace_id, id
    FROM (SELECT * FROM available UNION ALL SELECT * FROM allotted) AS either
    ORDER BY turn, rank LIMIT :limit
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
            # As it was. PostgreSQL (18) reads the expressions of generated columns anew for each row, a fourth of the
            # claim's time, unless one of them is made of a column that is set.
            concurrency_key=RUNS.c.concurrency_key,
            **values,
        )
        .returning(RUNS)
    )


def allotted_columns(allotted: Allotted) -> dict[str, Any]:
    """The parameters of `chosen` for runs that share something."""
    runs = allotted.starts.values()
    return {
        "allotted_workspaces": [run.workspace_id for run in runs],
        "allotted": [run.id for run in runs],
        "turns": [run.turn for run in runs],
        "ranks": [run.rank for run in runs],
    }


_CLAIM = statement(claiming(_AVAILABLE))
_CLAIM_EITHER = statement(claiming(chosen(open_by_rank(_NO_JOB))))
_CLAIM_BY_TURN = statement(claiming(chosen(_OPEN_BY_TURN)))
_CANDIDATES = allotting.candidates(_NO_JOB)
_LANES = statement(
    text(f"""
    WITH RECURSIVE lanes AS (
        (
            SELECT workspace_id, lane, concurrency_key
            FROM runs
            WHERE lane IS NOT NULL AND {_NO_JOB}
                AND (workspace_id, lane) > (CAST(:workspace_id AS uuid), CAST(:lane AS text))
            ORDER BY workspace_id, lane LIMIT 1
        )
        UNION ALL
        SELECT later.workspace_id, later.lane, later.concurrency_key
        FROM lanes
        CROSS JOIN LATERAL (
            SELECT workspace_id, lane, concurrency_key
            FROM runs
            WHERE lane IS NOT NULL AND {_NO_JOB} AND (workspace_id, lane) > (lanes.workspace_id, lanes.lane)
            ORDER BY workspace_id, lane LIMIT 1
        ) AS later
    )
    SELECT workspace_id, lane, concurrency_key FROM lanes LIMIT :limit
    """).bindparams(_LIMIT)  # noqa: S608 (constants of this module)
)
_OF_WORKSPACES = f"lane IS NULL AND {_NO_JOB} AND status = 'pending' AND available_at IS NOT NULL"
_WORKSPACES = statement(
    text(f"""
    WITH RECURSIVE workspaces AS (
        (
            SELECT workspace_id
            FROM runs
            WHERE {_OF_WORKSPACES} AND workspace_id > CAST(:after AS uuid)
            ORDER BY workspace_id LIMIT 1
        )
        UNION ALL
        SELECT later.workspace_id
        FROM workspaces
        CROSS JOIN LATERAL (
            SELECT workspace_id
            FROM runs
            WHERE {_OF_WORKSPACES} AND workspace_id > workspaces.workspace_id
            ORDER BY workspace_id LIMIT 1
        ) AS later
    )
    SELECT workspace_id FROM workspaces LIMIT :limit
    """).bindparams(_LIMIT)  # noqa: S608 (constants of this module)
)

_SOON = (
    select(RUNS.c.available_at)
    .where(RUNS.c.available_at.is_not(None), text("lane IS NULL"), text(_NO_JOB))
    .order_by(_RANK)
    .limit(_NEXT_OF)
    .subquery()
)
_NEXT = statement(select(func.min(_SOON.c.available_at)))
_FIRST = statement(select(func.min(RUNS.c.available_at)).where(RUNS.c.available_at.is_not(None), text(_NO_JOB)))


@dataclass(frozen=True, slots=True)
class Backlog:
    """More runs wait than there is room for; the workspaces take turns.

    Attributes:
        held: How many runs of each workspace the process has already.
        after: Look at workspaces after this one.
    """

    held: Mapping[UUID, int]
    after: UUID = FROM_THE_FIRST


@dataclass(frozen=True, slots=True)
class Claimed:
    """Runs that are now held.

    Attributes:
        lane: The last lane that was looked at, by workspace and name; None after the last of all.
        workspace: The last workspace that was looked at; `FROM_THE_FIRST` after the last of all.
        ended: Runs that were cancelled so that others can start.
        full: Whether they are as many as were asked for.
        waiting: The workspaces that were looked at, as they had runs to claim; none when the claim was by rank.
    """

    runs: Sequence[Run]
    lane: tuple[UUID, str] | None
    workspace: UUID
    ended: Sequence[Run]
    full: bool
    waiting: Sequence[UUID] = ()

    @property
    def more(self) -> bool:
        """Whether there may be more to claim."""
        return self.full or self.lane is not None


@dataclass(frozen=True, slots=True)
class Taken:
    """What `take` has found, as `begin` needs it.

    Attributes:
        rows: Of the runs that are now held; nobody has looked at what they hold.
        allotted: Which of them share something.
        claimed: All else that `begin` returns.
    """

    rows: Sequence[Any]
    allotted: Allotted
    claimed: Claimed


async def claim(work: UnitOfWork, **how: Any) -> Claimed:
    """Take runs (see `take`) and begin them, in one go."""
    return await begin(work, await take(work, **how), now=how["now"])


async def take(
    work: UnitOfWork,
    *,
    now: datetime,
    lease_until: datetime,
    limit: int,
    after: tuple[UUID, str] | None = None,
    backlog: Backlog | None = None,
) -> Taken:
    """Take at most `limit` runs that are available and that nobody else is taking, over all workspaces, jobs left out.

    First those that have waited longest, priority counted in; in a backlog the workspaces take turns, and within each
    that is so. Of runs that share something only as many as can; `LANES_AT_ONCE` lanes are looked at, those after
    `after`.
    """
    workspace_id, name = after or (FROM_THE_FIRST, "")
    found = await work.fetch(_LANES, workspace_id=workspace_id, lane=name, limit=LANES_AT_ONCE)
    lanes = [Lane(row["workspace_id"], row["lane"], row["concurrency_key"]) for row in found]
    allotted = Allotted()
    ended: Sequence[Run] = ()
    # One after the other, so that each sees what the others have claimed.
    if lanes and await work.fetch_value(ONE_AT_A_TIME):
        held = backlog.held if backlog else None
        allotted = await allotting.choose(work, _CANDIDATES, lanes, now=now, limit=limit, held=held)
        ended = await allotting.end_others(work, allotted, now=now)
    claiming_at = {"now": now, "lease_until": lease_until}
    waiting, rows = list[UUID](), list[Any]()
    if backlog is not None:
        waiting, rows = await _claim_by_turn(work, backlog, allotted, limit=limit, **claiming_at)
    elif allotted.starts:
        rows = list(await work.fetch(_CLAIM_EITHER, limit=limit, **claiming_at, **allotted_columns(allotted)))
    if len(rows) < limit and (backlog is not None or not allotted.starts):
        rows += await work.fetch(_CLAIM, limit=limit - len(rows), **claiming_at)
    lane = (lanes[-1].workspace_id, lanes[-1].name) if len(lanes) == LANES_AT_ONCE else None
    last = waiting[-1] if len(waiting) == _WORKSPACES_AT_ONCE else FROM_THE_FIRST
    return Taken(rows, allotted, Claimed((), lane, last, ended, full=len(rows) == limit, waiting=waiting))


async def begin(work: UnitOfWork, taken: Taken, *, now: datetime) -> Claimed:
    """The runs that were taken; tasks are told of those of their actions that begin by it."""
    runs = [run_of(row) for row in taken.rows]
    work.append(*task_runs_started(runs))
    if taken.allotted.starts:
        await allotting.note(work, taken.allotted, runs, now=now)
    return replace(taken.claimed, runs=runs)


async def _claim_by_turn(
    work: UnitOfWork, backlog: Backlog, allotted: Allotted, *, limit: int, now: datetime, lease_until: datetime
) -> tuple[list[UUID], list[Any]]:
    """The workspaces that were looked at, and the rows of what is now held."""
    # Of a table that has just been filled PostgreSQL does not know yet how much a sort would cost.
    await work.connection.execute("SET LOCAL enable_sort = off")
    found = await work.fetch(_WORKSPACES, after=backlog.after, limit=_WORKSPACES_AT_ONCE)
    workspaces = [row["workspace_id"] for row in found]
    rows = await work.fetch(
        _CLAIM_BY_TURN,
        now=now,
        lease_until=lease_until,
        limit=limit,
        of_each=-(-limit // max(len(workspaces), 1)),
        workspace_ids=workspaces,
        held=[backlog.held.get(each, 0) for each in workspaces],
        **allotted_columns(allotted),
    )
    return workspaces, list(rows)


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
