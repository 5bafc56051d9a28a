"""A unit of work: a transaction, with the events that commit with it and the locks that it holds."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Protocol

from rota_chassis.events.log import EVENTS, INSERT_EVENT, WRITTEN, PendingEvent
from rota_chassis.postgres.statements import together

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence

    import asyncpg

    from rota_chassis.events.log import NewEvent
    from rota_chassis.postgres.statements import Statement

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


class UnitOfWork:
    """A transaction: reads, writes, and the events that commit with them.

    Writes that wait (`write`) go together in one round trip, an event with them. A transaction that begins late, and in
    which there is nothing else, is that one statement alone; one in which there is nothing at all does not even take a
    connection.

    `Database.transaction` makes one that begins a transaction of its own; `joining` is in one that has begun.

    Args:
        acquire: Gives the connection that it runs on, when it begins.
        database: Where to look ahead before that; absent, it begins then too.
        first: What it begins with, if it begins at all.
    """

    def __init__(
        self,
        acquire: Callable[[], Awaitable[asyncpg.Connection]],
        *,
        database: Reader | None = None,
        first: Callable[[asyncpg.Connection], Awaitable[None]] | None = None,
    ) -> None:
        self._acquire = acquire
        self._database = database
        self._first = first
        self._connection: asyncpg.Connection | None = None
        self._joined = False
        self._transaction: asyncpg.transaction.Transaction | None = None
        self._waiting: list[tuple[Statement, dict[str, Any]]] = []
        self._events: list[tuple[NewEvent, dict[str, Any]]] = []
        self._wrote_events = False
        self._held: dict[str, Lock] = {}
        self._ordered = False

    @classmethod
    def joining(cls, connection: asyncpg.Connection) -> UnitOfWork:
        """One in the transaction that its caller has begun on `connection`, and ends; nothing waits in it."""

        async def given() -> asyncpg.Connection:
            return connection

        work = cls(given)
        work._connection = connection
        work._joined = True
        return work

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
        return self._joined or self._transaction is not None

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
            await self._whole(connection.executemany(statement.sql, [statement.arguments(row) for row in rows]))

    async def _whole(self, sending: Coroutine[Any, Any, None]) -> None:
        """Wait for what is sent in several pieces; when that is cancelled, the connection ends with it.

        asyncpg passes over a cancellation between two pieces, and waits for ever for the answer to what it has not sent
        whole, with every lock that the transaction holds.
        """
        sent = asyncio.ensure_future(sending)
        try:
            await asyncio.shield(sent)
        except asyncio.CancelledError:
            (await self._connected()).terminate()
            self._transaction = None
            sent.cancel()
            await asyncio.gather(sent, return_exceptions=True)
            raise

    async def write(self, statement: Statement, **parameters: Any) -> None:
        """Run an insert, update or delete before whatever follows, together with others that wait.

        Those that wait together do not see what the others write; foreign keys may refer to it.
        """
        if self._joined:
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
