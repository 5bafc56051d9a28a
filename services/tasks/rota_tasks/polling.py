"""Working off in the background what transactions have left a note of."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from rota_chassis.errors import Unavailable
from rota_chassis.logs import logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

POLL_S = 1.0
_LOG = logger(__name__)


async def work_off(
    step: Callable[[], Awaitable[bool]], name: str, *, every_s: float = POLL_S, woken: asyncio.Event | None = None
) -> None:
    """Repeat a step as long as it says that there was something to do, again and again, until cancelled.

    While the database is away, or what else the step needs, try again.

    Args:
        step: What to do.
        name: What it works off.
        every_s: How long to wait before it is tried again, in seconds.
        woken: Ends the wait when it is set.
    """
    woken = woken or asyncio.Event()
    while True:
        woken.clear()
        try:
            while await step():
                pass
        except Unavailable as error:
            _LOG.warning("polling.interrupted", what=name, error=repr(error.__cause__ or error))
            woken.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(every_s):
                await woken.wait()
