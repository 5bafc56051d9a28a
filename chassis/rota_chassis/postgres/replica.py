"""Reads from a replica that are never older than what was committed before they began.

The primary is the one that knows what is committed, so it is asked: how far does your log go? A replica that has
replayed the log up to there shows everything whose commit anybody can know of: the caller's own writes, those of others
that a live channel told of, those of a colleague across the table. It is the read index of Raft (Ongaro, "Consensus:
Bridging Theory and Practice", 2014, section 6.4) with the log of PostgreSQL.

- One question at a time goes to the primary, and it answers for all reads that had begun when it was sent.
- A replica that is up to it within some milliseconds is read; otherwise the primary is.
- One that does not answer, or falls behind, is left until `Replica.watch` finds it well, and costs reads nothing.

What is replayed is asked on the connection that reads: behind one address may be several replicas.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg

from rota_chassis.logs import logger
from rota_chassis.postgres.pool import GONE, UNAVAILABLE, open_pool
from rota_chassis.telemetry import REPLICA_LAG, REPLICA_READS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

Answer = TypeVar("Answer")

WATCH_EVERY_S = 0.5
ACQUIRE_TIMEOUT_S = 1.0
# Of a question that a server answers from memory.
ANSWER_TIMEOUT_S = 1.0
# How long to wait for a replica that is behind, look by look; what has been asked for must not wait for long.
_PATIENCE_S = (0.001, 0.002, 0.004, 0.008)
# What a standby cannot do, or gives up for the sake of replay ("Hot Standby" in the manual of PostgreSQL).
_REFUSED = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.LockNotAvailableError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.ObjectNotInPrerequisiteStateError,
)
# A commit is on the disk before anybody learns of it, unless the server was told not to wait for that.
_END_OF_LOG = """
SELECT CAST(pg_wal_lsn_diff(
    CASE current_setting('synchronous_commit') WHEN 'off' THEN pg_current_wal_insert_lsn()
    ELSE pg_current_wal_flush_lsn() END, '0/0') AS bigint)
"""
# Of a server that is no standby, or no longer, nothing is known.
_REPLAYED = """
SELECT CASE WHEN pg_is_in_recovery() THEN CAST(pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0') AS bigint) ELSE 0 END
"""
_CLUSTER = "SELECT system_identifier FROM pg_control_system()"
_LOG = logger(__name__)


class ReadThePrimary(Exception):
    """The replica cannot serve this read."""


class EndOfLog:
    """How far the write-ahead log of the primary goes, in bytes.

    Args:
        primary: A connection to it, which no other use keeps waiting.
    """

    def __init__(self, primary: asyncpg.Pool) -> None:
        self._primary = primary
        self._asked: asyncio.Task[int] | None = None
        self._next: asyncio.Task[int] | None = None

    async def now(self) -> int:
        """Behind the commit of every transaction whose end anybody knew of when this was called."""
        # The answer to a question that is under way may be older than this call.
        if self._next is None:
            self._next = asyncio.create_task(self._ask(self._asked))
            self._next.add_done_callback(_is_seen)
        return await asyncio.shield(self._next)

    async def cluster(self) -> int:
        """The identifier of the database cluster."""
        async with self._primary.acquire(timeout=ACQUIRE_TIMEOUT_S) as connection:
            return await _ask(connection, _CLUSTER)

    async def close(self) -> None:
        """Close the connection, waiting for a question under way."""
        await self._primary.close()

    def terminate(self) -> None:
        """Close the connection at once."""
        self._primary.terminate()

    async def _ask(self, before: asyncio.Task[int] | None) -> int:
        if before is not None and not before.done():
            await asyncio.wait([before])
        self._asked, self._next = self._next, None
        async with self._primary.acquire(timeout=ACQUIRE_TIMEOUT_S) as connection:
            return await _ask(connection, _END_OF_LOG)


class ReplicaConnection(asyncpg.Connection):  # type: ignore[misc]
    """A connection that remembers how far its server had replayed the log; that only grows while the server runs."""

    _replayed = 0

    async def lag(self, position: int) -> int:
        """How many bytes of the log up to `position` are not replayed."""
        if self._replayed < position:
            await self.look()
        return max(0, position - self._replayed)

    async def look(self) -> None:
        """Ask how far the log is replayed."""
        self._replayed = await _ask(self, _REPLAYED)


class Replica:
    """A replica of a service's database: a standby that follows the primary by streaming replication.

    Args:
        pool: Connections to it, of `ReplicaConnection`.
        watched: Another, which reads do not keep waiting.
        end_of_log: Of its primary.
    """

    def __init__(self, pool: asyncpg.Pool, watched: asyncpg.Pool, end_of_log: EndOfLog) -> None:
        self._pool = pool
        self._watched = watched
        self._end_of_log = end_of_log
        self._in_use: set[Any] = set()
        self._is_well = False
        self._why_not = ""

    @classmethod
    async def open(cls, url: str, primary_url: str, *, size: int, name: str) -> Replica:
        """One that is read when `watch` has found it well; it need not answer now.

        Args:
            url: The database, on the replica.
            primary_url: The database, on its primary.
            size: At most this many connections for reads; one more looks after it, and one asks the primary.
            name: Shows in pg_stat_activity.
        """
        pool = await open_pool(url, size=size, name=name, least=0, connection_class=ReplicaConnection)
        watched = await open_pool(url, size=1, name=name, least=0, connection_class=ReplicaConnection)
        return cls(pool, watched, EndOfLog(await open_pool(primary_url, size=1, name=name, least=0)))

    async def close(self) -> None:
        """Close every connection, waiting for those in use."""
        await self._pool.close()
        await self._watched.close()
        await self._end_of_log.close()

    def terminate(self) -> None:
        """Close every connection at once."""
        self._pool.terminate()
        self._watched.terminate()
        self._end_of_log.terminate()

    async def read(self, ask: Callable[[asyncpg.Connection], Awaitable[Answer]]) -> Answer:
        """What `ask` reads on a connection to the replica.

        Raises:
            ReadThePrimary: The replica is away, is behind, or refuses.
        """
        if not self._is_well:
            REPLICA_READS.labels("primary", "away").inc()
            raise ReadThePrimary
        try:
            position = await self._end_of_log.now()
        except UNAVAILABLE as error:
            REPLICA_READS.labels("primary", "unknown").inc()
            raise ReadThePrimary from error
        try:
            async with self._pool.acquire(timeout=ACQUIRE_TIMEOUT_S) as connection:
                if await _is_caught_up(connection, position):
                    answer = await self._read(connection, ask)
                    REPLICA_READS.labels("replica", "").inc()
                    return answer
        except _REFUSED as error:
            REPLICA_READS.labels("primary", "refused").inc()
            raise ReadThePrimary from error
        except TimeoutError as error:
            # It may only be busy; whether it is gone `watch` finds out.
            REPLICA_READS.labels("primary", "late").inc()
            raise ReadThePrimary from error
        except GONE as error:
            self._leave(repr(error))
            REPLICA_READS.labels("primary", "away").inc()
            raise ReadThePrimary from error
        self._leave("it is behind")
        REPLICA_READS.labels("primary", "behind").inc()
        raise ReadThePrimary

    async def _read(
        self, connection: asyncpg.Connection, ask: Callable[[asyncpg.Connection], Awaitable[Answer]]
    ) -> Answer:
        self._in_use.add(connection)
        try:
            return await ask(connection)
        finally:
            self._in_use.discard(connection)

    async def watch(self) -> None:
        """Look after the replica until cancelled: leave it when it is not well, go back when it is.

        What is read there when it no longer answers is read from the primary then.
        """
        while True:
            try:
                if not self._is_well:
                    await self._require_same_cluster()
                is_caught_up = await self._look(await self._end_of_log.now())
            # Whatever keeps it from answering, reads go elsewhere.
            except (*UNAVAILABLE, asyncpg.PostgresError, _OtherClusterError) as error:
                self._leave(repr(error))
            else:
                if is_caught_up:
                    self._go_back()
                else:
                    self._leave("it is behind")
            await asyncio.sleep(WATCH_EVERY_S)

    async def _look(self, position: int) -> bool:
        try:
            async with self._watched.acquire(timeout=ACQUIRE_TIMEOUT_S) as connection:
                await connection.look()
                is_caught_up = await _is_caught_up(connection, position)
                REPLICA_LAG.set(await connection.lag(position))
                return is_caught_up
        except GONE:
            for pool in (self._pool, self._watched):
                await pool.expire_connections()
            for connection in self._in_use:
                connection.terminate()
            raise

    async def _require_same_cluster(self) -> None:
        """Positions in the logs of two clusters have nothing to do with each other."""
        async with self._watched.acquire(timeout=ACQUIRE_TIMEOUT_S) as connection:
            found = await _ask(connection, _CLUSTER)
        if found != await self._end_of_log.cluster():
            raise _OtherClusterError("it is no copy of the primary: look at ROTA_POSTGRES_REPLICA_URL")

    def _leave(self, why: str) -> None:
        if self._is_well or why != self._why_not:
            _LOG.warning("replica.left", why=why)
        self._is_well, self._why_not = False, why

    def _go_back(self) -> None:
        if not self._is_well:
            _LOG.info("replica.read")
        self._is_well, self._why_not = True, ""


class _OtherClusterError(Exception):
    pass


async def _ask(connection: Any, sql: str) -> int:
    """The answer to a question that a server answers at once.

    Raises:
        TimeoutError: It does not; the connection is of no more use.
    """
    try:
        answer: int = await connection.fetchval(sql, timeout=ANSWER_TIMEOUT_S)
    except TimeoutError:
        # Asking it to give the question up would hang as well.
        connection.terminate()
        raise
    return answer


async def _is_caught_up(connection: Any, position: int) -> bool:
    """Whether the server of the connection has replayed the log up to there, perhaps after a short wait."""
    for pause_s in _PATIENCE_S:
        if not await connection.lag(position):
            return True
        await asyncio.sleep(pause_s)
    return not await connection.lag(position)


def _is_seen(question: asyncio.Task[int]) -> None:
    """All who asked may have gone, and nobody be left to look at a failure."""
    if not question.cancelled():
        question.exception()
