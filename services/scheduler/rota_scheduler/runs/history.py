"""The history of runs: its months, how long it is kept, and what older replicas have left in `runs`.

`run_history` has a partition for each month, by the time runs ended. Months are made ahead; what none has been made for
goes to the partition `run_history_rest`, so that no run fails to end, and moves to its month when that is made. A month
is dropped as a whole once all of it is older than the retention. Replicas take turns by an advisory lock, and each step
is a transaction of its own, so one that dies leaves what the next does again.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from rota_chassis.errors import Unavailable
from rota_chassis.logs import logger
from rota_chassis.postgres.statements import statement
from sqlalchemy import DateTime, Integer, bindparam, delete, func, literal_column, select, text, tuple_

from rota_scheduler.runs.store import to_history
from rota_scheduler.runs.tables import FIELDS, HISTORY, RUNS

if TYPE_CHECKING:
    from rota_chassis.clock import Clock
    from rota_chassis.postgres.database import Database
    from rota_chassis.postgres.work import UnitOfWork

EVERY_S = 60.0
MONTHS_AHEAD = 2
_BATCH = 1_000
_REST = "run_history_rest"
_MONTH = "run_history_%Y_%m"
_LOG = logger(__name__)

_LOCK = statement(select(func.pg_try_advisory_xact_lock(literal_column(str(0x526F7461_68697374)))))  # "Rotahist"
_PARTITIONS = statement(
    text(
        """
        SELECT CAST(CAST(inhrelid AS regclass) AS text) AS name
        FROM pg_inherits WHERE inhparent = CAST('run_history' AS regclass)
        """
    )
)
_LIMIT = bindparam("limit", type_=Integer)
_ENDED = (
    select(RUNS.c.workspace_id, RUNS.c.id)
    .where(RUNS.c.finished_at.is_not(None))
    .order_by(RUNS.c.finished_at)
    .limit(_LIMIT)
    .with_for_update(skip_locked=True)
    .cte("to_sweep")
)
_SWEEP = statement(
    to_history(
        delete(RUNS)
        .where(RUNS.c.workspace_id == _ENDED.c.workspace_id, RUNS.c.id == _ENDED.c.id)
        .returning(*(RUNS.c[name] for name in FIELDS))
        .cte("ended")
    )
)
_OLD = (
    select(HISTORY.c.workspace_id, HISTORY.c.id, HISTORY.c.finished_at)
    .where(HISTORY.c.finished_at < bindparam("horizon", type_=DateTime(timezone=True)))
    .limit(_LIMIT)
)
_FORGET = statement(
    delete(HISTORY).where(tuple_(HISTORY.c.workspace_id, HISTORY.c.id, HISTORY.c.finished_at).in_(_OLD))
)

_NOW = bindparam("now", type_=DateTime(timezone=True))
# What is kept for keys beyond the time that it counts for.
_OVER = tuple(
    statement(text(sql).bindparams(_NOW, _LIMIT))
    for sql in (
        """
        DELETE FROM run_starts WHERE ctid = ANY (ARRAY (
            SELECT ctid FROM run_starts WHERE started_at < :now - interval '1 day' LIMIT :limit))
        """,
        """
        DELETE FROM run_uniques WHERE ctid = ANY (ARRAY (
            SELECT ctid FROM run_uniques WHERE until < :now LIMIT :limit)) AND until < :now
        """,
        """
        DELETE FROM concurrency_turns WHERE ctid = ANY (ARRAY (
            SELECT ctid FROM concurrency_turns WHERE served_at < :now - interval '1 day' LIMIT :limit))
            AND served_at < :now - interval '1 day'
        """,
        """
        DELETE FROM run_debounces WHERE ctid = ANY (ARRAY (
            SELECT ctid FROM run_debounces AS known
            WHERE first_at < :now - interval '1 day' AND NOT EXISTS (
                SELECT FROM runs WHERE workspace_id = known.workspace_id AND id = known.run_id)
            LIMIT :limit)) AND first_at < :now - interval '1 day'
        """,
    )
)


async def keep_history(database: Database, clock: Clock, *, days: int) -> None:
    """Do what `tend_history` does, until cancelled."""
    while True:
        try:
            while await tend_history(database, clock, days=days):
                pass
        except Unavailable as error:
            _LOG.warning("history.interrupted", error=repr(error.__cause__ or error))
        await asyncio.sleep(EVERY_S)


async def tend_history(database: Database, clock: Clock, *, days: int) -> bool:
    """Make the months to come, drop those that are over, and sweep up what older replicas have ended.

    What is noted of keys goes as well, once its time is over.

    Args:
        database: Where the runs are.
        clock: Whose time counts.
        days: How long runs are kept after they have ended.

    Returns:
        Whether there is more to do at once.
    """
    now = clock.now()
    months = [_month(now, later) for later in range(MONTHS_AHEAD + 1)]
    for start, end in zip(months, [*months[1:], _month(now, MONTHS_AHEAD + 1)], strict=True):
        await _make_month(database, start, end)
    horizon = now - timedelta(days=days)
    await _drop_months(database, horizon)
    async with database.transaction() as work:
        swept = await work.execute(_SWEEP, limit=_BATCH)
        forgotten = await work.execute(_FORGET, horizon=horizon, limit=_BATCH)
    over = []
    for each in _OVER:
        async with database.transaction() as work:
            over.append(await work.execute(each, now=now, limit=_BATCH))
    return _BATCH in (swept, forgotten, *over)


async def _make_month(database: Database, start: datetime, end: datetime) -> None:
    """Make a month and attach it; both at once would lock out whoever ends runs meanwhile."""
    name = start.strftime(_MONTH)
    bounds = f"FROM ('{start.isoformat()}') TO ('{end.isoformat()}')"
    async with database.transaction() as work:
        if not await work.fetch_value(_LOCK) or name in await _partitions(work):
            return
        run = work.connection.execute
        await run("SET LOCAL lock_timeout = '1s'")
        # Whoever ends a run meanwhile waits for this, and then finds its month; on its way to the rest it is refused.
        await run("LOCK TABLE run_history IN SHARE ROW EXCLUSIVE MODE")
        await run(f"CREATE TABLE {name} (LIKE run_history INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
        await run(
            f"WITH moved AS (DELETE FROM {_REST} WHERE finished_at >= $1 AND finished_at < $2 RETURNING *)"  # noqa: S608
            f" INSERT INTO {name} SELECT * FROM moved",
            start,
            end,
        )
        await run(f"ALTER TABLE run_history ATTACH PARTITION {name} FOR VALUES {bounds}")
    _LOG.info("history.month_made", partition=name)


async def _drop_months(database: Database, horizon: datetime) -> None:
    over = _month(horizon, 0).strftime(_MONTH)
    async with database.transaction() as work:
        if not await work.fetch_value(_LOCK):
            return
        # The names sort as the months do.
        dropped = sorted(name for name in await _partitions(work) if name != _REST and name < over)
        await work.connection.execute("SET LOCAL lock_timeout = '1s'")
        for name in dropped:
            await work.connection.execute(f"DROP TABLE {name}")
    for name in dropped:
        _LOG.info("history.month_dropped", partition=name)


async def _partitions(work: UnitOfWork) -> frozenset[str]:
    return frozenset(row["name"] for row in await work.fetch(_PARTITIONS))


def _month(time: datetime, later: int) -> datetime:
    years, month = divmod(time.month - 1 + later, 12)
    return datetime(time.year + years, month + 1, 1, tzinfo=UTC)
