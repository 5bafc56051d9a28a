"""Reads from a standby that really follows: never older than what was committed before, whatever becomes of it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg
import psutil
import pytest
from prometheus_client import REGISTRY
from rota_chassis.errors import Unavailable
from rota_chassis.postgres.database import Database
from rota_chassis.postgres.routing import replica_allowed
from rota_chassis.postgres.statements import statement
from rota_chassis.testing import servers
from rota_chassis.testing.waiting import eventually, in_background
from sqlalchemy import bindparam, text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rota_chassis.embedded.postgres import Postgres

SET = statement(text("UPDATE counters SET value = :value").bindparams(bindparam("value")))
GET = statement(text("SELECT value FROM counters"))
WHERE = statement(text("SELECT pg_is_in_recovery()"))


@pytest.fixture(scope="module")
async def pair() -> AsyncIterator[tuple[Postgres, Postgres]]:
    with servers.server_folder() as folder:
        async with servers.primary_and_standby(folder) as both:
            yield both


@pytest.fixture
async def primary(pair: tuple[Postgres, Postgres]) -> Postgres:
    """With a counter that is 0."""
    connection = await asyncpg.connect(pair[0].url)
    await connection.execute("DROP TABLE IF EXISTS counters; CREATE TABLE counters AS SELECT 0 AS value")
    await connection.close()
    return pair[0]


@pytest.fixture
async def standby(pair: tuple[Postgres, Postgres]) -> AsyncIterator[asyncpg.Connection]:
    """A connection to it; what the test paused goes on afterwards."""
    connection = await asyncpg.connect(pair[1].url)
    yield connection
    if not connection.is_closed():
        await connection.execute("SELECT pg_wal_replay_resume()")
        await connection.close()


@asynccontextmanager
async def opened(primary_url: str, replica_url: str) -> AsyncIterator[Database]:
    """A database whose replica is looked after."""
    database = await Database.connect(primary_url, replica_url=replica_url)
    assert database.replica is not None
    async with in_background(database.replica.watch()):
        yield database
    await database.close()


@pytest.fixture
async def database(primary: Postgres, pair: tuple[Postgres, Postgres]) -> AsyncIterator[Database]:
    """A database whose replica is read."""
    async with opened(primary.url, pair[1].url) as database:
        await eventually(lambda: is_from_replica(database))
        yield database


async def is_from_replica(database: Database) -> bool:
    with replica_allowed(True):
        found: bool = await database.fetch_value(WHERE)
        return found


async def read(database: Database) -> int:
    with replica_allowed(True):
        found: int = await database.fetch_value(GET)
        return found


async def write(database: Database, value: int) -> None:
    async with database.transaction() as work:
        await work.execute(SET, value=value)


async def pause(standby: asyncpg.Connection) -> None:
    await standby.execute("SELECT pg_wal_replay_pause()")

    async def is_paused() -> bool:
        state: str = await standby.fetchval("SELECT pg_get_wal_replay_pause_state()")
        return state == "paused"

    await eventually(is_paused)


def reads(served_by: str, why_not: str = "") -> float:
    labels = {"served_by": served_by, "why_not": why_not}
    return REGISTRY.get_sample_value("rota_replica_reads_total", labels) or 0


async def test_a_write_is_seen_while_the_replica_stands_still_and_the_replica_read_when_it_goes_on(
    database: Database, standby: asyncpg.Connection
) -> None:
    await pause(standby)
    behind = reads("primary", "behind")
    await write(database, 1)
    assert await standby.fetchval("SELECT value FROM counters") == 0
    assert await read(database) == 1
    assert not await is_from_replica(database)
    assert reads("primary", "behind") >= behind
    await standby.execute("SELECT pg_wal_replay_resume()")
    await eventually(lambda: is_from_replica(database))
    served = reads("replica")
    assert (await read(database), reads("replica")) == (1, served + 1)


async def test_a_replica_that_is_behind_costs_reads_nothing_until_it_has_caught_up(
    database: Database, standby: asyncpg.Connection
) -> None:
    await pause(standby)
    away = reads("primary", "away")
    await write(database, 1)
    await read(database)
    for _ in range(10):
        assert await read(database) == 1
    assert reads("primary", "away") >= away + 10


async def test_no_read_is_older_than_the_writes_before_it_whoever_made_them(
    database: Database, primary: Postgres, pair: tuple[Postgres, Postgres], standby: asyncpg.Connection
) -> None:
    written = 0
    served = reads("replica")

    async def look(mine: Database) -> None:
        for _ in range(100):
            at_least = written
            assert await read(mine) >= at_least

    async with opened(primary.url, pair[1].url) as another:
        await eventually(lambda: is_from_replica(another))
        looking = [asyncio.create_task(look(each)) for each in (database, another) for _ in range(4)]
        while not all(each.done() for each in looking):
            await write(database, written + 1)
            written += 1
            if written % 20 == 0:
                await standby.execute("SELECT pg_wal_replay_pause()")
            if written % 20 == 5:
                await standby.execute("SELECT pg_wal_replay_resume()")
        await asyncio.gather(*looking)
    assert reads("replica") > served


async def test_answers_go_on_when_the_replica_dies_and_it_is_read_again_when_it_is_back(
    database: Database, pair: tuple[Postgres, Postgres]
) -> None:
    pair[1].hurry()
    await pair[1].stop()
    await write(database, 1)
    assert await asyncio.gather(*(read(database) for _ in range(20))) == [1] * 20
    assert not await is_from_replica(database)
    await pair[1].start()
    await eventually(lambda: is_from_replica(database))
    assert await read(database) == 1


async def test_reads_that_hang_with_the_replica_are_answered_by_the_primary(
    database: Database, pair: tuple[Postgres, Postgres]
) -> None:
    assert pair[1].pid is not None
    postmaster = psutil.Process(pair[1].pid)
    frozen = [postmaster, *postmaster.children()]
    for each in frozen:
        each.suspend()
    try:
        # Nothing has been written, so that nothing but its silence tells that it is not well.
        assert await asyncio.wait_for(asyncio.gather(*(read(database) for _ in range(5))), 20) == [0] * 5
        await write(database, 1)
        assert await read(database) == 1
    finally:
        for each in frozen:
            each.resume()
    await eventually(lambda: is_from_replica(database))
    assert await read(database) == 1


async def test_a_replica_that_is_not_there_at_the_start_is_read_when_it_comes(
    primary: Postgres, pair: tuple[Postgres, Postgres]
) -> None:
    await pair[1].stop()
    async with opened(primary.url, pair[1].url) as database:
        assert await read(database) == 0
        await pair[1].start()
        await eventually(lambda: is_from_replica(database))


async def test_without_a_word_and_in_transactions_the_primary_is_read(database: Database) -> None:
    assert await database.fetch_value(WHERE) is False
    with replica_allowed(True):
        assert await database.fetch_value(WHERE) is True
        async with database.transaction() as work:
            assert await work.fetch_value(WHERE) is False
        with replica_allowed(False):
            assert await database.fetch_value(WHERE) is False


async def test_what_a_standby_refuses_is_asked_of_the_primary(database: Database) -> None:
    refused = reads("primary", "refused")
    with replica_allowed(True):
        assert await database.fetch_value(statement(text("SELECT pg_current_xact_id()"))) is not None
    assert reads("primary", "refused") == refused + 1
    assert await is_from_replica(database)


async def test_what_is_wrong_with_a_query_is_told_as_the_primary_tells_it(database: Database) -> None:
    with replica_allowed(True):
        with pytest.raises(asyncpg.DivisionByZeroError):
            await database.fetch_value(statement(text("SELECT 1 / 0")))
        with pytest.raises(Unavailable):
            await database.fetch(statement(text("SELECT pg_terminate_backend(pg_backend_pid())")))


@pytest.mark.parametrize("what", ["another cluster", "the primary itself"])
async def test_a_server_that_is_no_standby_of_the_primary_is_never_read(
    what: str, primary: Postgres, postgres_url: str
) -> None:
    url = postgres_url if what == "another cluster" else primary.url
    async with opened(primary.url, url) as database:
        replica = database.replica
        assert replica is not None
        await eventually(lambda: replica._why_not != "")
        away = reads("primary", "away")
        for value in range(1, 4):
            await write(database, value)
            assert await read(database) == value
        assert reads("primary", "away") == away + 3
