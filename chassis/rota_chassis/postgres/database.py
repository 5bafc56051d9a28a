"""A service's own database: a pool, reads, and transactions."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from rota_chassis.errors import Unavailable
from rota_chassis.postgres.pool import UNAVAILABLE, open_pool
from rota_chassis.postgres.replica import ReadThePrimary, Replica
from rota_chassis.postgres.routing import is_replica_allowed
from rota_chassis.postgres.work import LateLockError, UnitOfWork

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    import asyncpg

    from rota_chassis.postgres.statements import Statement
    from rota_chassis.postgres.work import Lock

Answer = TypeVar("Answer")

ACQUIRE_TIMEOUT_S = 5.0
_ORDERED_ATTEMPTS = 10


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
                work = UnitOfWork(lambda: held.enter_async_context(self._acquired()), database=self, first=first)
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


@contextmanager
def _unavailable() -> Iterator[None]:
    try:
        yield
    except UNAVAILABLE as error:
        raise Unavailable(
            "The database does not answer now; try again shortly.", code="DATABASE_UNAVAILABLE"
        ) from error
