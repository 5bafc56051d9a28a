"""A service's own database: a pool, reads, and units of work."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import asyncpg
import orjson

from rota_chassis.errors import Unavailable
from rota_chassis.events.log import INSERT_EVENT, INSERT_EVENTS, PendingEvent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from rota_chassis.events.log import NewEvent
    from rota_chassis.postgres.statements import Statement

ACQUIRE_TIMEOUT_S = 5.0
_STATEMENTS_KEPT = 1_000
_EVENTS_AT_ONCE = 1_000
_SESSION = {
    "statement_timeout": "15s",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "30s",
    "timezone": "UTC",
}
_UNAVAILABLE = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    # A connection that the server ended just before it was used.
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.QueryCanceledError,
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
)


class Reader(Protocol):
    """What queries need: a database, or a unit of work when they must see its writes."""

    async def fetch(self, statement: Statement, **parameters: Any) -> list[asyncpg.Record]:
        """Every row."""
        ...

    async def fetch_one(self, statement: Statement, **parameters: Any) -> asyncpg.Record | None:
        """The first row, or None."""
        ...

    async def fetch_value(self, statement: Statement, **parameters: Any) -> Any:
        """The first column of the first row, or None."""
        ...


class Database:
    """A pool of connections to one database.

    Every method raises `Unavailable` (code DATABASE_UNAVAILABLE) when the server cannot be reached, is overloaded, or
    gave the transaction up; trying again may help.
    """

    def __init__(self, pool: asyncpg.Pool, acquire_timeout_s: float = ACQUIRE_TIMEOUT_S) -> None:
        self._pool = pool
        self._acquire_timeout_s = acquire_timeout_s
        self.events_committed = asyncio.Event()
        """Set after a unit of work that appended events has committed; the relay waits for it."""

    @classmethod
    async def connect(
        cls, url: str, *, size: int = 10, name: str = "rota", acquire_timeout_s: float = ACQUIRE_TIMEOUT_S
    ) -> Database:
        """Open a pool.

        Args:
            url: The database.
            size: At most this many connections.
            name: Shows in pg_stat_activity.
            acquire_timeout_s: How long to wait for a free connection.
        """
        with _unavailable():
            pool = await asyncpg.create_pool(
                url,
                min_size=1,
                max_size=size,
                max_inactive_connection_lifetime=60,
                statement_cache_size=_STATEMENTS_KEPT,
                max_cached_statement_lifetime=0,
                init=prepare_connection,
                server_settings={**_SESSION, "application_name": name},
            )
        return cls(pool, acquire_timeout_s)

    async def close(self, *, within_s: float = 5.0) -> None:
        """Close every connection, waiting so long for those in use."""
        try:
            await asyncio.wait_for(self._pool.close(), timeout=within_s)
        except TimeoutError:
            self._pool.terminate()

    async def fetch(self, statement: Statement, **parameters: Any) -> list[asyncpg.Record]:
        """Every row."""
        with _unavailable():
            async with self._pool.acquire(timeout=self._acquire_timeout_s) as connection:
                rows: list[asyncpg.Record] = await connection.fetch(statement.sql, *statement.arguments(parameters))
                return rows

    async def fetch_one(self, statement: Statement, **parameters: Any) -> asyncpg.Record | None:
        """The first row, or None."""
        with _unavailable():
            async with self._pool.acquire(timeout=self._acquire_timeout_s) as connection:
                return await connection.fetchrow(statement.sql, *statement.arguments(parameters))

    async def fetch_value(self, statement: Statement, **parameters: Any) -> Any:
        """The first column of the first row, or None."""
        row = await self.fetch_one(statement, **parameters)
        return None if row is None else row[0]

    async def ping(self) -> None:
        """Return if the database answers."""
        with _unavailable():
            async with self._pool.acquire(timeout=self._acquire_timeout_s) as connection:
                await connection.execute("SELECT 1")

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[UnitOfWork]:
        """One transaction: committed when the block ends, rolled back when it raises."""
        with _unavailable():
            async with self._pool.acquire(timeout=self._acquire_timeout_s) as connection, connection.transaction():
                work = UnitOfWork(connection)
                yield work
                await work.write_events()
        if work.has_events:
            self.events_committed.set()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection of one's own, for what lives longer than a transaction (advisory locks)."""
        with _unavailable():
            async with self._pool.acquire(timeout=self._acquire_timeout_s) as connection:
                yield connection


class UnitOfWork:
    """An open transaction: reads, writes, and the events that commit with them."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self._events: list[PendingEvent] = []

    @property
    def connection(self) -> asyncpg.Connection:
        """The connection itself, for what statements cannot say (locks, cursors, temporary tables)."""
        return self._connection

    @property
    def has_events(self) -> bool:
        """Whether anything was appended."""
        return bool(self._events)

    async def fetch(self, statement: Statement, **parameters: Any) -> list[asyncpg.Record]:
        """Every row."""
        rows: list[asyncpg.Record] = await self._connection.fetch(statement.sql, *statement.arguments(parameters))
        return rows

    async def fetch_one(self, statement: Statement, **parameters: Any) -> asyncpg.Record | None:
        """The first row, or None."""
        return await self._connection.fetchrow(statement.sql, *statement.arguments(parameters))

    async def fetch_value(self, statement: Statement, **parameters: Any) -> Any:
        """The first column of the first row, or None."""
        row = await self.fetch_one(statement, **parameters)
        return None if row is None else row[0]

    async def execute(self, statement: Statement, **parameters: Any) -> int:
        """Run a statement; returns the number of rows it touched."""
        tag: str = await self._connection.execute(statement.sql, *statement.arguments(parameters))
        return int(tag.rpartition(" ")[2]) if tag[-1:].isdigit() else 0

    async def execute_many(self, statement: Statement, rows: Sequence[dict[str, Any]]) -> None:
        """Run a statement once for each row of parameters, in one round trip."""
        if rows:
            await self._connection.executemany(statement.sql, [statement.arguments(row) for row in rows])

    def append(self, *events: NewEvent) -> None:
        """Add events to the log; they are written as the last step before the commit, in this order."""
        self._events.extend(PendingEvent.of(event) for event in events)

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """A part of the transaction: when the block raises, it alone is undone, its events included."""
        appended = len(self._events)
        try:
            async with self._connection.transaction():
                yield
        except BaseException:
            del self._events[appended:]
            raise

    async def write_events(self) -> None:
        """Write what was appended. The database calls it; nobody else needs to."""
        if len(self._events) == 1:
            await self.execute(INSERT_EVENT, **self._events[0].row())
        else:
            for start in range(0, len(self._events), _EVENTS_AT_ONCE):
                rows = [event.row() for event in self._events[start : start + _EVENTS_AT_ONCE]]
                await self.execute(INSERT_EVENTS, **{name: [row[name] for row in rows] for name in rows[0]})


async def prepare_connection(connection: asyncpg.Connection) -> None:
    """Let JSON columns be Python values on this connection."""
    for kind in ("json", "jsonb"):
        await connection.set_type_codec(
            kind, schema="pg_catalog", encoder=lambda value: orjson.dumps(value).decode(), decoder=orjson.loads
        )


@contextmanager
def _unavailable() -> Iterator[None]:
    try:
        yield
    except _UNAVAILABLE as error:
        raise Unavailable(
            "The database does not answer now; try again shortly.", code="DATABASE_UNAVAILABLE"
        ) from error
