"""Workers that wait for jobs, without a connection to the database each.

One query looks for all who wait at this replica whether there is something in their queues, when runs may have become
available, and at least once a second. It wakes as many as there are jobs; they claim, and who finds nothing waits on.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING

from rota_scheduler.queues import store
from rota_scheduler.ticker import Ticker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from rota_chassis.clock import Clock
    from rota_chassis.postgres.database import Database

    from rota_scheduler.queues.store import Place

LOOK_AT_MOST_EVERY_S = 0.02


class Waiting:
    """Those who wait, by the queue.

    Attributes:
        after: Of queues with many lanes, the last that was looked at.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._ticker = Ticker("queues", self.tick, clock)
        self._waiting: defaultdict[Place, dict[asyncio.Event, None]] = defaultdict(dict)
        self.after: dict[Place, str] = {}

    def wake(self) -> None:
        """Runs may have become available."""
        if self._waiting:
            self._ticker.wake()

    async def run(self) -> None:
        """Wake those who wait until cancelled."""
        await self._ticker.run()

    @contextmanager
    def at(self, place: Place) -> Iterator[asyncio.Event]:
        """Wait at a queue within the block; the event is set when there may be something to claim."""
        event = asyncio.Event()
        self._waiting[place][event] = None
        try:
            yield event
        finally:
            del self._waiting[place][event]
            if not self._waiting[place]:
                del self._waiting[place]

    async def tick(self) -> datetime | None:
        """Wake those for whom there is something; when the next job that is not available yet will be, None if none."""
        if not self._waiting:
            return None
        # Whatever comes meanwhile is seen as well.
        await asyncio.sleep(LOOK_AT_MOST_EVERY_S)
        found = await store.look(self._database, list(self._waiting), now=self._clock.now())
        for each in found:
            # By now they may wait no more.
            for event in islice(self._waiting.get(each.place, ()), each.available):
                event.set()
        return min((each.next_at for each in found if each.next_at is not None), default=None)
