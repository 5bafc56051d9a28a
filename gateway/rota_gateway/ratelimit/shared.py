"""A rate limiter that all gateways share, in Redis.

One script call counts a call. For quotas of many calls it takes several at once, and the rest is spent here without
asking Redis: a round trip would cost more than the rest of a read. What is taken is worth only as long as it takes to
come back, so a caller who keeps to the rate never runs out, and nobody gets more than the quota.

Redis may be down: then a share of the limit is counted within the process, and Redis is tried again once a second, by
one call at a time, so that its timeout is not added to every request.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from redis.exceptions import RedisError
from rota_chassis.logs import logger

from rota_gateway.metrics import RATE_LIMIT_FALLBACKS
from rota_gateway.ratelimit.gcra import MICROSECONDS
from rota_gateway.ratelimit.limiter import Decision

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis.asyncio import Redis

    from rota_gateway.ratelimit.gcra import Quota
    from rota_gateway.ratelimit.limiter import RateLimiter

TRY_AGAIN_S = 1.0
MAX_KEYS = 50_000
# A fiftieth of the quota at a time; what is taken lasts a fiftieth of the window.
BATCHES = 50
_LOG = logger(__name__)

# gcra.take, on the clock of Redis. KEYS: the key; ARGV: interval in us, limit, calls wanted.
# Returns: granted, remaining, us to wait.
_SCRIPT = """
local interval, limit, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local arrival = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
local available = math.floor((now + interval * limit - arrival) / interval)
local granted = math.max(0, math.min(available, wanted))
if granted > 0 then
    arrival = arrival + granted * interval
    redis.call('SET', KEYS[1], string.format('%.0f', arrival), 'PX', math.ceil((arrival - now) / 1000))
end
local remaining = math.max(0, available - granted)
local wait = 0
if granted == 0 then
    wait = arrival + interval - interval * limit - now
end
return {granted, remaining, wait}
"""


@dataclass(slots=True)
class _Batch:
    left: int
    remaining: int
    until: float
    refused: bool = False


class SharedLimiter:
    """Counts in Redis.

    Args:
        redis: with short timeouts.
        fallback: counts while Redis is down.
        share: of a quota that the fallback gives, by the name of its policy; `default_share` for others.
        monotonic: a clock that never goes back, in seconds.
    """

    def __init__(
        self,
        redis: Redis,
        fallback: RateLimiter,
        *,
        share: dict[str, float],
        default_share: float = 0.5,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._script = redis.register_script(_SCRIPT)
        self._fallback = fallback
        self._share = share
        self._default_share = default_share
        self._monotonic = monotonic
        self._batches: dict[tuple[str, str], _Batch] = {}
        self._asking: dict[tuple[str, str], asyncio.Event] = {}
        self._lost = False
        self._next_try = 0.0

    async def take(self, key: str, quota: Quota) -> Decision:
        """Count one call of `key` against a quota."""
        name = (quota.name, key)
        decision = self._from_batch(name, quota)
        while decision is None and _wanted(quota) > 1 and name in self._asking:
            # One call at a time asks for a batch: several would take what all of them cannot use.
            await self._asking[name].wait()
            decision = self._from_batch(name, quota)
        if decision is not None:
            return decision
        if self._lost:
            now = self._monotonic()
            if now < self._next_try:
                return await self._take_locally(key, quota)
            self._next_try = now + TRY_AGAIN_S
        answered = self._asking[name] = asyncio.Event()
        try:
            return await self._take_shared(key, quota)
        except (RedisError, OSError, TimeoutError) as error:
            self._next_try = self._monotonic() + TRY_AGAIN_S
            if not self._lost:
                self._lost = True
                RATE_LIMIT_FALLBACKS.inc()
                _LOG.warning("rate_limit.fallback", error=repr(error))
            return await self._take_locally(key, quota)
        finally:
            self._asking.pop(name, None)
            answered.set()

    def _from_batch(self, name: tuple[str, str], quota: Quota) -> Decision | None:
        now = self._monotonic()
        batch = self._batches.get(name)
        if batch is None or batch.until <= now:
            return None
        if batch.left > 0:
            batch.left -= 1
            return Decision(True, quota, batch.remaining + batch.left)
        return Decision(False, quota, 0, batch.until - now) if batch.refused else None

    async def _take_shared(self, key: str, quota: Quota) -> Decision:
        wanted = _wanted(quota)
        interval_us = quota.interval_us
        granted, remaining, wait_us = await self._script(
            keys=[f"rota:rate:{{{key}}}:{quota.name}"], args=[interval_us, quota.limit, wanted]
        )
        if self._lost:
            self._lost = False
            _LOG.info("rate_limit.recovered")
        now = self._monotonic()
        if granted:
            if wanted > 1:
                self._keep(key, quota, _Batch(granted - 1, remaining, now + granted * interval_us / MICROSECONDS))
            return Decision(True, quota, granted - 1 + remaining)
        wait_s = wait_us / MICROSECONDS
        self._keep(key, quota, _Batch(0, 0, now + wait_s, refused=True))
        return Decision(False, quota, 0, wait_s)

    def _keep(self, key: str, quota: Quota, batch: _Batch) -> None:
        if len(self._batches) >= MAX_KEYS:
            now = self._monotonic()
            self._batches = {name: kept for name, kept in self._batches.items() if kept.until > now}
        self._batches[(quota.name, key)] = batch

    async def _take_locally(self, key: str, quota: Quota) -> Decision:
        return await self._fallback.take(key, quota.share(self._share.get(quota.name, self._default_share)))


def _wanted(quota: Quota) -> int:
    return max(1, quota.limit // BATCHES)
