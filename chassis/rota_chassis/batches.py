"""Handling due rows in batches, so that one that cannot be handled does not stop the others.

A batch is one transaction. When it fails for what a row holds, it is undone and half of it is tried, until it succeeds
or one row is left. That one is set aside, in a transaction of its own: it does not come again by itself, and whoever
may repair it finds its key and what went wrong in the log (`row.set_aside`) and in `rota_rows_set_aside_total`.

What the server is at fault for, or the release that runs on it, is raised: it sets nothing aside. Two replicas that
fail at one row both set it aside, and the second finds it done: `SetAside` changes a row only while it is as it was
taken. A process that dies in between leaves the row as it was.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import asyncpg

from rota_chassis.errors import Unavailable
from rota_chassis.logs import logger
from rota_chassis.telemetry import ROWS_SET_ASIDE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from rota_chassis.postgres.database import Database
    from rota_chassis.postgres.work import UnitOfWork

Done = TypeVar("Done")

_REASON_AT_MOST = 500
_OF_DATA = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, asyncpg.ProgramLimitExceededError)
_LOG = logger(__name__)


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a row is set aside.

    Attributes:
        reason: What went wrong.
        is_told: Whether events say so as well; they do not when these cannot be written either.
    """

    reason: str
    is_told: bool = True


class SetAside(Protocol):
    """Sees to it that a row does not come again, if it still is as it was taken."""

    async def __call__(self, work: UnitOfWork, row: Any, fault: Fault, /) -> object:
        """Change the row, and whatever follows from it."""
        ...


async def handle_batch(
    database: Database,
    what: str,
    *,
    most: int,
    take: Callable[[UnitOfWork, int], Awaitable[Sequence[Mapping[str, Any]]]],
    handle: Callable[[UnitOfWork, Sequence[Any]], Awaitable[Done]],
    set_aside: SetAside,
    key: Sequence[str] = ("workspace_id", "id"),
) -> Done | None:
    """Take rows and handle them in one transaction; fewer when one of them cannot be handled.

    Args:
        database: Where they are.
        what: The kind of row, for the log and the metric.
        most: How many at most.
        take: Locks and returns at most so many rows, those first whose turn it is. They need not be readable.
        handle: Does all that is to be done with them.
        set_aside: For a row that cannot be handled.
        key: The columns that name a row in the log.

    Returns:
        What `handle` returned; None when a row was set aside instead: there may be more to take.

    Raises:
        Unavailable: the database does not answer.
    """
    size = most
    while True:
        rows: Sequence[Mapping[str, Any]] = ()
        try:
            async with database.transaction() as work:
                rows = await take(work, size)
                return await handle(work, rows)
        except Exception as error:
            if not rows or not follows_from_data(error):
                raise
            if len(rows) == 1:
                names = {name: rows[0][name] for name in key}
                await put_aside(database, what, rows[0], error, set_aside, **names)
                return None
            _LOG.warning("batch.refused", what=what, rows=len(rows), error=repr(error))
            size = len(rows) // 2


async def put_aside(
    database: Database, what: str, row: Any, error: Exception, set_aside: SetAside, **names: object
) -> None:
    """Set one row aside, of which `error` says what is wrong; `names` are what to log it by."""
    fault = Fault(f"{type(error).__name__}: {error}"[:_REASON_AT_MOST])
    try:
        async with database.transaction() as work:
            await set_aside(work, row, fault)
    except Exception as untold:
        if not follows_from_data(untold):
            raise
        async with database.transaction() as work:
            await set_aside(work, row, replace(fault, is_told=False))
    _LOG.error("row.set_aside", what=what, **names, error=fault.reason, exc_info=error)
    ROWS_SET_ASIDE.labels(what).inc()


def follows_from_data(error: Exception) -> bool:
    """Whether what was handled is at fault, so that it would fail again; not the server, nor the release's schema."""
    if isinstance(error, asyncpg.PostgresError):
        return isinstance(error, _OF_DATA)
    return not isinstance(error, Unavailable)
