"""Makes the documents anew that notes name, and those without a language of their workspace, beside the requests.

A document that cannot be made is passed over, and stays as it was: those after it are made.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import asyncpg
from rota_chassis.batches import handle_batch
from rota_chassis.logs import logger
from rota_chassis.telemetry import ROWS_SET_ASIDE

from rota_tasks.polling import work_off
from rota_tasks.search import documents, languages, pieces

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from rota_chassis.batches import Fault
    from rota_chassis.postgres.database import Database
    from rota_chassis.postgres.work import UnitOfWork

    from rota_tasks.search.pieces import Piece

_LOG = logger(__name__)


async def run(database: Database) -> None:
    """Work off notes until cancelled; while the database is away, try again once a second."""
    async with asyncio.TaskGroup() as group:
        group.create_task(work_off(partial(refresh, database), "stale documents"))
        group.create_task(work_off(partial(prepare, database), "search languages"))


async def refresh(database: Database) -> bool:
    """Go on with one note, in a transaction of its own; whether there was one."""
    return await _make_anew(database, pieces.next_of_note, pieces.go_on_with_note)


async def prepare(database: Database) -> bool:
    """Go on with one language of a workspace, in a transaction of its own; whether there was one."""
    return await _make_anew(database, pieces.next_of_language, pieces.go_on_with_language)


async def _make_anew(
    database: Database,
    next_piece: Callable[[UnitOfWork, int], Awaitable[Piece | None]],
    go_on: Callable[[UnitOfWork, Piece], Awaitable[None]],
) -> bool:
    piece: Piece | None = None

    async def take(work: UnitOfWork, most: int) -> Sequence[Mapping[str, Any]]:
        nonlocal piece
        piece = await next_piece(work, most)
        return piece.tasks if piece else ()

    async def make(work: UnitOfWork, _tasks: Sequence[Mapping[str, Any]]) -> bool:
        if piece is None:
            return False
        await piece.write(work)
        await go_on(work, piece)
        return True

    async def set_aside(work: UnitOfWork, _task: Mapping[str, Any], _fault: Fault) -> None:
        if piece is not None:
            await go_on(work, replace(piece, is_last=False))

    try:
        found = await handle_batch(
            database,
            "search_document",
            most=documents.AT_ONCE,
            take=take,
            handle=make,
            set_aside=set_aside,
            key=("workspace_id", "task_id"),
        )
    except asyncpg.UndefinedObjectError:
        if not await _forget_languages(database):
            raise
        return True
    return found is not False


async def _forget_languages(database: Database) -> bool:
    """Forget the languages that PostgreSQL does not have, so that documents can be written; whether there were any."""
    async with database.transaction() as work:
        forgotten = await languages.forget_unknown(work)
    for row in forgotten:
        _LOG.error("row.set_aside", what="search_language", **row)
        ROWS_SET_ASIDE.labels("search_language").inc()
    return bool(forgotten)
