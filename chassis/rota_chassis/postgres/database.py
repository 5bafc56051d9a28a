"""A service's own database: a pool, reads, and units of work."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from rota_chassis.errors import Unavailable
from rota_chassis.events.log import EVENTS, INSERT_EVENT, WRITTEN, PendingEvent
from rota_chassis.postgres.pool import UNAVAILABLE, open_pool
from rota_chassis.postgres.replica import ReadThePrimary, Replica
from rota_chassis.postgres.routing import is_replica_allowed
from rota_chassis.postgres.statements import together

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence

    import asyncpg

    from rota_chassis.events.log import NewEvent
    from rota_chassis.postgres.statements import Statement

Answer = TypeVar("Answer")

ACQUIRE_TIMEOUT_S = 5.0
_ORDERED_ATTEMPTS = 10
_WAIT_AT_MOST = 8
"""Writes that go together: many would take PostgreSQL long to plan, and have more parameters than a statement may."""
_RECORD = itemgetter(*WRITTEN)
_HOLD = "SELECT pg_advisory_xact_lock{}(hashtextextended($1, 0))"


@dataclass(frozen=True, slots=True)
class Lock:
    """Something by its name that a transaction holds until it ends: alone, or with others that share it."""

    name: str
    alone: bool = True


class LateLockError(Exception):
    """A transaction needs locks that it did not begin with (see `Database.ordered`)."""

    def __init__(self, locks: Iterable[Lock]) -> None:
        self.locks = tuple(locks)
        super().__init__(", ".join(lock.name for lock in self.locks))


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

    Reads outside of transactions go to its replica, if it has one, where the caller allows it
    (`routing.replica_allowed`) and the replica shows all that was committed before (`replica`).

    Every method raises `Unavailable` (code DATABASE_UNAVAILABLE) when the server cannot be reached, is overloaded, or
    gave the transaction up; trying again may help.
    """

    def __init__(
        self, pool: asyncpg.Pool, acquire_timeout_s: float = ACQUIRE_TIMEOUT_S, replica: Replica | None = None
    ) -> None:
        self._pool = pool
        self._acquire_timeout_s = acquire_timeout_s
        self.replica = replica
        self.events_committed = asyncio.Event()
        """Set after a unit of work that appended events has committed; the relay waits for it."""

    @classmethod
    async def connect(
        cls,
        url: str,
        *,
        size: int = 10,
        name: str = "rota",
        acquire_timeout_s: float = ACQUIRE_TIMEOUT_S,
        replica_url: str | None = None,
    ) -> Database:
        """Open a pool.

        Args:
            url: The database.
            size: At most this many connections.
            name: Shows in pg_stat_activity.
            acquire_timeout_s: How long to wait for a free connection.
            replica_url: The same database on a standby, if there is one; `Replica.watch` is to run then.
        """
        with _unavailable():
            pool = await open_pool(url, size=size, name=name)
        replica = None
        if replica_url is not None:
            replica = await Replica.open(replica_url, url, size=size, name=name)
        return cls(pool, acquire_timeout_s, replica)

    async def close(self, *, within_s: float = 5.0) -> None:
        """Close every connection, waiting so long for those in use."""
        for pool in (self._pool, self.replica):
            if pool is None:
                continue
            try:
                await asyncio.wait_for(pool.close(), timeout=within_s)
            except TimeoutError:
                pool.terminate()

    async def fetch(self, statement: Statement, **parameters: Any) -> list[asyncpg.Record]:
        """Every row."""
        arguments = statement.arguments(parameters)

        async def ask(connection: asyncpg.Connection) -> list[asyncpg.Record]:
            if statement.replan:
                await connection.execute("SET plan_cache_mode = force_custom_plan")
            try:
                rows: list[asyncpg.Record] = await connection.fetch(statement.sql, *arguments)
            finally:
                if statement.replan and not connection.is_closed():
                    await connection.execute("RESET plan_cache_mode")
            return rows

        return await self._read(ask)

    async def fetch_one(self, statement: Statement, **parameters: Any) -> asyncpg.Record | None:
        """The first row, or None."""
        arguments = statement.arguments(parameters)
        return await self._read(lambda connection: connection.fetchrow(statement.sql, *arguments))

    async def _read(self, ask: Callable[[asyncpg.Connection], Awaitable[Answer]]) -> Answer:
        if self.replica is not None and is_replica_allowed():
            with suppress(ReadThePrimary), _unavailable():
                return await self.replica.read(ask)
        with _unavailable():
            async with self._acquired() as connection:
                return await ask(connection)

    async def fetch_value(self, statement: Statement, **parameters: Any) -> Any:
        """The first column of the first row, or None."""
        row = await self.fetch_one(statement, **parameters)
        return None if row is None else row[0]

    @asynccontextmanager
    async def _acquired(self) -> AsyncIterator[asyncpg.Connection]:
        # The pool's own time limit would make a task of each wait.
        async with asyncio.timeout(self._acquire_timeout_s):
            connection = await self._pool.acquire()
        try:
            yield connection
        finally:
            await self._pool.release(connection, timeout=self._acquire_timeout_s)

    async def ping(self) -> None:
        """Return if the database answers."""
        with _unavailable():
            async with self._acquired() as connection:
                await connection.execute("SELECT 1")

    @asynccontextmanager
    async def transaction(
        self, *, late: bool = False, first: Callable[[asyncpg.Connection], Awaitable[None]] | None = None
    ) -> AsyncIterator[UnitOfWork]:
        """One transaction: committed when the block ends, rolled back when it raises.

        Args:
            late: Whether it begins only with a statement whose result is needed (see `UnitOfWork`).
            first: What it begins with, if it begins at all.
        """
        with _unavailable():
            async with AsyncExitStack() as held:
                work = UnitOfWork(
                    acquire=lambda: held.enter_async_context(self._acquired()), database=self, first=first
                )
                if not late:
                    await work.begin()
                try:
                    yield work
                    await work.write_events()
                except BaseException:
                    await work.roll_back()
                    raise
                await work.commit()
        if work.has_events:
            self.events_committed.set()

    async def ordered(self, act: Callable[[UnitOfWork], Awaitable[Answer]], *locks: Lock) -> Answer:
        """Run `act` in one transaction, which begins with its locks in the order of their names.

        Two transactions that take the same locks in different orders would wait for each other. So all come first, in
        one order. One that finds on its way that it needs another (`UnitOfWork.hold`) is undone and begins again with
        that as well.

        Args:
            act: What to do; as it may run again, it writes through the unit of work alone.
            locks: Those that it is known to need.

        Raises:
            Unavailable: it needed another each time (code DATABASE_UNAVAILABLE).
        """
        for _attempt in range(_ORDERED_ATTEMPTS):
            try:
                async with self.transaction(late=True) as work:
                    await work.begin_with(locks)
                    return await act(work)
            except LateLockError as late:
                locks = (*locks, *late.locks)
        raise Unavailable("Too much changes here at once; try again shortly.", code="DATABASE_UNAVAILABLE")

    @asynccontextmanager
    async def connection(self, *, discard: bool = False) -> AsyncIterator[asyncpg.Connection]:
        """A connection of one's own, for what lives longer than a transaction (advisory locks, temporary tables).

        Args:
            discard: Whether its session ends with the block, rather than being another's next.
        """
        with _unavailable():
            async with self._acquired() as connection:
                try:
                    yield connection
                except BaseException:
                    # Nobody knows what became of its session.
                    if not self._pool.is_closing():
                        connection.terminate()
                    raise
                if self._pool.is_closing() or connection.is_closed():
                    return
                if discard:
                    connection.terminate()
                else:
                    await connection.reset()


class UnitOfWork:
    """A transaction: reads, writes, and the events that commit with them.

    Writes that wait (`write`) go together in one round trip, an event with them. A transaction that begins late, and in
    which there is nothing else, is that one statement alone; one in which there is nothing at all does not even take a
    connection.

    Args:
        connection: What it runs on, in the caller's transaction, and then nothing waits. Absent in one of its own.
        acquire: Gives the connection of one of its own.
        database: Where that is.
        first: What it begins with, if it begins at all.
    """

    def __init__(
        self,
        connection: asyncpg.Connection | None = None,
        *,
        acquire: Callable[[], Awaitable[asyncpg.Connection]] | None = None,
        database: Database | None = None,
        first: Callable[[asyncpg.Connection], Awaitable[None]] | None = None,
    ) -> None:
        self._connection = connection
        self._acquire = acquire
        self._database = database
        self._first = first
        self._transaction: asyncpg.transaction.Transaction | None = None
        self._waiting: list[tuple[Statement, dict[str, Any]]] = []
        self._events: list[tuple[NewEvent, dict[str, Any]]] = []
        self._wrote_events = False
        self._held: dict[str, Lock] = {}
        self._ordered = False

    @property
    def connection(self) -> asyncpg.Connection:
        """The connection itself, for what statements cannot say (locks, cursors, temporary tables).

        Raises:
            RuntimeError: the transaction has not begun, or writes wait; `begin` first.
        """
        if self._connection is None or not self.has_begun or self._waiting:
            raise RuntimeError("begin before the connection is used")
        return self._connection

    @property
    def has_begun(self) -> bool:
        """Whether there is anything to commit yet, apart from what waits."""
        return self._acquire is None or self._transaction is not None

    @property
    def ahead(self) -> Reader:
        """Where to look whether there is anything to do: what is committed, so that nothing begins for it.

        Once the transaction has begun, it is the transaction.
        """
        return self if self.has_begun or self._database is None else self._database

    async def begin(self) -> asyncpg.Connection:
        """Let the transaction begin, if it has not, and run what waits; its connection."""
        connection = await self._connected()
        if not self.has_begun:
            transaction = connection.transaction()
            await transaction.start()
            self._transaction = transaction
            if self._first is not None:
                await self._first(connection)
        if self._waiting:
            await self._write_waiting()
        return connection

    async def _connected(self) -> asyncpg.Connection:
        if self._connection is None:
            if self._acquire is None:
                raise RuntimeError("a unit of work needs a connection")
            self._connection = await self._acquire()
        return self._connection

    @property
    def has_events(self) -> bool:
        """Whether anything was appended, or noted."""
        return self._wrote_events or bool(self._events)

    @property
    def events(self) -> Sequence[NewEvent]:
        """What was appended, in order."""
        return [event for event, _ in self._events]

    async def fetch(self, statement: Statement, **parameters: Any) -> list[asyncpg.Record]:
        """Every row."""
        connection = await self.begin()
        rows: list[asyncpg.Record] = await connection.fetch(statement.sql, *statement.arguments(parameters))
        return rows

    async def fetch_one(self, statement: Statement, **parameters: Any) -> asyncpg.Record | None:
        """The first row, or None."""
        connection = await self.begin()
        return await connection.fetchrow(statement.sql, *statement.arguments(parameters))

    async def fetch_value(self, statement: Statement, **parameters: Any) -> Any:
        """The first column of the first row, or None."""
        row = await self.fetch_one(statement, **parameters)
        return None if row is None else row[0]

    async def execute(self, statement: Statement, **parameters: Any) -> int:
        """Run a statement; returns the number of rows it touched."""
        connection = await self.begin()
        tag: str = await connection.execute(statement.sql, *statement.arguments(parameters))
        return int(tag.rpartition(" ")[2]) if tag[-1:].isdigit() else 0

    async def execute_many(self, statement: Statement, rows: Sequence[dict[str, Any]]) -> None:
        """Run a statement once for each row of parameters, in one round trip."""
        if rows:
            connection = await self.begin()
            await connection.executemany(statement.sql, [statement.arguments(row) for row in rows])

    async def write(self, statement: Statement, **parameters: Any) -> None:
        """Run an insert, update or delete before whatever follows, together with others that wait.

        Those that wait together do not see what the others write; foreign keys may refer to it.
        """
        if self._acquire is None:
            await self.execute(statement, **parameters)
        else:
            self._waiting.append((statement, parameters))
            if len(self._waiting) >= _WAIT_AT_MOST:
                await self.begin()

    async def _write_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        arguments = [value for statement, parameters in waiting for value in statement.arguments(parameters)]
        connection = await self._connected()
        await connection.execute(together(tuple(statement.sql for statement, _ in waiting)), *arguments)

    async def begin_with(self, locks: Iterable[Lock]) -> None:
        """Hold these locks, in the order of their names, and no other later. `Database.ordered` calls it."""
        # Of two with one name, the one that is held alone goes first, and counts.
        for lock in sorted(locks, key=lambda lock: (lock.name, not lock.alone)):
            await self.hold(lock)
        self._ordered = True

    async def hold(self, *locks: Lock) -> bool:
        """Hold locks until the transaction ends, waiting for others that do.

        Returns:
            Whether one of them was not held before, so that what was read before may be out of date.

        Raises:
            LateLockError: the transaction is ordered, and did not begin with all of them.
        """
        missing = [lock for lock in locks if not self._holds(lock)]
        if missing and self._ordered:
            raise LateLockError(missing)
        for lock in missing:
            connection = await self.begin()
            await connection.execute(_HOLD.format("" if lock.alone else "_shared"), lock.name)
            self._held[lock.name] = lock
        return bool(missing)

    def _holds(self, lock: Lock) -> bool:
        held = self._held.get(lock.name)
        return held is not None and (held.alone or not lock.alone)

    def append(self, *events: NewEvent) -> None:
        """Add events to the log; they are written as the last step before the commit, in this order."""
        self._events.extend((pending.event, pending.row()) for pending in PendingEvent.of_all(events))

    def note_events(self) -> None:
        """A statement has written events itself: they are to be published as soon as they are committed."""
        self._wrote_events = True

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """A part of the transaction: when the block raises, it alone is undone, its events and locks included."""
        appended, held = len(self._events), dict(self._held)
        connection = await self.begin()
        try:
            async with connection.transaction():
                yield
                await self.begin()
        except BaseException:
            self._waiting.clear()
            del self._events[appended:]
            self._held = held
            raise

    async def write_events(self) -> None:
        """Write what waits and what was appended. The database calls it; nobody else needs to."""
        if self._first is not None and (self._waiting or self._events):
            await self.begin()
        if len(self._events) == 1:
            await self.write(INSERT_EVENT, **self._events[0][1])
        elif self._events:
            connection = await self.begin()
            # Their positions grow in this order.
            records = [_RECORD(row) for _, row in self._events]
            await connection.copy_records_to_table(EVENTS.name, columns=WRITTEN, records=records)
        if self._waiting:
            await self._write_waiting()

    async def commit(self) -> None:
        """Commit. The database calls it."""
        if self._transaction is not None:
            await self._transaction.commit()

    async def roll_back(self) -> None:
        """Undo everything. The database calls it."""
        if self._transaction is not None:
            await self._transaction.rollback()


@contextmanager
def _unavailable() -> Iterator[None]:
    try:
        yield
    except UNAVAILABLE as error:
        raise Unavailable(
            "The database does not answer now; try again shortly.", code="DATABASE_UNAVAILABLE"
        ) from error
