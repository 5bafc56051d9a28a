"""When a database does not answer, or gives up: what is an outage, and what is not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncpg
import pytest
from effects import ADD, COUNT, EFFECTS, ONE, SLOW, VERSIONS
from rota_chassis.errors import RotaError, Unavailable
from rota_chassis.ids import uuid7
from rota_chassis.postgres.database import Database
from rota_chassis.postgres.statements import statement
from rota_chassis.settings import database_url
from rota_chassis.testing.waiting import eventually
from sqlalchemy import bindparam

if TYPE_CHECKING:
    from rota_chassis.embedded.postgres import Postgres


async def unavailable(call: object) -> Unavailable:
    with pytest.raises(Unavailable) as caught:
        await call  # type: ignore[misc]
    assert caught.value.code == "DATABASE_UNAVAILABLE"
    assert caught.value.__cause__ is not None
    return caught.value


async def test_a_statement_that_takes_too_long_is_unavailable(database: Database) -> None:
    async def wait() -> None:
        async with database.transaction() as work:
            await work.connection.execute("SET LOCAL statement_timeout = '20ms'")
            await work.fetch(SLOW, seconds=5)

    assert isinstance((await unavailable(wait())).__cause__, asyncpg.QueryCanceledError)


async def test_a_lock_that_is_not_had_in_time_is_unavailable(
    database: Database, connection: asyncpg.Connection
) -> None:
    async def wait() -> None:
        async with database.transaction() as work:
            await work.connection.execute("SET LOCAL lock_timeout = '20ms'")
            await work.execute(ADD, id=uuid7(), version=1)

    async with connection.transaction():
        await connection.execute("LOCK TABLE effects")
        await unavailable(wait())


async def test_the_loser_of_a_deadlock_is_unavailable_and_the_winner_commits(database: Database) -> None:
    ids = [uuid7(), uuid7()]
    async with database.transaction() as work:
        await work.execute_many(ADD, [{"id": each, "version": 0} for each in ids])
    barrier = asyncio.Barrier(2)
    lock = statement(EFFECTS.update().where(EFFECTS.c.id == bindparam("which")).values(version=EFFECTS.c.version + 1))

    async def change(first: object, second: object) -> None:
        async with database.transaction() as work:
            await work.connection.execute("SET LOCAL deadlock_timeout = '10ms'")
            await work.execute(lock, which=first)
            await barrier.wait()
            await work.execute(lock, which=second)

    results = await asyncio.gather(change(*ids), change(*reversed(ids)), return_exceptions=True)
    assert [type(result) for result in results if result] == [Unavailable]
    assert [row["version"] for row in await database.fetch(VERSIONS)] == [1, 1]


@pytest.mark.parametrize("version", [2**40, "one"])
async def test_a_value_that_does_not_fit_is_no_outage(database: Database, version: object) -> None:
    async def write() -> None:
        async with database.transaction() as work:
            await work.execute(ADD, id=uuid7(), version=version)

    with pytest.raises(asyncpg.DataError):
        await write()


async def test_a_constraint_that_is_broken_is_no_outage(database: Database) -> None:
    async def write() -> None:
        async with database.transaction() as work:
            await work.execute(ADD, id=None, version=1)

    with pytest.raises(asyncpg.NotNullViolationError):
        await write()


async def test_an_error_of_ours_passes_through(database: Database) -> None:
    mine = RotaError("mine")

    async def fail() -> None:
        async with database.transaction():
            raise mine

    with pytest.raises(RotaError) as caught:
        await fail()
    assert caught.value is mine


async def test_a_pool_without_a_free_connection_is_unavailable(tables_url: str) -> None:
    database = await Database.connect(tables_url, size=1, acquire_timeout_s=0.05)
    async with database.transaction():
        for call in (database.fetch(ONE), database.fetch_one(ONE), database.fetch_value(ONE), database.ping()):
            await unavailable(call)
    assert await database.fetch_value(ONE) == 1
    await database.close()


async def test_a_backend_that_is_terminated_is_unavailable_and_replaced(
    database: Database, connection: asyncpg.Connection
) -> None:
    async def lose() -> None:
        async with database.transaction() as work:
            pid = await work.connection.fetchval("SELECT pg_backend_pid()")
            await work.execute(ADD, id=uuid7(), version=1)
            await connection.execute("SELECT pg_terminate_backend($1, 5000)", pid)
            await work.execute(ADD, id=uuid7(), version=2)

    await unavailable(lose())
    assert await database.fetch_value(COUNT) == 0


async def test_idle_connections_that_were_terminated_are_replaced_without_an_error(
    database: Database, connection: asyncpg.Connection
) -> None:
    await database.ping()
    await connection.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )

    async def answers() -> bool:
        try:
            await database.ping()
        except Unavailable:
            return False
        return True

    await eventually(answers, timeout_s=2)


async def test_a_server_that_is_gone_is_unavailable_until_it_is_back(own_postgres: Postgres) -> None:
    database = await Database.connect(own_postgres.url, acquire_timeout_s=1)
    own_postgres.hurry()
    await own_postgres.stop()
    for call in (database.fetch(ONE), database.fetch_value(ONE), database.ping()):
        await unavailable(call)
    await unavailable(Database.connect(own_postgres.url))
    await own_postgres.start()
    assert await database.fetch_value(ONE) == 1
    await database.close()


async def test_a_database_that_does_not_exist_is_unavailable(postgres_url: str) -> None:
    await unavailable(Database.connect(database_url(postgres_url, "missing")))


async def test_closing_waits_for_what_is_under_way(tables_url: str) -> None:
    database = await Database.connect(tables_url)
    async with database.connection() as connection:
        slow = asyncio.create_task(connection.fetchval("SELECT pg_sleep(0.1)::text"))
        await asyncio.sleep(0)
        closing = asyncio.create_task(database.close())
        assert await slow == ""
    await closing
    await unavailable(database.ping())


async def test_closing_does_not_wait_for_ever(tables_url: str) -> None:
    database = await Database.connect(tables_url, acquire_timeout_s=0.1)

    async def stay() -> None:
        async with database.connection():
            await database.close(within_s=0.1)

    await stay()
    await unavailable(database.ping())
