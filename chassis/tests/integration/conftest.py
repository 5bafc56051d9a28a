"""A database with the chassis' own tables, streams, and events to put into them."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import asyncpg
import nats
import pytest
from rota.events.v1 import events_pb2
from rota.tasks.v1 import tasks_pb2
from rota_chassis.events.log import NewEvent
from rota_chassis.ids import uuid7
from rota_chassis.postgres.database import Database
from rota_chassis.postgres.schema import (
    add_causation_depth_v1,
    create_event_log_v1,
    create_inbox_v1,
    create_memberships_v1,
    create_private_projects_v1,
)
from rota_chassis.settings import database_url
from rota_chassis.testing import servers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path
    from uuid import UUID

    from nats.aio.client import Client
    from rota_chassis.embedded.nats import Nats
    from rota_chassis.embedded.postgres import Postgres


async def _make_tables(server_url: str) -> str:
    """A new database with the chassis' tables, and one for effects; returns its address."""
    name = f"chassis_{secrets.token_hex(4)}"
    server = await asyncpg.connect(server_url)
    await server.execute(f'CREATE DATABASE "{name}"')
    await server.close()
    url = database_url(server_url, name)
    statements: list[str] = ["CREATE TABLE effects (id uuid NOT NULL, version integer NOT NULL, at serial)"]
    for create in (
        create_event_log_v1,
        add_causation_depth_v1,
        create_inbox_v1,
        create_memberships_v1,
        create_private_projects_v1,
    ):
        create(statements.append)
    connection = await asyncpg.connect(url)
    await connection.execute(";".join(statements))
    await connection.close()
    return url


@pytest.fixture(scope="session")
async def session_tables_url(postgres_url: str) -> str:
    return await _make_tables(postgres_url)


@pytest.fixture
async def tables_url(session_tables_url: str) -> str:
    """The database, empty."""
    connection = await asyncpg.connect(session_tables_url)
    await connection.execute(
        "TRUNCATE events, inbox, memberships, private_projects, private_projects_asked, effects RESTART IDENTITY"
    )
    await connection.close()
    return session_tables_url


@pytest.fixture
async def database(tables_url: str) -> AsyncIterator[Database]:
    database = await Database.connect(tables_url)
    yield database
    await database.close()


@pytest.fixture
async def connection(tables_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection of the test's own, beside the service's pool."""
    connection = await asyncpg.connect(tables_url)
    yield connection
    await connection.close()


@pytest.fixture
async def client(fresh_nats_url: str) -> AsyncIterator[Client]:
    client = await nats.connect(fresh_nats_url)
    yield client
    await client.close()


@pytest.fixture
def make_tables() -> Callable[[str], Awaitable[str]]:
    """Makes a new database with the chassis' tables on a server; returns its address."""
    return _make_tables


@pytest.fixture
async def own_postgres(tmp_path: Path) -> AsyncIterator[Postgres]:
    """A PostgreSQL server that a test may stop and start."""
    async with servers.running(servers.postgres(tmp_path)) as server:
        yield server


@pytest.fixture
async def own_nats(tmp_path: Path) -> AsyncIterator[RestartableNats]:
    """A NATS server that a test may stop and start; it keeps its address."""
    server = RestartableNats(tmp_path)
    yield server
    await server.stop()


class RestartableNats:
    """A NATS server, not started, that comes back where it was."""

    def __init__(self, folder: Path) -> None:
        first = servers.nats(folder)
        self._folder = folder
        self._password = first._password
        self._port: int | None = None
        self._server: Nats | None = None

    @property
    def url(self) -> str:
        assert self._server is not None
        return self._server.url

    async def start(self) -> None:
        server = servers.nats(self._folder)
        server._password, server._preferred_port = self._password, self._port
        self._server = server
        await server.start()
        self._port = server._port

    async def stop(self) -> None:
        if self._server is not None:
            self._server.hurry()
            await self._server.stop()


@pytest.fixture
def created() -> Callable[..., NewEvent]:
    """Makes an event of a task: `created(task_id, version)`."""
    workspace_id = uuid7()

    def make(task_id: UUID | None = None, version: int = 1, **fields: Any) -> NewEvent:
        task_id = task_id or uuid7()
        data = events_pb2.TaskCreated(task=tasks_pb2.Task(id=str(task_id), title="Water the plants", version=version))
        return NewEvent(
            **{
                "workspace_id": workspace_id,
                "aggregate_id": task_id,
                "aggregate_version": version,
                "data": data,
                **fields,
            }
        )

    return make
