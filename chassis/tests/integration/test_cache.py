from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest
from redis.asyncio import Redis
from rota_chassis import cache as caches
from rota_chassis.cache import TOMBSTONE_S, Cache
from rota_chassis.ids import uuid7
from rota_chassis.service import connect_redis
from rota_chassis.testing import servers
from rota_chassis.testing.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


class Loads:
    """Loads a value that a test may change, and counts how often."""

    def __init__(self, value: Any = 1) -> None:
        self.value = value
        self.number = 0

    async def __call__(self) -> Any:
        self.number += 1
        return self.value


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with connect_redis(redis_url) as client:
        yield client


@pytest.fixture
def cache(redis: Redis) -> Cache:
    return Cache(redis, "test")


@pytest.fixture
def key(cache: Cache) -> str:
    return cache.key(uuid7(), "tasks", uuid7())


def test_a_key_keeps_a_workspace_together() -> None:
    workspace_id, task_id = uuid7(), uuid7()
    key = Cache(Redis(), "tasks").key(workspace_id, "task", task_id)
    assert key == f"rota:tasks:{{{workspace_id}}}:task:{task_id}"


async def test_a_value_is_loaded_once(cache: Cache, key: str) -> None:
    load = Loads({"title": "Gießen", "tags": [1, None]})
    assert [await cache.get_or_load(key, load, ttl_s=60) for _ in range(3)] == [load.value] * 3
    assert load.number == 1


async def test_a_value_is_kept_for_its_time_only(cache: Cache, key: str, redis: Redis) -> None:
    await cache.get_or_load(key, Loads(), ttl_s=60)
    assert 0 < await redis.ttl(key) <= 60


async def test_nothing_is_not_kept(cache: Cache, key: str) -> None:
    load = Loads(None)
    for _ in range(2):
        assert await cache.get_or_load(key, load, ttl_s=60) is None
    assert load.number == 2


async def test_after_a_write_the_new_value_is_loaded(cache: Cache, key: str, redis: Redis) -> None:
    load = Loads("old")
    await cache.get_or_load(key, load, ttl_s=60)
    load.value = "new"
    await cache.invalidate(key)
    assert await cache.get_or_load(key, load, ttl_s=60) == "new"
    assert 0 < await redis.ttl(key) <= TOMBSTONE_S


async def test_when_the_tombstone_is_gone_the_value_is_kept_again(cache: Cache, key: str, redis: Redis) -> None:
    load = Loads()
    await cache.invalidate(key)
    await redis.delete(key)
    for _ in range(2):
        await cache.get_or_load(key, load, ttl_s=60)
    assert load.number == 1


async def test_a_reader_that_loaded_before_a_write_cannot_store_after_it(cache: Cache, key: str) -> None:
    loaded, written = asyncio.Event(), asyncio.Event()

    async def load_slowly() -> str:
        loaded.set()
        await written.wait()
        return "old"

    reader = asyncio.create_task(cache.get_or_load(key, load_slowly, ttl_s=60))
    await loaded.wait()
    await cache.invalidate(key)
    written.set()
    assert await reader == "old"
    assert await cache.get_or_load(key, Loads("new"), ttl_s=60) == "new"


async def test_a_reader_that_outlives_the_tombstone_cannot_store_either(redis: Redis, key: str) -> None:
    cache = Cache(redis, "test", longest_load_s=0.05)
    load = Loads("old")

    async def load_slowly() -> str:
        await asyncio.sleep(0.06)
        return str(await load())

    assert await cache.get_or_load(key, load_slowly, ttl_s=60) == "old"
    assert await redis.exists(key) == 0
    assert caches.LONGEST_LOAD_S < TOMBSTONE_S


async def test_without_redis_every_look_up_loads_and_nothing_fails(tmp_path: Path, key: str) -> None:
    async with connect_redis(f"unix://{tmp_path}/nobody.sock") as redis:
        cache = Cache(redis, "test")
        load = Loads()
        started = time.monotonic()
        for _ in range(5):
            assert await cache.get_or_load(key, load, ttl_s=60) == 1
        await cache.invalidate(key, "another")
        assert load.number == 5
        assert time.monotonic() - started < 2


async def test_redis_that_goes_away_while_a_value_is_loaded_fails_nothing(tmp_path: Path, key: str) -> None:
    server = servers.redis(tmp_path)
    await server.start()
    async with connect_redis(server.url) as redis:

        async def load() -> int:
            server.hurry()
            await server.stop()
            return 7

        assert await Cache(redis, "test").get_or_load(key, load, ttl_s=60) == 7


async def test_redis_that_hangs_costs_little_and_is_used_again_later(tmp_path: Path, key: str) -> None:
    async with servers.running(servers.redis(tmp_path)) as server, connect_redis(server.url) as redis:
        cache = Cache(redis, "test")
        load = Loads()
        await redis.ping()
        assert server.pid is not None
        os.kill(server.pid, signal.SIGSTOP)
        started = time.monotonic()
        try:
            for _ in range(5):
                assert await cache.get_or_load(key, load, ttl_s=60) == 1
        finally:
            os.kill(server.pid, signal.SIGCONT)
        assert time.monotonic() - started < 1.0

        async def kept() -> bool:
            before = load.number
            return await cache.get_or_load(key, load, ttl_s=60) == 1 and load.number == before

        await eventually(kept)


async def test_an_error_of_the_loader_is_the_callers(cache: Cache, key: str) -> None:
    async def fail() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        await cache.get_or_load(key, fail, ttl_s=60)
