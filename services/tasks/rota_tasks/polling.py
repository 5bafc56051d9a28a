"""Working off in the background what transactions have left a note of."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from rota_chassis.errors import Unavailable
from rota_chassis.logs import logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

POLL_S = 1.0
_LOG = logger(__name__)


async def work_off(step: Callable[[], Awaitable[bool]], name: str) -> None:
    """Repeat a step as long as it says that there was something to do, once a second, until cancelled.

    While the database is away, try again once a second.
    """
    while True:
        try:
            while await step():
                pass
        except Unavailable as error:
            _LOG.warning("polling.interrupted", what=name, error=repr(error.__cause__ or error))
        await asyncio.sleep(POLL_S)
