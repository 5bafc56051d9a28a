"""Runs in PostgreSQL, for those who order and read them.

How they are claimed is in `claims`, what holders do with them in `holding`.

A statement that ends runs deletes them from `runs` and writes them to `run_history`, so each is in exactly one of the
two, whoever looks and when. Readers ask both. Older replicas end runs where they are; `runs.history` sweeps those up.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rota_chassis.postgres.statements import statement
from sqlalchemy import (
    Boolean,
    DateTime,
    Integer,
    Table,
    Text,
    and_,
    bindparam,
    cast,
    delete,
    false,
    func,
    literal_column,
    null,
    or_,
    select,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_scheduler.runs.domain import Run, Status
from rota_scheduler.runs.tables import FIELDS, HISTORY, RUNS, by_column, given, run_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from rota_chassis.postgres.work import Reader, UnitOfWork
    from sqlalchemy import CTE, ColumnElement, Select

OTHERS = RUNS.alias("others")
_INSTANT = DateTime(timezone=True)
_LIMIT = bindparam("limit", type_=Integer)
_WORKSPACE = bindparam("workspace_id", type_=PgUUID)
_SCHEDULE = bindparam("schedule_id", type_=PgUUID)


def to_history(ended: CTE) -> Any:
    """The insert of what a deleting statement returns, among it the columns of the history."""
    return insert(HISTORY).from_select(FIELDS, select(*(ended.c[name] for name in FIELDS))).add_cte(ended)


def as_it_ended(**values: Any) -> list[Any]:
    """The columns of a run for the history, some with new values."""
    values = {"available_at": cast(null(), _INSTANT), "buffered": false(), **values}
    return [values.get(each.name, each).label(each.name) for each in RUNS.c]


def _in_both(columns: Sequence[str], where: Callable[[Table], ColumnElement[bool]]) -> Select[Any]:
    either = union_all(*(select(*(table.c[name] for name in columns)).where(where(table)) for table in (RUNS, HISTORY)))
    return select(either.subquery())


def _of_schedule(table: Table) -> ColumnElement[bool]:
    return and_(table.c.workspace_id == _WORKSPACE, table.c.schedule_id == _SCHEDULE)


# All that can be said of a run before it is claimed.
_OF_NEW = (
    *("workspace_id", "id", "schedule_id", "nominal_time", "action", "acts_for", "available_at", "due_at", "buffered"),
    *("manual", "backfilled", "priority", "concurrency_key", "concurrency_limit", "allocation"),
)
_NEW = given("new", **{name: RUNS.c[name].type for name in _OF_NEW})


def _adding(**constants: ColumnElement[Any]) -> Any:
    has_ended = (
        select(literal_column("1"))
        .where(
            HISTORY.c.workspace_id == _NEW.c.workspace_id,
            HISTORY.c.schedule_id == _NEW.c.schedule_id,
            HISTORY.c.nominal_time == _NEW.c.nominal_time,
        )
        .exists()
    )
    return (
        insert(RUNS)
        .from_select(
            (*_OF_NEW, *constants),
            select(*(_NEW.c[name] for name in _OF_NEW), *constants.values()).where(~has_ended),
        )
        .on_conflict_do_nothing(index_elements=[RUNS.c.workspace_id, RUNS.c.schedule_id, RUNS.c.nominal_time])
    )


_ADD = statement(
    _adding(status=literal_column(f"'{Status.PENDING}'"), fence=literal_column("0"), attempts=literal_column("0"))
)
_ADD_CLAIMED = statement(
    _adding(
        status=literal_column(f"'{Status.RUNNING}'"),
        fence=literal_column("1"),
        attempts=literal_column("1"),
        started_at=bindparam("started_at", type_=_INSTANT),
    ).returning(RUNS.c.id)
)
_WAITING = given("schedule", workspace_id=PgUUID(), schedule_id=PgUUID())
_FIRST_BUFFERED = (
    select(OTHERS.c.workspace_id, OTHERS.c.schedule_id, func.min(OTHERS.c.nominal_time).label("nominal_time"))
    .join_from(
        OTHERS,
        _WAITING,
        and_(OTHERS.c.workspace_id == _WAITING.c.workspace_id, OTHERS.c.schedule_id == _WAITING.c.schedule_id),
    )
    .where(OTHERS.c.buffered)
    .group_by(OTHERS.c.workspace_id, OTHERS.c.schedule_id)
    .cte("first_buffered")
)
_RELEASE = statement(
    update(RUNS)
    .where(
        RUNS.c.workspace_id == _FIRST_BUFFERED.c.workspace_id,
        RUNS.c.schedule_id == _FIRST_BUFFERED.c.schedule_id,
        RUNS.c.nominal_time == _FIRST_BUFFERED.c.nominal_time,
        RUNS.c.buffered,
    )
    .where(
        ~select(OTHERS.c.id)
        .where(
            OTHERS.c.workspace_id == RUNS.c.workspace_id,
            OTHERS.c.schedule_id == RUNS.c.schedule_id,
            OTHERS.c.finished_at.is_(None),
            ~OTHERS.c.buffered,
        )
        .exists()
    )
    .values(buffered=false(), available_at=bindparam("available_at", type_=_INSTANT))
)
# Locked in the order of their ids, as renewing locks them.
_CANCELLED = (
    select(RUNS.c.workspace_id, RUNS.c.id)
    .where(_of_schedule(RUNS), RUNS.c.finished_at.is_(None), or_(bindparam("begun", type_=Boolean), RUNS.c.fence == 0))
    .order_by(RUNS.c.id)
    .with_for_update()
    .cte("cancelled")
)
_CANCEL = statement(
    to_history(
        delete(RUNS)
        .where(RUNS.c.workspace_id == _CANCELLED.c.workspace_id, RUNS.c.id == _CANCELLED.c.id)
        .returning(
            *as_it_ended(
                status=literal_column(f"'{Status.CANCELLED}'"),
                finished_at=bindparam("finished_at", type_=_INSTANT),
                error=bindparam("error", type_=Text),
            )
        )
        .cte("ended")
    ).returning(HISTORY)
)
_END = given("end", workspace_id=PgUUID(), id=PgUUID(), error=Text())
_TO_END = (
    select(RUNS.c.workspace_id, RUNS.c.id, _END.c.error)
    .join_from(RUNS, _END, and_(RUNS.c.workspace_id == _END.c.workspace_id, RUNS.c.id == _END.c.id))
    .where(RUNS.c.finished_at.is_(None))
    .order_by(RUNS.c.id)
    .with_for_update(of=RUNS)
    .cte("to_end")
)
_CANCEL_THESE = statement(
    to_history(
        delete(RUNS)
        .where(RUNS.c.workspace_id == _TO_END.c.workspace_id, RUNS.c.id == _TO_END.c.id)
        .returning(
            *as_it_ended(
                status=literal_column(f"'{Status.CANCELLED}'"),
                finished_at=bindparam("finished_at", type_=_INSTANT),
                error=_TO_END.c.error,
            )
        )
        .cte("ended")
    ).returning(*(HISTORY.c[name] for name in FIELDS))
)
_FAIL = statement(
    to_history(
        delete(RUNS)
        .where(
            RUNS.c.workspace_id == _WORKSPACE,
            RUNS.c.id == bindparam("run_id", type_=PgUUID),
            RUNS.c.fence == bindparam("of_fence", type_=Integer),
            RUNS.c.finished_at.is_(None),
        )
        .returning(
            *as_it_ended(
                status=literal_column(f"'{Status.FAILED}'"),
                finished_at=bindparam("finished_at", type_=_INSTANT),
                error=bindparam("error", type_=Text),
            )
        )
        .cte("ended")
    ).returning(*(HISTORY.c[name] for name in FIELDS))
)
_REWRITE = statement(
    update(HISTORY)
    .where(
        HISTORY.c.workspace_id == bindparam("of_workspace", type_=PgUUID),
        HISTORY.c.id == bindparam("of_id", type_=PgUUID),
        HISTORY.c.finished_at == bindparam("ended_at", type_=_INSTANT),
    )
    .values({name: bindparam("of_" + name, type_=HISTORY.c[name].type) for name in ("action", "allocation", "work")})
    .returning(*(HISTORY.c[name] for name in FIELDS))
)
_NOMINAL_TIMES = statement(
    _in_both(
        ["nominal_time"],
        lambda table: and_(
            _of_schedule(table),
            table.c.nominal_time >= bindparam("start", type_=_INSTANT),
            table.c.nominal_time < bindparam("end", type_=_INSTANT),
        ),
    )
)
_UNFINISHED = statement(
    select(
        RUNS.c.schedule_id,
        func.count().filter(~RUNS.c.buffered).label("running"),
        func.count().filter(RUNS.c.buffered).label("buffered"),
    )
    .where(
        RUNS.c.workspace_id == func.any(bindparam("workspace_ids", type_=ARRAY(PgUUID))),
        RUNS.c.schedule_id == func.any(bindparam("schedule_ids", type_=ARRAY(PgUUID))),
        RUNS.c.finished_at.is_(None),
    )
    .group_by(RUNS.c.schedule_id)
)
_GET = statement(
    _in_both(
        FIELDS, lambda table: and_(table.c.workspace_id == _WORKSPACE, table.c.id == bindparam("id", type_=PgUUID))
    )
)
_BEFORE = bindparam("before", type_=_INSTANT)


def _newest(table: Table) -> Any:
    return select(
        select(table)
        .where(_of_schedule(table), or_(_BEFORE.is_(None), table.c.nominal_time < _BEFORE))
        .order_by(table.c.nominal_time.desc())
        .limit(_LIMIT)
        .subquery()
    )


_LIST = statement(
    union_all(_newest(RUNS), _newest(HISTORY)).order_by(literal_column("nominal_time").desc()).limit(_LIMIT)
)


async def add(work: UnitOfWork, runs: Sequence[Run]) -> int:
    """Write new runs of locked schedules; a nominal time of a schedule that has one already keeps it.

    Returns:
        How many are new.
    """
    if not runs:
        return 0
    return await work.execute(_ADD, **{name: [getattr(run, name) for run in runs] for name in _OF_NEW})


async def add_claimed(work: UnitOfWork, runs: Sequence[Run], *, started_at: datetime) -> frozenset[UUID]:
    """Write new runs as claimed, each with its lease in `available_at`; otherwise as `add`.

    Returns:
        The ids of those that are new, and held.
    """
    if not runs:
        return frozenset()
    columns = {name: [getattr(run, name) for run in runs] for name in _OF_NEW}
    return frozenset(row["id"] for row in await work.fetch(_ADD_CLAIMED, **columns, started_at=started_at))


async def add_manual(work: UnitOfWork, run: Run) -> Run:
    """Write a run that somebody starts, and return it; the one that has its id, if there is one.

    Its schedule is locked, so that nobody else adds runs of it meanwhile.
    """
    found = await get(work, workspace_id=run.workspace_id, run_id=run.id)
    if found is not None:
        return found
    while await add(work, [run]) == 0:
        # Another run of the schedule has this very microsecond.
        run = replace(run, nominal_time=run.nominal_time + timedelta(microseconds=1))
    return run


async def get(reader: Reader, *, workspace_id: UUID, run_id: UUID) -> Run | None:
    """A run, ended or not."""
    row = await reader.fetch_one(_GET, workspace_id=workspace_id, id=run_id)
    return None if row is None else run_of(row)


async def unfinished(reader: Reader, schedules: Sequence[tuple[UUID, UUID]]) -> Mapping[UUID, tuple[int, int]]:
    """How many runs of schedules, by (workspace, schedule), have not ended: those that run or may, and the buffered."""
    if not schedules:
        return {}
    workspaces, ids = zip(*schedules, strict=True)
    rows = await reader.fetch(_UNFINISHED, workspace_ids=list(set(workspaces)), schedule_ids=list(ids))
    return {row["schedule_id"]: (row["running"], row["buffered"]) for row in rows}


async def release(work: UnitOfWork, schedules: Sequence[tuple[UUID, UUID]], *, available_at: datetime) -> int:
    """Let the first buffered run of each of the locked schedules, by (workspace, schedule), start if no other runs.

    Returns:
        How many may start.
    """
    if not schedules:
        return 0
    rows = [{"workspace_id": workspace_id, "schedule_id": schedule_id} for workspace_id, schedule_id in schedules]
    return await work.execute(_RELEASE, **by_column(rows), available_at=available_at)


async def cancel(
    work: UnitOfWork, *, workspace_id: UUID, schedule_id: UUID, error: str, finished_at: datetime, begun: bool = True
) -> Sequence[Run]:
    """End every unfinished run of a schedule, whose row is locked; returns them. Their holders are fenced off.

    Unless `begun`, those stay that have been claimed before.
    """
    rows = await work.fetch(
        _CANCEL, workspace_id=workspace_id, schedule_id=schedule_id, error=error, finished_at=finished_at, begun=begun
    )
    return [run_of(row) for row in rows]


async def cancel_these(
    work: UnitOfWork, ends: Sequence[tuple[UUID, UUID, str]], *, finished_at: datetime
) -> Sequence[Run]:
    """End runs, given by workspace, id and what becomes their error, whose schedules are locked; returns them."""
    workspaces, ids, errors = (list(each) for each in zip(*ends, strict=True))
    rows = await work.fetch(_CANCEL_THESE, workspace_id=workspaces, id=ids, error=errors, finished_at=finished_at)
    return [run_of(row) for row in rows]


async def fail(
    work: UnitOfWork, *, workspace_id: UUID, run_id: UUID, fence: int, error: str, finished_at: datetime
) -> Mapping[str, Any] | None:
    """Let a run of this fence fail that has not ended, whose schedule is locked, whatever it holds; its row then."""
    return await work.fetch_one(
        _FAIL, workspace_id=workspace_id, run_id=run_id, of_fence=fence, error=error, finished_at=finished_at
    )


async def rewrite(work: UnitOfWork, row: Mapping[str, Any], changes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Change `action`, `allocation` or `work` of a run that has just ended; its row then."""
    columns = {"of_" + name: changes.get(name, row[name]) for name in ("action", "allocation", "work")}
    ended = {"of_workspace": row["workspace_id"], "of_id": row["id"], "ended_at": row["finished_at"]}
    (found,) = await work.fetch(_REWRITE, **ended, **columns)
    return dict(found)


async def nominal_times(
    reader: Reader, *, workspace_id: UUID, schedule_id: UUID, start: datetime, end: datetime
) -> frozenset[datetime]:
    """The times from `start` on and before `end` for which a schedule has runs."""
    rows = await reader.fetch(_NOMINAL_TIMES, workspace_id=workspace_id, schedule_id=schedule_id, start=start, end=end)
    return frozenset(row["nominal_time"] for row in rows)


async def page(
    reader: Reader, *, workspace_id: UUID, schedule_id: UUID, limit: int, before: datetime | None
) -> Sequence[Run]:
    """The newest runs of a schedule, at most `limit`, with nominal times before `before`."""
    rows = await reader.fetch(_LIST, workspace_id=workspace_id, schedule_id=schedule_id, limit=limit, before=before)
    return [run_of(row) for row in rows]
