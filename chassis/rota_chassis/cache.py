"""Cache-aside on Redis that never serves what a committed write made stale, and never fails a request.

A write calls `invalidate` after its commit, which leaves a tombstone for a few seconds. A reader stores what it loaded
only if the key is absent, and only as long as the tombstone of a write in the meantime would still be there; so a
reader that loaded the old value before the write cannot store it after (the lease of "Scaling Memcache at Facebook",
NSDI 2013, section 3.2.1). If Redis cannot be reached, look-ups miss; an invalidation that could not be made leaves a
stale value for at most `ttl_s`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import orjson
from redis.exceptions import RedisError

from rota_chassis.logs import logger
from rota_chassis.telemetry import CACHE_REQUESTS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from redis.asyncio import Redis

TOMBSTONE_S = 5
# What loads for longer is not kept; the rest of the tombstone's life is for Redis to answer.
LONGEST_LOAD_S = 3
# After a failure look-ups miss for so long without asking, lest a Redis that hangs make every request wait.
PAUSE_S = 1.0
_TOMBSTONE = b"-"
_LOG = logger(__name__)


class Cache:
    """JSON values by key; keys carry the workspace as hash tag, so that Redis Cluster keeps a tenant together."""

    def __init__(
        self, redis: Redis, service: str, *, longest_load_s: float = LONGEST_LOAD_S, pause_s: float = PAUSE_S
    ) -> None:
        self._redis = redis
        self._service = service
        self._longest_load_s = longest_load_s
        self._pause_s = pause_s
        self._paused_until = 0.0

    def key(self, workspace_id: UUID, *parts: str | UUID) -> str:
        """`rota:<service>:{<workspace>}:<part>:<part>`."""
        return ":".join(["rota", self._service, f"{{{workspace_id}}}", *map(str, parts)])

    async def get_or_load(self, key: str, load: Callable[[], Awaitable[Any]], *, ttl_s: int) -> Any:
        """The cached value, or the loaded one, which is then kept; None is loaded each time."""
        if time.monotonic() < self._paused_until:
            CACHE_REQUESTS.labels("unavailable").inc()
            return await load()
        try:
            kept = await self._redis.get(key)
        except (RedisError, OSError, TimeoutError) as error:
            self._paused_until = time.monotonic() + self._pause_s
            _LOG.warning("cache.unavailable", error=repr(error))
            CACHE_REQUESTS.labels("unavailable").inc()
            return await load()
        if kept is not None and kept != _TOMBSTONE:
            CACHE_REQUESTS.labels("hit").inc()
            return orjson.loads(kept)
        CACHE_REQUESTS.labels("miss").inc()
        started = time.monotonic()
        value = await load()
        if value is not None and kept is None and time.monotonic() - started < self._longest_load_s:
            try:
                await self._redis.set(key, orjson.dumps(value), nx=True, ex=ttl_s)
            except (RedisError, OSError, TimeoutError) as error:
                _LOG.warning("cache.unavailable", error=repr(error))
        return value

    async def invalidate(self, *keys: str) -> None:
        """Forget the values; call it after the commit that made them stale."""
        try:
            async with self._redis.pipeline(transaction=False) as pipeline:
                for key in keys:
                    pipeline.set(key, _TOMBSTONE, ex=TOMBSTONE_S)
                await pipeline.execute()
        except (RedisError, OSError, TimeoutError) as error:
            _LOG.warning("cache.not_invalidated", keys=keys, error=repr(error))
