"""Telling the other replicas that runs have become available: one message for all that came within a moment.

It is a hint on a plain NATS subject, not an event: whoever misses it looks again within a second.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from nats.errors import Error as NatsError
from rota_chassis.logs import logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from nats.aio.client import Client
    from nats.aio.msg import Msg

SUBJECT = "rota.scheduler.runs_available"
AT_MOST_EVERY_S = 0.01
RETRY_S = 1.0
_LOG = logger(__name__)


class Wake:
    """Tells, and is told.

    Args:
        nats: The connection; while it is away nobody is told.
    """

    def __init__(self, nats: Client) -> None:
        self._nats = nats
        self._some = asyncio.Event()

    def tell(self) -> None:
        """Runs have been committed that may be claimed."""
        self._some.set()

    async def run(self, on_runs: Callable[[], None]) -> None:
        """Tell, and call `on_runs` when told, until cancelled."""

        async def told(_message: Msg) -> None:
            on_runs()

        await self._listen(told)
        while True:
            await self._some.wait()
            self._some.clear()
            try:
                if self._nats.is_connected:
                    await self._nats.publish(SUBJECT)
            except (NatsError, OSError) as error:
                _LOG.info("wake.not_told", error=repr(error))
            await asyncio.sleep(AT_MOST_EVERY_S)

    async def _listen(self, told: Callable[[Msg], Awaitable[None]]) -> None:
        while True:
            try:
                # A subscription outlives reconnections.
                await self._nats.subscribe(SUBJECT, cb=told)
            except (NatsError, OSError) as error:
                _LOG.info("wake.not_listening", error=repr(error))
                await asyncio.sleep(RETRY_S)
            else:
                return
