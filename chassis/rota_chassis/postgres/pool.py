"""Pools of connections as Rota wants them, and which errors mean that a server cannot answer now."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg
import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping

_STATEMENTS_KEPT = 1_000
_SESSION = {
    "statement_timeout": "15s",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "30s",
    "timezone": "UTC",
    # Disks seek for nothing nowadays; with the default of 4 a whole table looks cheaper than a thousand rows of it.
    "random_page_cost": "1.1",
}
GONE = (
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
)
"""The server cannot be reached, or lets nobody in."""
UNAVAILABLE = (
    *GONE,
    asyncpg.QueryCanceledError,
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
)
"""Or it gave up what was asked."""


async def open_pool(
    url: str, *, size: int, name: str, least: int = 1, connection_class: type[asyncpg.Connection] = asyncpg.Connection
) -> asyncpg.Pool:
    """A pool that connects to the server.

    Args:
        url: The database.
        size: At most this many connections.
        name: Shows in pg_stat_activity.
        least: How many are made at once; with 0 the server need not answer now.
        connection_class: What they are.
    """
    settings: Mapping[str, str] = {**_SESSION, "application_name": name}
    return await asyncpg.create_pool(
        url,
        min_size=least,
        max_size=size,
        max_inactive_connection_lifetime=60,
        statement_cache_size=_STATEMENTS_KEPT,
        max_cached_statement_lifetime=0,
        connection_class=connection_class,
        init=prepare_connection,
        reset=_leave_as_it_is,
        server_settings=settings,
    )


async def prepare_connection(connection: asyncpg.Connection) -> None:
    """Let JSON columns be Python values on this connection, in the binary form, which COPY needs."""
    await connection.set_type_codec(
        "json", schema="pg_catalog", format="binary", encoder=orjson.dumps, decoder=orjson.loads
    )
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        format="binary",
        # The first byte is the version of the form.
        encoder=lambda value: b"\x01" + orjson.dumps(value),
        decoder=lambda data: orjson.loads(data[1:]),
    )


async def _leave_as_it_is(_connection: asyncpg.Connection) -> None:
    """What the pool does with a connection that comes back, beside rolling back: nothing, which spares a round trip.

    Whoever changes a session beyond a transaction puts it right again (`Database.fetch`, `Database.connection`).
    """
