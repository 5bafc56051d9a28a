"""The ledger in PostgreSQL: the skipped times, and beside them the runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    cast,
    delete,
    false,
    func,
    literal_column,
    null,
    or_,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import UUID as PgUUID
from sqlalchemy.dialects.postgresql import insert

from rota_scheduler.ledger.domain import Entry
from rota_scheduler.runs.tables import HISTORY, RUNS
from rota_scheduler.schedules.catchup import Skip
from rota_scheduler.schedules.policies import SkipReason

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from typing import Any
    from uuid import UUID

    from rota_chassis.postgres.work import Reader, UnitOfWork

    from rota_scheduler.schedules.domain import Schedule

SKIPS = Table(
    "skips",
    MetaData(),
    Column("workspace_id", PgUUID, primary_key=True),
    Column("schedule_id", PgUUID, primary_key=True),
    Column("nominal_time", DateTime(timezone=True), primary_key=True),
    Column("through", DateTime(timezone=True)),
    Column("reason", Text, nullable=False),
)
_ADD = statement(
    insert(SKIPS).values({column.name: bindparam(column.name) for column in SKIPS.c}).on_conflict_do_nothing()
)


_TAKE = statement(
    delete(SKIPS)
    .where(
        SKIPS.c.workspace_id == bindparam("workspace_id"),
        SKIPS.c.schedule_id == bindparam("schedule_id"),
        SKIPS.c.nominal_time < bindparam("end", type_=DateTime(timezone=True)),
        func.coalesce(SKIPS.c.through, SKIPS.c.nominal_time) >= bindparam("start", type_=DateTime(timezone=True)),
    )
    .returning(SKIPS)
)


def _within(table: Table) -> Any:
    start, end, after = (bindparam(name, type_=DateTime(timezone=True)) for name in ("start", "end", "after"))
    return and_(
        table.c.workspace_id == bindparam("workspace_id"),
        table.c.schedule_id == bindparam("schedule_id"),
        or_(start.is_(None), table.c.nominal_time >= start),
        or_(end.is_(None), table.c.nominal_time < end),
        or_(after.is_(None), table.c.nominal_time > after),
    )


def _none(kind: Any) -> Any:
    return cast(null(), kind)


_LIMIT = bindparam("limit", type_=Integer)
_INSTANT = DateTime(timezone=True)
_SKIPPED = (
    select(
        SKIPS.c.nominal_time,
        SKIPS.c.through,
        SKIPS.c.reason,
        _none(PgUUID).label("run_id"),
        _none(_INSTANT).label("due_at"),
        _none(_INSTANT).label("started_at"),
        false().label("backfilled"),
    )
    .where(_within(SKIPS))
    .order_by(SKIPS.c.nominal_time)
    .limit(_LIMIT)
    .subquery()
)


def _fired(table: Table) -> Any:
    return select(
        select(
            table.c.nominal_time,
            _none(_INSTANT).label("through"),
            case((and_(table.c.status == "cancelled", table.c.started_at.is_(None)), "cancelled")).label("reason"),
            table.c.id.label("run_id"),
            table.c.due_at,
            table.c.started_at,
            table.c.backfilled,
        )
        .where(_within(table), ~table.c.manual)
        .order_by(table.c.nominal_time)
        .limit(_LIMIT)
        .subquery()
    )


_PAGE = statement(
    union_all(select(_SKIPPED), _fired(RUNS), _fired(HISTORY)).order_by(literal_column("nominal_time")).limit(_LIMIT)
)


async def add(work: UnitOfWork, skipped: Sequence[tuple[Schedule, Skip]]) -> None:
    """Write what did not fire."""
    await work.execute_many(
        _ADD,
        [
            {
                "workspace_id": schedule.workspace_id,
                "schedule_id": schedule.id,
                "nominal_time": skip.first,
                "through": None if skip.through == skip.first else skip.through,
                "reason": skip.reason.value,
            }
            for schedule, skip in skipped
        ],
    )


async def take_skips(
    work: UnitOfWork, *, workspace_id: UUID, schedule_id: UUID, start: datetime, end: datetime
) -> Sequence[Skip]:
    """Remove what says of times from `start` on and before `end` that they were skipped, and return it."""
    rows = await work.fetch(_TAKE, workspace_id=workspace_id, schedule_id=schedule_id, start=start, end=end)
    return [Skip(row["nominal_time"], row["through"] or row["nominal_time"], SkipReason(row["reason"])) for row in rows]


async def page(
    reader: Reader,
    *,
    workspace_id: UUID,
    schedule_id: UUID,
    start: datetime | None,
    end: datetime | None,
    after: datetime | None,
    limit: int,
) -> Sequence[Entry]:
    """The oldest entries of a schedule from `start` on and before `end`, at most `limit`, later than `after`."""
    rows = await reader.fetch(
        _PAGE,
        workspace_id=workspace_id,
        schedule_id=schedule_id,
        start=start,
        end=end,
        after=after,
        limit=limit,
    )
    return [Entry(**dict(row)) for row in rows]
