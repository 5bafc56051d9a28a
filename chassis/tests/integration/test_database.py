from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncpg
import pytest
from rota_chassis.errors import RotaError, Unavailable
from rota_chassis.ids import uuid7
from rota_chassis.postgres.database import Database, Lock, UnitOfWork
from rota_chassis.postgres.statements import statement
from rota_chassis.testing.waiting import eventually
from sqlalchemy import Column, Integer, MetaData, Table, bindparam, func, insert, literal_column, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import UUID as PgUUID

if TYPE_CHECKING:
    from collections.abc import Callable

    from rota_chassis.embedded.postgres import Postgres
    from rota_chassis.events.log import NewEvent

EFFECTS = Table("effects", MetaData(), Column("id", PgUUID), Column("version", Integer))
ADD = statement(insert(EFFECTS).values(id=bindparam("id"), version=bindparam("version")))
COUNT = statement(select(func.count()).select_from(EFFECTS))
VERSIONS = statement(select(EFFECTS.c.version).order_by(EFFECTS.c.version))
ONE = statement(select(literal_column("1")))
EVENTS_LOGGED = statement(select(func.count()).select_from(text("events")))
_OPEN = statement(
    text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND state = 'idle in transaction' AND pid != pg_backend_pid()"
    )
)
SLOW = statement(select(func.pg_sleep(bindparam("seconds"))))


async def unavailable(call: object) -> Unavailable:
    with pytest.raises(Unavailable) as caught:
        await call  # type: ignore[misc]
    assert caught.value.code == "DATABASE_UNAVAILABLE"
    assert caught.value.__cause__ is not None
    return caught.value


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
    await unavailable(Database.connect(postgres_url.replace("/postgres?", "/missing?")))


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
