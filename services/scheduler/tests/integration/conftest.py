"""Replicas on a database of their own, and the outside world that runs meet."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from rota.tasks.v1 import tasks_pb2
from rota_chassis.events.envelope import Event
from rota_chassis.events.log import EVENTS
from rota_chassis.events.types import event_types
from rota_chassis.ids import uuid7
from rota_chassis.postgres.database import Database
from rota_chassis.postgres.statements import statement
from rota_chassis.testing.clock import ManualClock
from rota_scheduler.runs.domain import Run
from sqlalchemy import select

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from rota_chassis.testing.service_plugin import MakeDatabase

_EVENTS = statement(select(EVENTS).order_by(EVENTS.c.position))


@pytest.fixture
async def replicas(make_database: MakeDatabase) -> AsyncIterator[Sequence[Database]]:
    """Three replicas' connections to one new database."""
    url = await make_database("scheduler")
    async with AsyncExitStack() as stack:
        found = []
        for number in range(3):
            database = await Database.connect(url, size=4, name=f"replica-{number}")
            stack.push_async_callback(database.close)
            found.append(database)
        yield found


@pytest.fixture
def database(replicas: Sequence[Database]) -> Database:
    """The first of the replicas' connections."""
    return replicas[0]


@pytest.fixture
def clock() -> ManualClock:
    """The time of all replicas."""
    return ManualClock()


@pytest.fixture
def events(database: Database) -> Callable[[], Awaitable[list[Any]]]:
    """The data of the events in the log, in their order."""

    async def read() -> list[Any]:
        return [event_types()[row["type"]].decode(row["data"]) for row in await database.fetch(_EVENTS)]

    return read


class TaskOfATest:
    """A task as its events tell of it."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.workspace_id = uuid7()
        self.created_at = clock.now()
        self.message = tasks_pb2.Task(
            id=str(uuid7()),
            workspace_id=str(self.workspace_id),
            title="Water the plants",
            status=tasks_pb2.TASK_STATUS_TODO,
            created_by=str(uuid7()),
        )
        self.message.created_at.FromDatetime(clock.now())

    def event(self, kind: str, version: int, **fields: Any) -> Event:
        """The event that makes it this version; a field of None is cleared, the others are set."""
        for name, value in fields.items():
            if value is None:
                self.message.ClearField(name)
            elif isinstance(value, datetime):
                getattr(self.message, name).FromDatetime(value)
            elif isinstance(value, list):
                del getattr(self.message, name)[:]
                getattr(self.message, name).extend(value)
            else:
                setattr(self.message, name, value)
        self.message.version = version
        data = event_types()[kind].message(task=self.message)  # type: ignore[call-arg]
        return Event(
            id=uuid7(),
            type=kind,
            source="/rota/tasks",
            workspace_id=self.workspace_id,
            aggregate_id=UUID(self.message.id),
            aggregate_version=version,
            actor="system",
            time=self._clock.now(),
            data=data,
        )


@pytest.fixture
def task(clock: ManualClock) -> TaskOfATest:
    """A task that exists in events only."""
    return TaskOfATest(clock)


@pytest.fixture
def make_run(clock: ManualClock) -> Callable[[Mapping[str, Any]], Run]:
    """Makes runs whose time has come, each of a schedule of its own."""

    def make(action: Mapping[str, Any]) -> Run:
        return Run(
            workspace_id=uuid7(),
            id=uuid7(),
            schedule_id=uuid7(),
            nominal_time=clock.now() - timedelta(seconds=1),
            action=action,
            acts_for=uuid7(),
            available_at=clock.now(),
        )

    return make


@dataclass
class Endpoint:
    """An HTTP server that answers with the statuses it is told to, the last one for ever.

    Attributes:
        calls: Of each call the request line and the headers, lower-cased names, and the body under "body".
        silent: Whether calls are taken and left without an answer.
        body: What it answers.
    """

    statuses: list[int]
    port: int = 0
    calls: list[dict[str, str]] = field(default_factory=list)
    silent: bool = False
    body: bytes = b"{}"

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/hook"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one call."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        call = {"line": head[0]}
        for line in head[1:]:
            name, _, value = line.partition(":")
            call[name.lower()] = value.strip()
        call["body"] = (await reader.readexactly(int(call.get("content-length", "0")))).decode()
        self.calls.append(call)
        if self.silent:
            await reader.read()
        else:
            status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
            head = f"HTTP/1.1 {status} X\r\nlocation: {self.url}\r\ncontent-length: {len(self.body)}\r\n\r\n"
            writer.write(head.encode() + self.body)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def _listening(*statuses: int) -> AsyncIterator[Endpoint]:
    endpoint = Endpoint(list(statuses))
    server = await asyncio.start_server(endpoint.serve, "127.0.0.1", 0)
    endpoint.port = server.sockets[0].getsockname()[1]
    try:
        yield endpoint
    finally:
        server.close()


@pytest.fixture
def listening() -> Any:
    """Opens an endpoint that answers with the statuses it is given."""
    return _listening
