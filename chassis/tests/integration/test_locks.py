"""Locks by name: held in any order, shared or alone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from effects import ADD, COUNT, VERSIONS
from rota_chassis.errors import Unavailable
from rota_chassis.ids import uuid7
from rota_chassis.postgres.work import Lock, UnitOfWork

if TYPE_CHECKING:
    from rota_chassis.postgres.database import Database


async def test_transactions_that_need_locks_in_different_orders_both_get_through(database: Database) -> None:
    async def hold(*names: str) -> int:
        attempts = 0

        async def act(work: UnitOfWork) -> int:
            nonlocal attempts
            attempts += 1
            for name in names:
                await work.hold(Lock(name))
            await work.execute(ADD, id=uuid7(), version=attempts)
            return attempts

        return await database.ordered(act, Lock(names[0]))

    outcomes = await asyncio.gather(*(hold(*order) for order in (("a", "b"), ("b", "a")) for _ in range(10)))
    assert outcomes == [2] * 20
    # What an attempt did that began again is undone.
    assert [row["version"] for row in await database.fetch(VERSIONS)] == [2] * 20


async def test_a_lock_is_shared_or_held_alone_and_goes_with_its_savepoint(database: Database) -> None:
    async with database.transaction() as first, database.transaction() as second:
        for work in (first, second):
            assert await work.hold(Lock("x", alone=False))
            assert not await work.hold(Lock("x", alone=False))

        async def hold_and_fail() -> None:
            async with first.savepoint():
                assert await first.hold(Lock("y"))
                raise LookupError

        with pytest.raises(LookupError):
            await hold_and_fail()
        assert await second.hold(Lock("y"))
        assert not await second.hold(Lock("y", alone=False))


async def test_a_transaction_that_needs_another_lock_each_time_is_given_up(database: Database) -> None:
    async def act(work: UnitOfWork) -> None:
        await work.hold(Lock(str(uuid7())))

    with pytest.raises(Unavailable) as caught:
        await database.ordered(act)
    assert caught.value.code == "DATABASE_UNAVAILABLE"
    assert await database.fetch_value(COUNT) == 0
