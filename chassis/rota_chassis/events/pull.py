"""A continuous JetStream pull: one request is always outstanding, so that messages arrive as soon as they exist.

The client library's `fetch` waits for a batch to fill or time out; an event must not wait for its neighbours. Each
request has a reply subject of its own, so that news of an older one (given up for lost, but alive) are told apart.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import orjson
from nats.errors import Error as NatsError

from rota_chassis.logs import logger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nats.aio.client import Client
    from nats.aio.msg import Msg

BATCH = 128
EXPIRES_S = 30
HEARTBEAT_S = 1
_NANOSECONDS = 1_000_000_000
_LOG = logger(__name__)


class ConsumerGone(NatsError):
    """Nobody answers for the durable consumer: it must be made again."""


class Pull:
    """Messages of a durable consumer, as they come; each must be acknowledged by whoever takes it.

    Args:
        nats: The connection.
        stream: Name of the stream.
        consumer: Durable name.
        expires_s: How long the server keeps a request.
        heartbeat_s: How often the server says that it still does; at most half of `expires_s`.
    """

    def __init__(
        self,
        nats: Client,
        stream: str,
        consumer: str,
        *,
        expires_s: float = EXPIRES_S,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        self._nats = nats
        self._expires_s = expires_s
        self._heartbeat_s = heartbeat_s
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._inbox = nats.new_inbox()
        self._queue: asyncio.Queue[Msg] = asyncio.Queue()
        self._requested = 0
        self._requests = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[AsyncIterator[Msg]]:
        """Begin to pull; ends when the block ends. Reading raises `ConsumerGone` when the consumer does not exist."""
        subscription = await self._nats.subscribe(f"{self._inbox}.*", cb=self._queue.put)
        try:
            yield self._messages()
        finally:
            await subscription.unsubscribe()

    async def _messages(self) -> AsyncIterator[Msg]:
        await self._request()
        while True:
            try:
                async with asyncio.timeout(2 * self._heartbeat_s):
                    message = await self._queue.get()
            except TimeoutError:
                # Not even a heartbeat: the request was lost, with the server or the connection.
                _LOG.info("pull.renewed", subject=self._subject)
                await self._request()
                continue
            headers = message.headers or {}
            status = headers.get("Status") if not message.reply else None
            if status is not None:
                await self._react(message.subject, status, headers.get("Description", ""))
                continue
            self._requested -= 1
            yield message
            if self._requested <= 0:
                await self._request()

    async def _react(self, subject: str, status: str, description: str) -> None:
        """Do what a status message asks for: 100 is a heartbeat, all others end the request (ADR-13)."""
        if status == "100" or subject != self._reply:
            return
        if status == "503" or "deleted" in description.lower():
            raise ConsumerGone(description or "no responders")
        if status == "409":
            await asyncio.sleep(1)  # the server leaves, or has too many requests
        await self._request()

    @property
    def _reply(self) -> str:
        return f"{self._inbox}.{self._requests}"

    async def _request(self) -> None:
        self._requested = BATCH
        self._requests += 1
        request = {
            "batch": BATCH,
            "expires": int(self._expires_s * _NANOSECONDS),
            "idle_heartbeat": int(self._heartbeat_s * _NANOSECONDS),
        }
        await self._nats.publish(self._subject, orjson.dumps(request), reply=self._reply)
