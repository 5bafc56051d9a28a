from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import redis.asyncio
from rota_chassis.ids import uuid7
from rota_chassis.testing.waiting import eventually
from rota_gateway.ratelimit.gcra import Quota
from rota_gateway.ratelimit.local import LocalLimiter
from rota_gateway.ratelimit.shared import SharedLimiter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rota_gateway.ratelimit.limiter import RateLimiter


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[redis.asyncio.Redis]:
    connected = redis.asyncio.Redis.from_url(redis_url)
    yield connected
    await connected.aclose()


@pytest.fixture(params=["local", "shared"])
def limiter(request: pytest.FixtureRequest, client: redis.asyncio.Redis) -> RateLimiter:
    local = LocalLimiter()
    return local if request.param == "local" else SharedLimiter(client, local, share={})


async def test_a_quota_is_granted_and_then_refused(limiter: RateLimiter) -> None:
    quota, key = Quota("write", 5, 600), str(uuid7())
    decisions = [await limiter.take(key, quota) for _ in range(7)]
    assert [decision.allowed for decision in decisions] == [True] * 5 + [False] * 2
    assert [decision.remaining for decision in decisions] == [4, 3, 2, 1, 0, 0, 0]
    assert 100 < decisions[-1].wait_s <= 120
    assert (await limiter.take(str(uuid7()), quota)).allowed
    assert (await limiter.take(key, Quota("read", 5, 600))).allowed


async def test_a_quota_comes_back(limiter: RateLimiter) -> None:
    quota, key = Quota("write", 2, 1), str(uuid7())
    assert [(await limiter.take(key, quota)).allowed for _ in range(3)] == [True, True, False]

    async def allowed() -> bool:
        return (await limiter.take(key, quota)).allowed

    await eventually(allowed)


async def test_a_large_quota_is_granted_to_the_last_call_and_no_further(limiter: RateLimiter) -> None:
    quota, key = Quota("read", 500, 3600), str(uuid7())
    decisions = await asyncio.gather(*(limiter.take(key, quota) for _ in range(600)))
    assert sum(decision.allowed for decision in decisions) == 500


async def test_several_gateways_share_a_quota(client: redis.asyncio.Redis) -> None:
    quota, key = Quota("credential", 10, 600), str(uuid7())
    gateways = [SharedLimiter(client, LocalLimiter(), share={}) for _ in range(3)]
    decisions = [await gateways[turn % 3].take(key, quota) for turn in range(20)]
    assert sum(decision.allowed for decision in decisions) == 10
