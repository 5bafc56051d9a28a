"""Runs in PostgreSQL.

What a holder writes is conditional on its fence: no row is touched when the run has been claimed again since.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from rota_chassis.postgres.statements import statement
from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    Integer,
    MetaData,
    Table,
    Text,
    and_,
    bindparam,
    false,
    func,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_scheduler.runs.domain import Run, Status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from rota_chassis.postgres.database import Reader, UnitOfWork

RUNS = Table(
    "runs",
    MetaData(),
    Column("workspace_id", PgUUID, primary_key=True),
    Column("id", PgUUID, primary_key=True),
    Column("schedule_id", PgUUID, nullable=False),
    Column("nominal_time", DateTime(timezone=True), nullable=False),
    Column("action", JSONB, nullable=False),
    Column("acts_for", PgUUID, nullable=False),
    Column("status", Text, nullable=False),
    Column("available_at", DateTime(timezone=True)),
    Column("fence", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("started_at", DateTime(timezone=True)),
    Column("finished_at", DateTime(timezone=True)),
    Column("task_id", PgUUID),
    Column("http_status", Integer),
    Column("error", Text),
    Column("due_at", DateTime(timezone=True)),
    Column("buffered", Boolean, nullable=False),
    Column("manual", Boolean, nullable=False),
    Column("backfilled", Boolean, nullable=False),
    Column("response", Text),
)
OTHERS = RUNS.alias("others")
_FIELDS = tuple(column.name for column in RUNS.c)
_LIMIT = bindparam("limit", type_=Integer)
_HELD = and_(
    RUNS.c.workspace_id == bindparam("workspace_id"),
    RUNS.c.id == bindparam("id"),
    RUNS.c.fence == bindparam("fence"),
    RUNS.c.status == Status.RUNNING.value,
)

_ADD = statement(
    insert(RUNS)
    .values({name: bindparam(name) for name in _FIELDS})
    .on_conflict_do_nothing(index_elements=[RUNS.c.workspace_id, RUNS.c.schedule_id, RUNS.c.nominal_time])
)
_AVAILABLE = (
    select(RUNS.c.workspace_id, RUNS.c.id)
    .where(RUNS.c.available_at <= bindparam("now", type_=DateTime(timezone=True)))
    .order_by(RUNS.c.available_at)
    .limit(_LIMIT)
    .with_for_update(skip_locked=True)
    .cte("available")
)
_CLAIM = statement(
    update(RUNS)
    .where(RUNS.c.workspace_id == _AVAILABLE.c.workspace_id, RUNS.c.id == _AVAILABLE.c.id)
    .values(
        status=Status.RUNNING.value,
        fence=RUNS.c.fence + 1,
        attempts=RUNS.c.attempts + 1,
        available_at=bindparam("lease_until"),
        started_at=func.coalesce(RUNS.c.started_at, bindparam("now", type_=DateTime(timezone=True))),
    )
    .returning(RUNS)
)
_FINISH = statement(
    update(RUNS)
    .where(_HELD)
    .values(
        status=bindparam("outcome"),
        available_at=null(),
        finished_at=bindparam("finished_at"),
        task_id=bindparam("task_id"),
        http_status=bindparam("http_status"),
        error=bindparam("error"),
        response=bindparam("response"),
    )
)
_TRY_AGAIN = statement(
    update(RUNS)
    .where(_HELD)
    .values(
        status=Status.PENDING.value,
        available_at=bindparam("available_at"),
        http_status=bindparam("http_status"),
        error=bindparam("error"),
    )
)
_RETURN = statement(
    update(RUNS)
    .where(_HELD)
    .values(status=Status.PENDING.value, available_at=bindparam("available_at"), attempts=RUNS.c.attempts - 1)
)
_OF_SCHEDULE = and_(RUNS.c.workspace_id == bindparam("workspace_id"), RUNS.c.schedule_id == bindparam("schedule_id"))
_RELEASE = statement(
    update(RUNS)
    .where(_OF_SCHEDULE, RUNS.c.buffered)
    .where(
        RUNS.c.nominal_time
        == select(func.min(OTHERS.c.nominal_time))
        .where(
            OTHERS.c.workspace_id == bindparam("workspace_id"),
            OTHERS.c.schedule_id == bindparam("schedule_id"),
            OTHERS.c.finished_at.is_(None),
            OTHERS.c.buffered,
        )
        .scalar_subquery()
    )
    .where(
        ~select(OTHERS.c.id)
        .where(
            OTHERS.c.workspace_id == bindparam("workspace_id"),
            OTHERS.c.schedule_id == bindparam("schedule_id"),
            OTHERS.c.finished_at.is_(None),
            ~OTHERS.c.buffered,
        )
        .exists()
    )
    .values(buffered=false(), available_at=bindparam("available_at"))
)
# Locked in the order of their ids, as renewing locks them.
_CANCELLED = (
    select(RUNS.c.workspace_id, RUNS.c.id)
    .where(_OF_SCHEDULE, RUNS.c.finished_at.is_(None))
    .order_by(RUNS.c.id)
    .with_for_update()
    .cte("cancelled")
)
_CANCEL = statement(
    update(RUNS)
    .where(RUNS.c.workspace_id == _CANCELLED.c.workspace_id, RUNS.c.id == _CANCELLED.c.id)
    .values(
        status=Status.CANCELLED.value,
        available_at=null(),
        buffered=false(),
        finished_at=bindparam("finished_at", type_=DateTime(timezone=True)),
        error=bindparam("error", type_=Text),
    )
    .returning(RUNS)
)
_NOMINAL_TIMES = statement(
    select(RUNS.c.nominal_time).where(
        _OF_SCHEDULE,
        RUNS.c.nominal_time >= bindparam("start", type_=DateTime(timezone=True)),
        RUNS.c.nominal_time < bindparam("end", type_=DateTime(timezone=True)),
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
_ADD_MANUAL = statement(insert(RUNS).values({name: bindparam(name) for name in _FIELDS}).on_conflict_do_nothing())
_GET = statement(select(RUNS).where(RUNS.c.workspace_id == bindparam("workspace_id"), RUNS.c.id == bindparam("id")))
_RENEW = statement(update(RUNS).where(_HELD).values(available_at=bindparam("lease_until")))
_WHICH_CANCELLED = statement(
    select(RUNS.c.id).where(
        RUNS.c.workspace_id == func.any(bindparam("workspace_ids", type_=ARRAY(PgUUID))),
        RUNS.c.id == func.any(bindparam("ids", type_=ARRAY(PgUUID))),
        RUNS.c.status == Status.CANCELLED.value,
    )
)
_NEXT = statement(select(func.min(RUNS.c.available_at)).where(RUNS.c.available_at.is_not(None)))
_BEFORE = bindparam("before", type_=DateTime(timezone=True))
_LIST = statement(
    select(RUNS)
    .where(
        RUNS.c.workspace_id == bindparam("workspace_id"),
        RUNS.c.schedule_id == bindparam("schedule_id"),
        or_(_BEFORE.is_(None), RUNS.c.nominal_time < _BEFORE),
    )
    .order_by(RUNS.c.nominal_time.desc())
    .limit(_LIMIT)
)


async def add(work: UnitOfWork, runs: Sequence[Run]) -> None:
    """Write new runs; a nominal time of a schedule that has one already keeps it."""
    await work.execute_many(
        _ADD,
        [{name: getattr(run, name) for name in _FIELDS} for run in runs],
    )


async def add_manual(work: UnitOfWork, run: Run) -> Run:
    """Write a run that somebody starts, and return it; the one that has its id, if there is one."""
    while await work.execute(_ADD_MANUAL, **{name: getattr(run, name) for name in _FIELDS}) == 0:
        row = await work.fetch_one(_GET, workspace_id=run.workspace_id, id=run.id)
        if row is not None:
            return _run(row)
        # Another run of the schedule has this very microsecond.
        run = replace(run, nominal_time=run.nominal_time + timedelta(microseconds=1))
    return run


async def unfinished(reader: Reader, schedules: Sequence[tuple[UUID, UUID]]) -> Mapping[UUID, tuple[int, int]]:
    """How many runs of schedules, by (workspace, schedule), have not ended: those that run or may, and the buffered."""
    if not schedules:
        return {}
    workspaces, ids = zip(*schedules, strict=True)
    rows = await reader.fetch(_UNFINISHED, workspace_ids=list(set(workspaces)), schedule_ids=list(ids))
    return {row["schedule_id"]: (row["running"], row["buffered"]) for row in rows}


async def release(work: UnitOfWork, *, workspace_id: UUID, schedule_id: UUID, available_at: datetime) -> None:
    """Let the oldest buffered run of a schedule start, if no other is left unfinished."""
    await work.execute(_RELEASE, workspace_id=workspace_id, schedule_id=schedule_id, available_at=available_at)


async def cancel(
    work: UnitOfWork, *, workspace_id: UUID, schedule_id: UUID, error: str, finished_at: datetime
) -> Sequence[Run]:
    """End every unfinished run of a schedule, whose row is locked; returns them. Their holders are fenced off."""
    rows = await work.fetch(
        _CANCEL, workspace_id=workspace_id, schedule_id=schedule_id, error=error, finished_at=finished_at
    )
    return [_run(row) for row in rows]


async def nominal_times(
    reader: Reader, *, workspace_id: UUID, schedule_id: UUID, start: datetime, end: datetime
) -> frozenset[datetime]:
    """The times from `start` on and before `end` for which a schedule has runs."""
    rows = await reader.fetch(_NOMINAL_TIMES, workspace_id=workspace_id, schedule_id=schedule_id, start=start, end=end)
    return frozenset(row["nominal_time"] for row in rows)


async def claim(work: UnitOfWork, *, now: datetime, lease_until: datetime, limit: int) -> Sequence[Run]:
    """Take at most `limit` runs that are available and that nobody else is taking, over all workspaces."""
    return [_run(row) for row in await work.fetch(_CLAIM, now=now, lease_until=lease_until, limit=limit)]


async def finish(work: UnitOfWork, run: Run) -> bool:
    """Write the end of a run that is held with `run.fence`; returns whether it still was."""
    touched = await work.execute(
        _FINISH,
        workspace_id=run.workspace_id,
        id=run.id,
        fence=run.fence,
        outcome=run.status,
        finished_at=run.finished_at,
        task_id=run.task_id,
        http_status=run.http_status,
        error=run.error,
        response=run.response,
    )
    return touched == 1


async def try_again(work: UnitOfWork, run: Run, *, available_at: datetime, error: str, http_status: int | None) -> bool:
    """Make a held run pending again after a failure; returns whether it still was held."""
    touched = await work.execute(
        _TRY_AGAIN,
        workspace_id=run.workspace_id,
        id=run.id,
        fence=run.fence,
        available_at=available_at,
        error=error,
        http_status=http_status,
    )
    return touched == 1


async def renew(work: UnitOfWork, runs: Sequence[Run], *, lease_until: datetime) -> None:
    """Prolong the leases of those of the runs that are still held."""
    await work.execute_many(
        _RENEW,
        [
            {"workspace_id": run.workspace_id, "id": run.id, "fence": run.fence, "lease_until": lease_until}
            for run in sorted(runs, key=attrgetter("id"))
        ],
    )


async def cancelled(reader: Reader, runs: Sequence[Run]) -> frozenset[UUID]:
    """The ids of those of the runs that have been cancelled."""
    rows = await reader.fetch(
        _WHICH_CANCELLED, workspace_ids=list({run.workspace_id for run in runs}), ids=[run.id for run in runs]
    )
    return frozenset(row["id"] for row in rows)


async def give_back(work: UnitOfWork, runs: Sequence[Run], *, available_at: datetime) -> None:
    """Make held runs pending again as if they had not been claimed; those no longer held stay as they are."""
    await work.execute_many(
        _RETURN,
        [
            {"workspace_id": run.workspace_id, "id": run.id, "fence": run.fence, "available_at": available_at}
            for run in runs
        ],
    )


async def next_available(reader: Reader) -> datetime | None:
    """When the next run can be claimed, over all workspaces."""
    found: datetime | None = await reader.fetch_value(_NEXT)
    return found


async def page(
    reader: Reader, *, workspace_id: UUID, schedule_id: UUID, limit: int, before: datetime | None
) -> Sequence[Run]:
    """The newest runs of a schedule, at most `limit`, with nominal times before `before`."""
    rows = await reader.fetch(_LIST, workspace_id=workspace_id, schedule_id=schedule_id, limit=limit, before=before)
    return [_run(row) for row in rows]


def _run(row: Mapping[str, Any]) -> Run:
    values = {name: row[name] for name in _FIELDS}
    return Run(**values | {"status": Status(values["status"])})
