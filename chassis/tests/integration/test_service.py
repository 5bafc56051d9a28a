"""A service as the process that operators run: `python -m rota_tasks`."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import socket
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import asyncpg
import nats
import pytest
from rota.tasks.v1 import tasks_pb2, tasks_pb2_grpc
from rota_chassis.health import is_serving
from rota_chassis.ids import uuid7
from rota_chassis.postgres.migrations import migrate, migrate_all
from rota_chassis.rpc.channel import acting_for, open_channel
from rota_chassis.service import Runtime, Service, serving
from rota_chassis.settings import DEVELOPMENT_SECRET, ServiceSettings, database_url
from rota_chassis.testing import servers
from rota_chassis.testing.auth import SmallAuth, small_auth
from rota_chassis.testing.streams import stored_events
from rota_chassis.testing.waiting import eventually
from rota_chassis.tokens import ServiceTokens

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from conftest import RestartableNats
    from rota_chassis.embedded.postgres import Postgres

TOKENS = ServiceTokens("test", DEVELOPMENT_SECRET)


class Tasks:
    """The tasks service, its process and a user who calls it."""

    def __init__(self, folder: Path, auth: SmallAuth, **environment: str) -> None:
        self.address = f"unix:{folder}/tasks.sock"
        self.channel = open_channel(self.address, TOKENS)
        self.user_id, self.workspace_id = uuid7(), uuid7()
        auth.add_member(self.workspace_id, self.user_id, role="owner")
        self.process: asyncio.subprocess.Process | None = None
        self.lines: list[dict[str, Any]] = []
        self._reading: asyncio.Task[None] | None = None
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ROTA_")},
            "ROTA_TASKS_ADDRESS": self.address,
            "ROTA_AUTH_ADDRESS": auth.address,
            **environment,
        }

    def set(self, name: str, value: str) -> None:
        self._environment[name] = value

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "rota_tasks", stdout=asyncio.subprocess.PIPE, env=self._environment
        )
        self._reading = asyncio.create_task(self._read(self.process))

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            self.lines.append(json.loads(line))

    def logged(self, event: str) -> bool:
        return any(line["event"] == event for line in self.lines)

    async def serving(self) -> bool:
        return await is_serving(self.channel, timeout_s=1)

    async def create(self, title: str) -> Any:
        stub: Any = tasks_pb2_grpc.TaskServiceStub(self.channel)
        metadata = acting_for(TOKENS, self.user_id, self.workspace_id)
        return (await stub.CreateTask(tasks_pb2.CreateTaskRequest(title=title), metadata=metadata)).task

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    async def ended(self) -> int:
        assert self.process is not None
        assert self._reading is not None
        code = await asyncio.wait_for(self.process.wait(), 20)
        await self._reading
        return code

    async def stop(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
        if self.process is not None:
            await self.ended()
        await self.channel.close()


@asynccontextmanager
async def tasks(folder: Path, **environment: str) -> AsyncIterator[Tasks]:
    async with small_auth() as auth:
        service = Tasks(folder, auth, **environment)
        try:
            yield service
        finally:
            await service.stop()


@pytest.fixture
async def service(tmp_path: Path, postgres_url: str, redis_url: str, fresh_nats_url: str) -> AsyncIterator[Tasks]:
    await migrate("tasks", postgres_url)
    urls = {"ROTA_POSTGRES_URL": postgres_url, "ROTA_REDIS_URL": redis_url, "ROTA_NATS_URL": fresh_nats_url}
    async with tasks(tmp_path, **urls) as service:
        yield service


async def test_sigterm_lets_a_call_under_way_end_and_then_exits_with_0(service: Tasks, postgres_url: str) -> None:
    await service.start()
    await eventually(service.serving, timeout_s=30)
    await service.create("Warm")
    connection = await asyncpg.connect(database_url(postgres_url, "rota_tasks"))
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'tasks'::regclass"
    async with connection.transaction():
        await connection.execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
        call = asyncio.create_task(service.create("Slow"))
        await eventually(lambda: connection.fetchval(waiting))
        service.signal(signal.SIGTERM)
        await eventually(lambda: service.logged("service.draining"))
        assert not call.done()
    assert (await call).title == "Slow"
    assert await service.ended() == 0
    assert service.lines[-1]["event"] == "service.stopped"
    assert {line["service"] for line in service.lines} == {"tasks"}
    await connection.close()


async def test_after_sigkill_nothing_acknowledged_is_lost_and_the_same_address_serves_again(
    service: Tasks, fresh_nats_url: str
) -> None:
    await service.start()
    await eventually(service.serving, timeout_s=30)
    created = [(await service.create(f"Task {number}")).id for number in range(20)]
    service.signal(signal.SIGKILL)
    assert await service.ended() == -signal.SIGKILL
    await service.start()
    await eventually(service.serving, timeout_s=30)
    created.append((await service.create("After")).id)
    client = await nats.connect(fresh_nats_url)

    async def published() -> list[str]:
        ids = [event.data.task.id for event in await stored_events(client)]
        return sorted(each for each in ids if each in created)

    async def all_published() -> bool:
        return len(await published()) >= len(created)

    await eventually(all_published)
    assert await published() == sorted(created)
    await client.close()
    service.signal(signal.SIGTERM)
    assert await service.ended() == 0


async def test_a_service_starts_without_nats_and_redis_and_picks_up_when_they_come(
    tmp_path: Path, postgres_url: str, own_nats: RestartableNats
) -> None:
    await migrate("tasks", postgres_url)
    await own_nats.start()
    await own_nats.stop()
    redis = servers.redis(tmp_path)
    urls = {"ROTA_POSTGRES_URL": postgres_url, "ROTA_REDIS_URL": redis.url, "ROTA_NATS_URL": own_nats.url}
    async with tasks(tmp_path, **urls) as service:
        await service.start()
        await eventually(service.serving, timeout_s=30)
        task = await service.create("Without NATS")
        await own_nats.start()
        client = await nats.connect(own_nats.url)

        async def published() -> bool:
            try:
                return task.id in [event.data.task.id for event in await stored_events(client)]
            except nats.js.errors.NotFoundError:
                return False

        await eventually(published, timeout_s=20)
        await client.close()
        service.signal(signal.SIGTERM)
        assert await service.ended() == 0


async def test_a_service_stops_cleanly_while_nats_is_down(tmp_path: Path, postgres_url: str, redis_url: str) -> None:
    await migrate("tasks", postgres_url)
    nowhere = {"ROTA_NATS_URL": "nats://127.0.0.1:9", "ROTA_REDIS_URL": redis_url, "ROTA_POSTGRES_URL": postgres_url}
    async with tasks(tmp_path, **nowhere) as service:
        await service.start()
        await eventually(service.serving, timeout_s=30)
        service.signal(signal.SIGINT)
        assert await service.ended() == 0


async def test_without_a_database_a_service_says_so_in_one_line_and_exits_with_1(tmp_path: Path) -> None:
    async with tasks(tmp_path, ROTA_POSTGRES_URL=f"postgresql://postgres@/postgres?host={tmp_path}") as service:
        await service.start()
        assert await service.ended() == 1
    (line,) = service.lines
    assert (line["event"], line["level"]) == ("service.cannot_start", "error")


async def test_an_address_that_is_taken_is_said_in_one_line(service: Tasks) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        service.set("ROTA_LISTEN", f"127.0.0.1:{taken.getsockname()[1]}")
        await service.start()
        assert await service.ended() == 1
    assert [line["event"] for line in service.lines] == ["service.cannot_start"]


async def test_a_setting_that_is_wrong_is_said_in_one_line(tmp_path: Path) -> None:
    async with tasks(tmp_path, ROTA_SERVICE_SECRET="short") as service:
        await service.start()
        assert await service.ended() == 1
    (line,) = service.lines
    assert "at least 32 characters" in line["error"]
    assert "short" not in line["error"].replace("shorter", "")


async def test_health_follows_the_database(
    tmp_path: Path, own_postgres: Postgres, redis_url: str, fresh_nats_url: str
) -> None:
    await migrate_all(["tasks", "tasks"], own_postgres.url)
    urls = {"ROTA_POSTGRES_URL": own_postgres.url, "ROTA_REDIS_URL": redis_url, "ROTA_NATS_URL": fresh_nats_url}
    async with tasks(tmp_path, **urls, ROTA_METRICS_LISTEN="127.0.0.1:0") as service:
        await service.start()
        await eventually(service.serving, timeout_s=30)
        await own_postgres.stop()

        async def not_serving() -> bool:
            return not await service.serving()

        await eventually(not_serving)
        assert service.process is not None
        assert service.process.returncode is None
        await own_postgres.start()
        await eventually(service.serving, timeout_s=30)
        await service.create("Back")
        service.signal(signal.SIGTERM)
        assert await service.ended() == 0


@pytest.mark.parametrize("error", [None, LookupError("gone")])
async def test_a_background_task_that_ends_ends_the_service(
    tmp_path: Path, tables_url: str, redis_url: str, fresh_nats_url: str, error: Exception | None
) -> None:
    class _Settings(ServiceSettings):
        def database_url(self, service: str) -> str:  # noqa: ARG002 (the base class's signature)
            return tables_url

    async def end() -> None:
        if error is not None:
            raise error

    async def build(runtime: Runtime[_Settings]) -> None:
        runtime.background("short-lived", end)

    settings = _Settings(listen=f"unix:{tmp_path}/test.sock", redis_url=redis_url, nats_url=fresh_nats_url)
    async with serving(Service("test", _Settings, build), settings) as failure:
        with pytest.raises(type(error or RuntimeError()), match=r"gone|short-lived ended by itself"):
            await failure


async def test_the_health_of_a_service_is_the_exit_code_of_a_command(service: Tasks) -> None:
    async def healthy() -> bool:
        command = [sys.executable, "-m", "rota_chassis.health", service.address]
        process = await asyncio.create_subprocess_exec(*command)
        return await process.wait() == 0

    assert not await healthy()
    await service.start()
    await eventually(service.serving, timeout_s=30)
    assert await healthy()


async def test_traces_are_sent_to_the_collector(service: Tasks) -> None:
    asked: list[bytes] = []

    async def collect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    collector = await asyncio.start_server(collect, "127.0.0.1", 0)
    port = collector.sockets[0].getsockname()[1]
    service.set("ROTA_OTLP_ENDPOINT", f"http://127.0.0.1:{port}/v1/traces")
    await service.start()
    await eventually(service.serving, timeout_s=30)
    await service.create("Traced")
    service.signal(signal.SIGTERM)
    assert await service.ended() == 0
    assert b"POST /v1/traces HTTP/1.1\r\n" in asked
    collector.close()
    await collector.wait_closed()


async def test_migrations_at_the_same_time_take_turns(postgres_url: str) -> None:
    name = f"migrated_{secrets.token_hex(4)}"
    await asyncio.gather(*(migrate("tasks", postgres_url, database=name) for _ in range(3)))
    connection = await asyncpg.connect(database_url(postgres_url, name))
    assert await connection.fetchval("SELECT count(*) FROM alembic_version") == 1
    await connection.close()


async def test_migrations_take_an_address_as_any_client_does(postgres_url: str) -> None:
    name = f"migrated_{secrets.token_hex(4)}"
    address = postgres_url.replace("postgresql://", "postgres://")
    await migrate("tasks", f"{address}{'&' if '?' in address else '?'}sslmode=prefer", database=name)
