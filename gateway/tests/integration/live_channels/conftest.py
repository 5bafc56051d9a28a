"""Clients of the live channels, and a publisher of events."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import nats
import pytest
from rota_chassis.events import envelope
from rota_chassis.ids import uuid7
from websockets.asyncio.client import ClientConnection, connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from uuid import UUID

    from nats.aio.client import Client
    from rota.auth.v1 import workspaces_pb2
    from rota_chassis.testing.services import User
    from tests.integration.conftest import RunSystem, System

    ConnectPublisher = Callable[[str], AbstractAsyncContextManager["Publisher"]]
    Listening = Callable[..., AbstractAsyncContextManager["Listener"]]


class Publisher:
    """Publishes events as the relays of services do."""

    def __init__(self, client: Client) -> None:
        self.nats = client
        self.jetstream = client.jetstream()

    async def publish(self, event_type: str, workspace_id: UUID | str, data: dict[str, Any]) -> int:
        """Publish one event; its offset."""
        row = {
            "id": uuid7(),
            "type": event_type,
            "aggregate_id": uuid7(),
            "aggregate_version": 1,
            "time": datetime.now(UTC),
            "workspace_id": workspace_id,
            "actor": "system",
            "traceparent": None,
        }
        acknowledged = await self.jetstream.publish(
            envelope.subject(workspace_id, event_type),
            json.dumps(data).encode(),
            headers=envelope.headers(row, "/rota/test"),
        )
        return int(acknowledged.seq)

    async def task(self, workspace_id: UUID | str, title: str = "Water the plants") -> int:
        """Publish that a task was created."""
        return await self.publish("task.created", workspace_id, {"task": {"id": str(uuid7()), "title": title}})

    async def notification(self, user: User, title: str = "Hello") -> int:
        """Publish that a user was told something."""
        data = {"notification": {"id": str(uuid7()), "user_id": str(user.id), "title": title}}
        return await self.publish("notification.created", user.workspace_id, data)

    async def membership(self, event: str, membership: workspaces_pb2.Membership, role: str = "member") -> int:
        """Publish that a user joined or left, or has another role."""
        data = {
            "workspace_id": membership.workspace_id,
            "user_id": membership.user_id,
            "role": role,
            "version": membership.version,
        }
        return await self.publish(f"workspace.{event}", membership.workspace_id, {"membership": data})


class Listener:
    """A client of a live channel."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def frame(self, timeout_s: float = 10) -> dict[str, Any]:
        """The next frame."""
        async with asyncio.timeout(timeout_s):
            found: dict[str, Any] = json.loads(await self.socket.recv())
        return found

    async def offsets(self, count: int) -> list[int]:
        """The offsets of the next events."""
        return [(await self.frame())["offset"] for _ in range(count)]

    async def closed(self, timeout_s: float = 10) -> int | None:
        """The close code, once it is closed."""
        async with asyncio.timeout(timeout_s):
            await self.socket.wait_closed()
        return self.socket.close_code


@asynccontextmanager
async def _listening(
    system: System, channel: str, user: User | None, query: str = "", token: str | None = None
) -> AsyncIterator[Listener]:
    """A client that is connected; with a user or a token in the header, if any."""
    bearer = token or (user.token if user else None)
    headers = {"authorization": f"Bearer {bearer}"} if bearer else {}
    url = f"ws://127.0.0.1:{system.port}/ws/{channel}{query}"
    async with connect(url, additional_headers=headers, compression=None, max_queue=None) as socket:
        yield Listener(socket)


@pytest.fixture
def listening() -> Listening:
    """Connects clients, for the length of a block."""
    return _listening


@pytest.fixture
async def system(run_system: RunSystem, fresh_nats_url: str) -> AsyncIterator[System]:
    """A gateway on a stream without events, whose sockets may be 50 events behind."""
    async with run_system(nats_url=fresh_nats_url, live_queue=50) as running:
        yield running


@asynccontextmanager
async def _publisher(url: str) -> AsyncIterator[Publisher]:
    client = await nats.connect(url, max_reconnect_attempts=-1, reconnect_time_wait=0.1, error_cb=_ignore)
    try:
        yield Publisher(client)
    finally:
        await client.close()


async def _ignore(_error: Exception) -> None:
    """A server that a test stops is no news."""


@pytest.fixture
def connect_publisher() -> ConnectPublisher:
    """Connects publishers, for the length of a block."""
    return _publisher


@pytest.fixture
async def events(fresh_nats_url: str) -> AsyncIterator[Publisher]:
    """Publishes events."""
    async with _publisher(fresh_nats_url) as made:
        yield made
