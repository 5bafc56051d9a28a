from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncpg
import pytest
from effects import ADD, COUNT, EFFECTS, ONE, SLOW, VERSIONS
from rota_chassis.errors import Unavailable
from rota_chassis.ids import uuid7
from rota_chassis.postgres.database import Database
from rota_chassis.postgres.statements import statement
from rota_chassis.postgres.work import Lock
from rota_chassis.testing.waiting import eventually
from sqlalchemy import bindparam, func, select, text
from sqlalchemy.dialects.postgresql import JSONB

if TYPE_CHECKING:
    from collections.abc import Callable

    from rota_chassis.events.log import NewEvent
    from rota_chassis.postgres.work import UnitOfWork

EVENTS_LOGGED = statement(select(func.count()).select_from(text("events")))
_OPEN = statement(
    text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND state = 'idle in transaction' AND pid != pg_backend_pid()"
    )
)
_FIRST = statement(text("SELECT pg_advisory_xact_lock(1)"))
_WAITING = statement(text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"))
_ADD_LONG = statement(
    text(
        "INSERT INTO effects (id, version)"
        " SELECT CAST(:id AS uuid), length(:text) FROM (SELECT pg_advisory_xact_lock_shared(1)) waits"
    )
)


async def test_a_transaction_is_committed_when_its_block_ends(database: Database) -> None:
    async with database.transaction() as work:
        assert await work.execute(ADD, id=uuid7(), version=1) == 1
        await work.execute_many(ADD, [{"id": uuid7(), "version": version} for version in (2, 3)])
        await work.execute_many(ADD, [])
        assert await work.fetch_value(COUNT) == 3
        assert await database.fetch_value(COUNT) == 0
    assert [row["version"] for row in await database.fetch(VERSIONS)] == [1, 2, 3]


async def test_a_transaction_is_rolled_back_when_its_block_raises(
    database: Database, created: Callable[..., NewEvent]
) -> None:
    async def fail() -> None:
        async with database.transaction() as work:
            await work.execute(ADD, id=uuid7(), version=1)
            work.append(created())
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    assert await database.fetch_value(COUNT) == await database.fetch_value(EVENTS_LOGGED) == 0
    assert not database.events_committed.is_set()


async def test_writes_that_wait_are_seen_by_whatever_follows(database: Database) -> None:
    async with database.transaction(late=True) as work:
        await work.write(ADD, id=uuid7(), version=1)
        await work.write(ADD, id=uuid7(), version=2)
        with pytest.raises(RuntimeError):
            _ = work.connection
        assert await work.fetch_value(COUNT) == 2
        assert await work.connection.fetchval("SELECT count(*) FROM effects") == 2
        assert await database.fetch_value(COUNT) == 0
        await work.write(ADD, id=uuid7(), version=3)
    assert [row["version"] for row in await database.fetch(VERSIONS)] == [1, 2, 3]


async def test_writes_and_an_event_alone_are_one_statement_and_one_transaction(
    database: Database, created: Callable[..., NewEvent]
) -> None:
    async with database.transaction(late=True) as work:
        await work.write(ADD, id=uuid7(), version=1)
        await work.write(ADD, id=uuid7(), version=2)
        work.append(created())
        async with database.transaction() as other:
            assert await other.fetch_value(_OPEN) == 0
    assert await database.fetch_value(COUNT) == 2
    assert await database.fetch_value(EVENTS_LOGGED) == 1
    assert database.events_committed.is_set()


async def test_a_late_transaction_in_which_nothing_is_done_needs_no_connection(tables_url: str) -> None:
    database = await Database.connect(tables_url, size=1, acquire_timeout_s=0.1)
    async with database.transaction(), database.transaction(late=True) as work:
        assert not work.has_begun
    await database.close()


async def test_looking_ahead_begins_nothing_and_sees_what_the_transaction_wrote_once_it_has_begun(
    database: Database,
) -> None:
    async with database.transaction(late=True) as work:
        assert await work.ahead.fetch_value(COUNT) == 0
        assert not work.has_begun
        await work.execute(ADD, id=uuid7(), version=1)
        assert await work.ahead.fetch_value(COUNT) == 1
        assert await database.fetch_value(COUNT) == 0


async def test_what_a_transaction_begins_with_comes_before_whatever_waits(
    database: Database, created: Callable[..., NewEvent]
) -> None:
    async def refuse(_connection: asyncpg.Connection) -> None:
        raise LookupError

    async def write() -> None:
        async with database.transaction(late=True, first=refuse) as work:
            await work.write(ADD, id=uuid7(), version=1)

    async def append() -> None:
        async with database.transaction(late=True, first=refuse) as work:
            work.append(created())

    for act in (write, append):
        with pytest.raises(LookupError):
            await act()
    assert await database.fetch_value(COUNT) == await database.fetch_value(EVENTS_LOGGED) == 0


async def test_very_many_writes_that_wait_go_some_at_a_time(database: Database) -> None:
    number = 1_000
    async with database.transaction(late=True) as work:
        for version in range(number):
            await work.write(ADD, id=uuid7(), version=version)
    assert await database.fetch_value(COUNT) == number


async def test_of_writes_that_go_together_all_fail_with_one(
    database: Database, created: Callable[..., NewEvent]
) -> None:
    event = created()

    async def write() -> None:
        async with database.transaction(late=True) as work:
            await work.write(ADD, id=uuid7(), version=1)
            work.append(event)

    await write()
    with pytest.raises(asyncpg.UniqueViolationError):
        await write()
    assert await database.fetch_value(COUNT) == await database.fetch_value(EVENTS_LOGGED) == 1


async def test_writes_that_wait_are_undone_with_their_savepoint_or_their_transaction(database: Database) -> None:
    async def fail(work: UnitOfWork) -> None:
        async with work.savepoint():
            await work.write(ADD, id=uuid7(), version=2)
            raise LookupError

    async with database.transaction(late=True) as work:
        await work.write(ADD, id=uuid7(), version=1)
        with pytest.raises(LookupError):
            await fail(work)
        async with work.savepoint():
            await work.write(ADD, id=uuid7(), version=3)

    async def fail_late() -> None:
        async with database.transaction(late=True) as work:
            await work.write(ADD, id=uuid7(), version=4)
            raise LookupError

    with pytest.raises(LookupError):
        await fail_late()
    assert [row["version"] for row in await database.fetch(VERSIONS)] == [1, 3]


async def test_a_cancelled_transaction_is_rolled_back_and_gives_its_connection_back(tables_url: str) -> None:
    database = await Database.connect(tables_url, size=1)
    entered = asyncio.Event()

    async def stay() -> None:
        async with database.transaction() as work:
            await work.execute(ADD, id=uuid7(), version=1)
            entered.set()
            await work.fetch_value(SLOW, seconds=60)

    task = asyncio.create_task(stay())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await database.fetch_value(COUNT) == 0
    await database.close()


async def test_what_is_cancelled_while_many_rows_are_sent_ends_with_its_locks(tables_url: str) -> None:
    database, other = await Database.connect(tables_url, size=1), await Database.connect(tables_url, size=1)
    # More than the server takes while it waits with the first of them.
    rows = [{"id": uuid7(), "text": "x" * 100_000} for _ in range(400)]

    async def send() -> None:
        async with database.transaction() as work:
            await work.hold(Lock("of all"))
            await work.execute_many(_ADD_LONG, rows)

    async with other.transaction() as work:
        await work.fetch(_FIRST)
        task = asyncio.create_task(send())
        await eventually(lambda: work.fetch_value(_WAITING))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, timeout=10)
    async with other.transaction() as work:
        await work.hold(Lock("of all"))
    assert await database.fetch_value(COUNT) == 0
    await database.close()
    await other.close()


@pytest.mark.parametrize("number", [1, 3])
async def test_events_commit_with_the_change(database: Database, created: Callable[..., NewEvent], number: int) -> None:
    task_id = uuid7()
    async with database.transaction() as work:
        await work.execute(ADD, id=task_id, version=1)
        work.append(*(created(task_id, version) for version in range(1, number + 1)))
        assert work.has_events
    rows = await database.fetch(statement(text("SELECT * FROM events ORDER BY position").columns()))
    assert [row["aggregate_version"] for row in rows] == list(range(1, number + 1))
    assert {row["actor"] for row in rows} == {"system"}
    assert rows[0]["data"]["task"]["title"] == "Water the plants"
    assert database.events_committed.is_set()


async def test_a_version_of_an_aggregate_is_written_once(database: Database, created: Callable[..., NewEvent]) -> None:
    task_id = uuid7()

    async def write() -> None:
        async with database.transaction() as work:
            await work.execute(ADD, id=task_id, version=1)
            work.append(created(task_id, 1))

    await write()
    with pytest.raises(asyncpg.UniqueViolationError):
        await write()
    assert await database.fetch_value(COUNT) == 1


async def test_a_read_gives_rows_one_row_or_a_value(database: Database) -> None:
    assert [tuple(row) for row in await database.fetch(ONE)] == [(1,)]
    assert tuple(await database.fetch_one(ONE) or ()) == (1,)
    assert await database.fetch_value(ONE) == 1
    nothing = statement(select(EFFECTS.c.version))
    assert await database.fetch(nothing) == []
    assert await database.fetch_one(nothing) is None
    assert await database.fetch_value(nothing) is None
    async with database.transaction() as work:
        assert await work.fetch(nothing) == []
        assert await work.fetch_one(nothing) is None
        assert await work.fetch_value(nothing) is None
        assert not work.has_events


async def test_the_number_of_rows_a_statement_touched_is_known(database: Database) -> None:
    async with database.transaction() as work:
        assert await work.execute(statement(text("LOCK TABLE effects"))) == 0
        assert await work.execute(statement(EFFECTS.delete())) == 0
        await work.execute(ADD, id=uuid7(), version=1)
        assert await work.execute(statement(EFFECTS.update().values(version=2))) == 1


async def test_json_columns_are_python_values(database: Database) -> None:
    value = {"a": [1, None, "ä"], "b": {"c": True}}
    echo = statement(select(bindparam("value", type_=JSONB)))
    assert await database.fetch_value(echo, value=value) == value
    await database.ping()
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT '[1]'::json") == [1]


async def test_sessions_are_bounded_and_named(tables_url: str) -> None:
    database = await Database.connect(tables_url, name="rota-tasks")
    async with database.connection() as connection:
        shown = [
            await connection.fetchval(f"SHOW {name}")
            for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "timezone")
        ]
        assert shown == ["15s", "5s", "30s", "UTC"]
        assert await connection.fetchval("SHOW application_name") == "rota-tasks"
    await database.close()


async def test_a_session_is_what_it_was_when_its_connection_comes_back(tables_url: str) -> None:
    mode = select(func.current_setting("plan_cache_mode").label("mode"))
    locks = statement(text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"))
    database = await Database.connect(tables_url, size=1)
    try:
        (planned,) = await database.fetch(statement(mode, replan=True))
        assert (planned["mode"], await database.fetch_value(statement(mode))) == ("force_custom_plan", "auto")
        with pytest.raises(Unavailable):
            await database.fetch(statement(select(func.pg_terminate_backend(func.pg_backend_pid())), replan=True))
        async with database.connection() as connection:
            await connection.execute("SELECT pg_advisory_lock(7)")
            await connection.execute("SET plan_cache_mode = force_generic_plan")
        assert (await database.fetch_value(locks), await database.fetch_value(statement(mode))) == (0, "auto")
    finally:
        await database.close()
