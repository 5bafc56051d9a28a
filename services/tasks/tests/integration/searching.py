"""Documents of searches that are made anew in the background, some at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from rota_tasks.search.documents import AT_ONCE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from rota_chassis.postgres.database import Database
    from rota_chassis.postgres.work import UnitOfWork
    from rota_tasks.search.pieces import Piece

    Next = Callable[[UnitOfWork, int], Awaitable[Piece | None]]
    GoOn = Callable[[UnitOfWork, Piece], Awaitable[None]]


async def make_anew(database: Database, next_piece: Next, go_on: GoOn) -> None:
    """Take a step until there is nothing left to do, though one dies in it, and two take it at once."""

    async def step(work: UnitOfWork) -> bool:
        piece = await next_piece(work, AT_ONCE)
        if piece is None:
            return False
        await piece.write(work)
        await go_on(work, piece)
        return True

    async def die() -> None:
        async with database.transaction() as work:
            assert await step(work)
            raise LookupError

    with pytest.raises(LookupError):
        await die()
    # What one has in hand no other takes.
    async with database.transaction() as one, database.transaction() as other:
        assert await step(one)
        assert not await step(other)
    more = True
    while more:
        async with database.transaction() as work:
            more = await step(work)
