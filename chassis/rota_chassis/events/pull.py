"""A continuous JetStream pull: one request is always outstanding, so that messages arrive as soon as they exist.

The client library's `fetch` waits for a batch to fill or time out; an event must not wait for its neighbours.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import orjson

from rota_chassis.logs import logger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nats.aio.client import Client
    from nats.aio.msg import Msg

BATCH = 128
EXPIRES_S = 30
HEARTBEAT_S = 5
_NANOSECONDS = 1_000_000_000
_LOG = logger(__name__)


class Pull:
    """Messages of a durable consumer, as they come; each must be acknowledged by whoever takes it."""

    def __init__(self, nats: Client, stream: str, consumer: str) -> None:
        self._nats = nats
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._inbox = nats.new_inbox()
        self._queue: asyncio.Queue[Msg] = asyncio.Queue()
        self._requested = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[AsyncIterator[Msg]]:
        """Begin to pull; ends when the block ends."""
        subscription = await self._nats.subscribe(self._inbox, cb=self._queue.put)
        try:
            yield self._messages()
        finally:
            await subscription.unsubscribe()

    async def _messages(self) -> AsyncIterator[Msg]:
        await self._request()
        while True:
            try:
                async with asyncio.timeout(2 * HEARTBEAT_S):
                    message = await self._queue.get()
            except TimeoutError:
                # Not even a heartbeat: the request was lost, with the server or the connection.
                _LOG.info("pull.renewed", subject=self._subject)
                await self._request()
                continue
            status = (message.headers or {}).get("Status") if not message.reply else None
            if status == "100":
                continue
            if status is not None:
                # 404, 408 and 409: the request is over (expired, consumer gone, server leaving).
                if status == "409":
                    await asyncio.sleep(1)
                await self._request()
                continue
            self._requested -= 1
            yield message
            if self._requested <= 0:
                await self._request()

    async def _request(self) -> None:
        self._requested = BATCH
        request = {
            "batch": BATCH,
            "expires": EXPIRES_S * _NANOSECONDS,
            "idle_heartbeat": HEARTBEAT_S * _NANOSECONDS,
        }
        await self._nats.publish(self._subject, orjson.dumps(request), reply=self._inbox)
