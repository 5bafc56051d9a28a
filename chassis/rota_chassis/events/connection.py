"""A NATS connection that is kept for ever; the server may be down at the start and at any time later."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from nats.aio.client import Client
from nats.errors import Error as NatsError

from rota_chassis.logs import logger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# The client library sleeps for it; a fraction of a second is fine.
RECONNECT_S = 0.5
FIRST_CONNECT_S = 1.0
_LOG = logger(__name__)


@asynccontextmanager
async def nats_connection(url: str, name: str) -> AsyncIterator[Client]:
    """A client that connects, and reconnects, by itself within the block.

    Args:
        url: Of the server, credentials included.
        name: Shows in the server's list of connections.

    Raises:
        nats.errors.Error: the server refuses the credentials.
    """
    client = Client()
    news = _News()
    # `connect` itself tries until the server is there; nobody waits for that for long.
    connecting = asyncio.create_task(
        client.connect(
            url,
            name=f"rota-{name}",
            allow_reconnect=True,
            max_reconnect_attempts=-1,
            reconnect_time_wait=RECONNECT_S,  # type: ignore[arg-type]
            connect_timeout=2,
            # Outsiders may listen below _INBOX: answers to Rota go elsewhere.
            inbox_prefix=b"_INBOX_rota",
            error_cb=news.failed,
            reconnected_cb=news.connected,
        )
    )
    await asyncio.wait([connecting], timeout=FIRST_CONNECT_S)
    if connecting.done():
        connecting.result()
    try:
        yield client
    finally:
        connecting.cancel()
        # A connection that is lost already cannot be closed in order.
        with suppress(NatsError, OSError):
            await client.close()


class _News:
    """Logs the first failure of a row, not the two of every second, and the end of the row."""

    def __init__(self) -> None:
        self._failing = False

    async def failed(self, error: Exception) -> None:
        if not self._failing:
            _LOG.warning("nats.unavailable", error=repr(error))
        self._failing = True

    async def connected(self) -> None:
        _LOG.info("nats.reconnected")
        self._failing = False
