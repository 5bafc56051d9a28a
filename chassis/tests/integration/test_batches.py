"""One row that cannot be handled does not stop the others."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from rota_chassis.batches import Fault, handle_batch
from rota_chassis.errors import Unavailable
from rota_chassis.postgres.statements import statement
from sqlalchemy import Integer, bindparam, text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from rota_chassis.postgres.database import Database
    from rota_chassis.postgres.work import UnitOfWork

_NUMBERS = "INSERT INTO due SELECT each, 'due' FROM generate_series(0, 99) AS each"
_TAKE = statement(
    text(
        "SELECT number, state FROM due WHERE state = 'due' ORDER BY number LIMIT :most FOR UPDATE SKIP LOCKED"
    ).bindparams(bindparam("most", type_=Integer))
)
_BECOME = statement(
    text("UPDATE due SET state = :state WHERE number = :number AND state = 'due'").bindparams(
        bindparam("number", type_=Integer)
    )
)
_STATES = statement(text("SELECT number FROM due WHERE state = :state ORDER BY number"))


@pytest.fixture
async def due(database: Database, connection: asyncpg.Connection) -> AsyncIterator[Database]:
    """A database with a hundred rows that are due."""
    await connection.execute("CREATE TABLE due (number integer PRIMARY KEY, state text NOT NULL)")
    await connection.execute(_NUMBERS)
    yield database
    await connection.execute("DROP TABLE due")


class Loop:
    """Handles rows, of which it can handle all but some.

    Attributes:
        sizes: Of the batches that it was given.
        faults: What it has set aside, and why.
    """

    def __init__(self, database: Database, *poisoned: int, error: Exception | None = None) -> None:
        self._database = database
        self._poisoned = frozenset(poisoned)
        self._error = error or LookupError("no such thing")
        self.sizes: list[int] = []
        self.faults: dict[int, Fault] = {}

    async def tick(self, most: int = 40) -> int | None:
        return await handle_batch(
            self._database,
            "test",
            most=most,
            take=lambda work, limit: work.fetch(_TAKE, most=limit),
            handle=self._handle,
            set_aside=self._set_aside,
            key=("number",),
        )

    async def work_off(self) -> None:
        while await self.tick() != 0:
            pass

    async def _handle(self, work: UnitOfWork, rows: Sequence[Mapping[str, Any]]) -> int:
        self.sizes.append(len(rows))
        for row in rows:
            await work.execute(_BECOME, number=row["number"], state="done")
            if row["number"] in self._poisoned:
                raise self._error
        return len(rows)

    async def _set_aside(self, work: UnitOfWork, row: Mapping[str, Any], fault: Fault) -> None:
        if await work.execute(_BECOME, number=row["number"], state="aside"):
            self.faults[row["number"]] = fault


async def numbers(database: Database, state: str) -> list[int]:
    return [row["number"] for row in await database.fetch(_STATES, state=state)]


async def test_what_can_be_handled_goes_in_whole_batches(due: Database) -> None:
    loop = Loop(due)
    await loop.work_off()
    assert loop.sizes == [40, 40, 20, 0]
    assert len(await numbers(due, "done")) == 100


async def test_each_row_that_cannot_be_handled_is_set_aside_and_no_other(due: Database) -> None:
    poisoned = [0, 17, 18, 57, 99]
    loop = Loop(due, *poisoned)
    await loop.work_off()
    assert await numbers(due, "aside") == poisoned
    assert len(await numbers(due, "done")) == 95
    assert loop.faults[17] == Fault("LookupError: no such thing")
    # Halving finds each: it costs no transaction for every row.
    assert len(loop.sizes) < 70


async def test_two_that_fail_at_one_row_at_once_set_it_aside_once(due: Database) -> None:
    first, second = Loop(due, 3, 50), Loop(due, 3, 50)
    await asyncio.gather(first.work_off(), second.work_off())
    assert await numbers(due, "aside") == [3, 50]
    assert len(await numbers(due, "done")) == 98
    assert sorted([*first.faults, *second.faults]) == [3, 50]


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (asyncpg.DiskFullError("full"), asyncpg.DiskFullError),
        (asyncpg.UndefinedColumnError("another schema"), asyncpg.UndefinedColumnError),
        (asyncpg.SerializationError("again"), Unavailable),
        (asyncpg.QueryCanceledError("too slow"), Unavailable),
        (OSError("away"), Unavailable),
    ],
    ids=["full", "schema", "serialization", "timeout", "away"],
)
async def test_what_the_server_is_at_fault_for_sets_nothing_aside(
    due: Database, error: Exception, raised: type[Exception]
) -> None:
    loop = Loop(due, 5, error=error)
    with pytest.raises(raised):
        await loop.tick()
    assert loop.sizes == [40]
    assert len(await numbers(due, "due")) == 100


async def test_who_cannot_be_told_is_set_aside_without_a_word(due: Database) -> None:
    class Mute(Loop):
        """Cannot tell of what it sets aside."""

        async def _set_aside(self, work: UnitOfWork, row: Mapping[str, Any], fault: Fault) -> None:
            await super()._set_aside(work, row, fault)
            if fault.is_told:
                raise asyncpg.UniqueViolationError("said already")

    loop = Mute(due, 2)
    await loop.work_off()
    assert await numbers(due, "aside") == [2]
    assert not loop.faults[2].is_told
