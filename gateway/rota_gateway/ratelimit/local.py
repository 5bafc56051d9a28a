"""A rate limiter within this process."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rota_gateway.ratelimit.gcra import MICROSECONDS, take
from rota_gateway.ratelimit.limiter import Decision

if TYPE_CHECKING:
    from collections.abc import Callable

    from rota_gateway.ratelimit.gcra import Quota

MAX_KEYS = 50_000


class LocalLimiter:
    """Counts in memory.

    Args:
        monotonic: a clock that never goes back, in seconds.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._arrivals: dict[tuple[str, str], int] = {}

    async def take(self, key: str, quota: Quota) -> Decision:
        """Count one call of `key` against a quota."""
        now_us = int(self._monotonic() * MICROSECONDS)
        grant, arrival_us = take(quota, self._arrivals.get((quota.name, key), 0), now_us)
        if len(self._arrivals) >= MAX_KEYS:
            # Times that have passed say nothing any more.
            self._arrivals = {name: arrival for name, arrival in self._arrivals.items() if arrival > now_us}
        self._arrivals[(quota.name, key)] = arrival_us
        return Decision(grant.granted > 0, quota, grant.remaining, grant.wait_us / MICROSECONDS)
