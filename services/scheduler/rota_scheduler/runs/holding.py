"""What holders do with runs in PostgreSQL: keep them, have them tried again, give them back.

How they end them is in `finishing`.

Whatever a holder writes is conditional on its fence: a run that has been claimed again since, or ended, stays as it is.
All of it is in batches, one statement for many runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota_chassis.postgres.statements import statement
from sqlalchemy import DateTime, Integer, Text, and_, bindparam, case, literal_column, null, select, update
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_scheduler.runs.domain import Status
from rota_scheduler.runs.tables import RUNS, given

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from rota_chassis.postgres.work import UnitOfWork
    from sqlalchemy import ColumnElement

    from rota_scheduler.runs.domain import Run

_INSTANT = DateTime(timezone=True)
_PENDING: ColumnElement[str] = literal_column(f"'{Status.PENDING}'")
_RUNNING: ColumnElement[str] = literal_column(f"'{Status.RUNNING}'")


def held_by(holder: Any) -> Any:
    """The condition that a run has the fence of its holder."""
    return and_(
        RUNS.c.workspace_id == holder.c.workspace_id,
        RUNS.c.id == holder.c.id,
        RUNS.c.fence == holder.c.fence,
        RUNS.c.status == _RUNNING,
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
    .where(held_by(_FAILURE))
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
    .join_from(RUNS, _HOLDER, held_by(_HOLDER))
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
    return frozenset(row["id"] for row in await work.fetch(_RENEW, **holders(runs), lease_until=lease_until))


async def give_back(work: UnitOfWork, runs: Sequence[Run], *, available_at: datetime) -> int:
    """Make held runs pending again as if they had not been claimed; those no longer held stay as they are.

    Returns:
        How many still were held.
    """
    return await work.execute(_GIVE_BACK, **holders(runs), available_at=available_at) if runs else 0


def holders(runs: Sequence[Run]) -> dict[str, list[Any]]:
    """The parameters of whom runs are held by, for `held_by`."""
    return {name: [getattr(run, name) for run in runs] for name in ("workspace_id", "id", "fence")}
