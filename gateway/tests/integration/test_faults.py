from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import httpx
import pytest
from rota_chassis.errors import Internal, Unavailable
from rota_chassis.testing import servers
from rota_chassis.testing.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from rota_chassis.testing.services import User
    from tests.integration.conftest import RunSystem, System


async def test_a_service_that_is_down_fails_only_its_own_routes_and_says_so(system: System) -> None:
    user = system.user()
    await system.stop("tasks")
    for _ in range(10):
        answer = await system.get("/api/v1/tasks", user)
        assert answer.status_code == 503
        problem = answer.json()
        assert (problem["code"], problem["service"]) == ("UPSTREAM_UNAVAILABLE", "tasks")
        assert "sock" not in problem["detail"]
        assert int(answer.headers["retry-after"]) >= 1
    begun = time.perf_counter()
    for _ in range(20):
        await system.get("/api/v1/tasks", user)
    assert time.perf_counter() - begun < 2, "an open breaker answers at once"
    login = {"email": "ada@example.com", "password": "correct horse"}
    assert (await system.http.post("/api/v1/auth/login", json=login)).status_code == 200
    await system.start("tasks")

    async def recovered() -> bool:
        return (await system.get("/api/v1/tasks", user)).status_code == 200

    await eventually(recovered)


async def test_a_read_is_tried_once_more_and_a_creation_is_not(system: System) -> None:
    user = system.user()
    system.tasks.failure, system.tasks.failures = Unavailable("Come back.", code="DATABASE_UNAVAILABLE"), 1
    assert (await system.get("/api/v1/tasks", user)).status_code == 200
    assert len(system.tasks.asked) == 2
    system.tasks.failures = 1
    created = await system.http.post(
        "/api/v1/tasks", json={"title": "x"}, headers={"authorization": f"Bearer {user.token}"}
    )
    assert (created.status_code, created.json()["code"]) == (503, "DATABASE_UNAVAILABLE")
    assert created.json()["service"] == "tasks"
    assert len(system.tasks.asked) == 3


@pytest.mark.parametrize("failure", [Internal("the password is hunter2"), RuntimeError("hunter2")])
async def test_a_crash_behind_the_gateway_tells_nothing(system: System, failure: Exception) -> None:
    system.tasks.failure, system.tasks.failures = failure, 2
    answer = await system.get("/api/v1/tasks", system.user())
    assert (answer.status_code, answer.json()["code"]) == (500, "INTERNAL")
    assert "hunter2" not in answer.text


async def test_callers_are_held_to_their_quota_each_by_themselves(run_system: RunSystem, nats_url: str) -> None:
    async with run_system(nats_url=nats_url, rate_write="3/60s") as system:
        ada, grace = system.user(), system.user()

        async def write(user: User) -> int:
            headers = {"authorization": f"Bearer {user.token}"}
            answer = await system.http.post("/api/v1/tasks", json={"title": "x"}, headers=headers)
            if answer.status_code == 429:
                assert answer.json()["code"] == "RATE_LIMITED"
                assert 1 <= int(answer.headers["retry-after"]) <= 20
                assert answer.headers["ratelimit"].startswith('"write";r=0;t=')
            return answer.status_code

        assert [await write(ada) for _ in range(4)] == [201, 201, 201, 429]
        assert await write(grace) == 201
        assert (await system.get("/api/v1/tasks", ada)).status_code == 200


async def policy(system: System, user: User, expected: str) -> bool:
    """Whether reads are held to this policy."""
    return (await system.get("/api/v1/tasks", user)).headers["ratelimit-policy"] == expected


async def test_without_redis_calls_go_on_under_a_share_of_the_limit(
    run_system: RunSystem, nats_url: str, server_folder: Path
) -> None:
    folder = server_folder / "redis-that-stops"
    folder.mkdir()
    redis = servers.redis(folder)
    await redis.start()
    async with run_system(nats_url=nats_url, redis_url=redis.url, rate_credential="10/600s") as system:
        user = system.user()
        assert (await system.get("/api/v1/tasks", user)).headers["ratelimit-policy"] == '"read";q=600;w=10'
        redis.hurry()
        await redis.stop()
        await eventually(lambda: policy(system, user, '"read";q=300;w=10'))
        begun = time.perf_counter()
        answers = [await system.get("/api/v1/tasks", user) for _ in range(100)]
        assert {answer.status_code for answer in answers} == {200}
        assert time.perf_counter() - begun < 8, "the timeout of a dead Redis is not added to each call"
        login = {"email": "ada@example.com", "password": "correct horse"}
        codes = [(await system.http.post("/api/v1/auth/login", json=login)).status_code for _ in range(3)]
        assert codes == [200, 200, 429]
        redis = servers.redis(folder)
        await redis.start()

        await eventually(lambda: policy(system, user, '"read";q=600;w=10'))
    redis.hurry()
    await redis.stop()


async def test_requests_under_way_finish_while_the_gateway_goes_away(system: System) -> None:
    user = system.user()
    system.tasks.may_answer.clear()
    under_way = asyncio.create_task(system.get("/api/v1/tasks", user))
    await eventually(lambda: system.tasks.asked)
    system.going_away.set()

    async def refused() -> bool:
        try:
            async with httpx.AsyncClient() as another:
                answer = await another.get(f"http://127.0.0.1:{system.port}/readyz")
        except httpx.ConnectError:
            return True
        assert answer.status_code == 503
        return False

    await eventually(refused)
    system.tasks.may_answer.set()
    answer = await under_way
    assert answer.status_code == 200
    assert answer.headers["connection"] == "close"


async def leave(system: System, user: User, request: str, body: str = "") -> None:
    """Ask over a connection of one's own, and close it when the service has been asked."""
    _, writer = await asyncio.open_connection("127.0.0.1", system.port)
    head = f"{request} HTTP/1.1\r\nHost: rota\r\nAuthorization: Bearer {user.token}\r\nIdempotency-Key: mine\r\n"
    writer.write(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
    asked = len(system.tasks.asked)
    await eventually(lambda: len(system.tasks.asked) > asked)
    writer.close()


async def test_a_read_ends_at_the_service_when_its_client_goes_away(system: System) -> None:
    user = system.user()
    system.tasks.may_answer.clear()
    await leave(system, user, "GET /api/v1/tasks")
    await eventually(lambda: system.tasks.given_up == 1)


async def test_clients_that_go_away_do_not_open_the_breaker(system: System) -> None:
    user = system.user()
    system.tasks.may_answer.clear()
    for _ in range(10):
        await leave(system, user, "GET /api/v1/tasks")
    await eventually(lambda: system.tasks.given_up == 10)
    system.tasks.may_answer.set()
    assert (await system.get("/api/v1/tasks", user)).status_code == 200


async def test_a_change_goes_on_to_its_end_when_its_client_goes_away(system: System) -> None:
    user = system.user()
    system.tasks.may_answer.clear()
    await leave(system, user, "POST /api/v1/tasks", '{"title": "Water the plants"}')
    # A read that is left later has been given up, so the change would have been.
    await leave(system, user, "GET /api/v1/tasks")
    await eventually(lambda: system.tasks.given_up == 1)
    assert not system.tasks.tasks
    system.tasks.may_answer.set()
    await eventually(lambda: len(system.tasks.tasks) == 1)
    assert system.tasks.given_up == 1


async def test_a_slow_read_is_answered_to_a_client_that_waits(system: System) -> None:
    user = system.user()
    system.tasks.may_answer.clear()
    under_way = asyncio.create_task(system.get("/api/v1/tasks", user))
    await leave(system, user, "GET /api/v1/tasks")
    await eventually(lambda: system.tasks.given_up == 1)
    system.tasks.may_answer.set()
    assert (await under_way).status_code == 200
