"""Sleeping until something is due."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from rota_chassis.errors import Unavailable
from rota_chassis.logs import logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from rota_chassis.clock import Clock

POLL_S = 1.0
CONTENDED_S = 0.05
_LOG = logger(__name__)


class Ticker:
    """Calls `tick` when it is time: at the instant it returned last, when woken, and at least once a second.

    Args:
        name: Shows in the log.
        tick: Does what is due and returns when to tick next; None when it knows of nothing.
        clock: Whose time counts.
    """

    def __init__(self, name: str, tick: Callable[[], Awaitable[datetime | None]], clock: Clock) -> None:
        self._name = name
        self._tick = tick
        self._clock = clock
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Tick again now: something may have become due earlier than was known."""
        self._woken.set()

    async def run(self) -> None:
        """Tick until cancelled; while the database is away, once a second."""
        while True:
            self._woken.clear()
            try:
                due = await self._tick()
            except Unavailable as error:
                _LOG.warning("ticker.interrupted", ticker=self._name, error=repr(error.__cause__ or error))
                due = self._clock.now() + timedelta(seconds=POLL_S)
                self._woken.clear()
            try:
                async with asyncio.timeout(self._delay_s(due)):
                    await self._woken.wait()
            except TimeoutError:
                pass

    def _delay_s(self, due: datetime | None) -> float:
        if due is None:
            return POLL_S
        return min(max((due - self._clock.now()).total_seconds(), 0), POLL_S)


async def until_available(do: Callable[[], Awaitable[object]], name: str) -> None:
    """Do something once; while the database is away, try again once a second."""
    while True:
        try:
            await do()
        except Unavailable as error:
            _LOG.warning("start.interrupted", what=name, error=repr(error.__cause__ or error))
            await asyncio.sleep(POLL_S)
        else:
            return


def next_tick(now: datetime, *, taken: int, batch: int, due: datetime | None) -> datetime | None:
    """When to tick next, after a tick at `now` took some of what was due.

    Args:
        now: The time of the tick.
        taken: How many rows it took.
        batch: How many it would have taken at most.
        due: When the next row is due, as the database says now.
    """
    if taken == batch:
        return now
    if taken == 0 and due is not None:
        # What is due is being taken by others; give them a moment rather than ask without pause.
        return max(due, now + timedelta(seconds=CONTENDED_S))
    return due
