"""Replicas on a database of their own, and the outside world that runs meet."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from rota.tasks.v1 import tasks_pb2, tasks_pb2_grpc
from rota_chassis.events.envelope import Event
from rota_chassis.events.log import EVENTS
from rota_chassis.events.types import event_types
from rota_chassis.ids import uuid7
from rota_chassis.postgres.database import Database
from rota_chassis.postgres.statements import statement
from rota_chassis.rpc.server import RpcServer
from rota_chassis.settings import DEVELOPMENT_SECRET
from rota_chassis.testing.auth import SmallAuth, small_auth
from rota_chassis.testing.clock import ManualClock
from rota_chassis.testing.services import running
from rota_chassis.tokens import TokenVerifier
from rota_scheduler.bootstrap import SERVICE
from rota_scheduler.runs.domain import Run
from sqlalchemy import select

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    import grpc
    from rota_chassis.testing.service_plugin import MakeDatabase
    from rota_chassis.testing.tokens import TokenIssuer

    RunScheduler = Callable[..., Awaitable[grpc.aio.Channel]]
    RunBeside = Callable[[tasks_pb2_grpc.TaskServiceServicer], Awaitable[grpc.aio.Channel]]

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


@pytest.fixture
async def auth() -> AsyncIterator[SmallAuth]:
    """An auth service that knows whom a test tells it of."""
    async with small_auth() as auth:
        yield auth


@pytest.fixture
async def run_scheduler(
    make_database: MakeDatabase,
    postgres_url: str,
    redis_url: str,
    fresh_nats_url: str,
    *,
    issuer: TokenIssuer,
    auth: SmallAuth,
) -> AsyncIterator[RunScheduler]:
    """Runs a scheduler beside `auth` with these settings, or options of `running`; gives a channel to it."""
    async with AsyncExitStack() as stack:

        async def run(**settings: Any) -> grpc.aio.Channel:
            database_url = settings.pop("database_url", None) or await make_database("scheduler")
            return await stack.enter_async_context(
                running(
                    SERVICE,
                    server_url=postgres_url,
                    database_url=database_url,
                    redis_url=redis_url,
                    nats_url=fresh_nats_url,
                    issuer=issuer,
                    auth_address=auth.address,
                    **settings,
                )
            )

        yield run


@pytest.fixture
async def run_beside(
    *,
    make_database: MakeDatabase,
    postgres_url: str,
    redis_url: str,
    fresh_nats_url: str,
    issuer: TokenIssuer,
    auth: SmallAuth,
) -> AsyncIterator[RunBeside]:
    """Runs a scheduler beside that and a tasks service of the test's own; gives a channel to it."""
    async with AsyncExitStack() as stack:

        async def run(tasks: tasks_pb2_grpc.TaskServiceServicer) -> grpc.aio.Channel:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="rota-"))
            server = RpcServer(TokenVerifier(issuer.keys, DEVELOPMENT_SECRET))
            server.add(tasks_pb2_grpc.add_TaskServiceServicer_to_server, tasks)
            await server.start(f"unix:{folder}/tasks.sock")
            stack.push_async_callback(server.stop, 0)
            return await stack.enter_async_context(
                running(
                    SERVICE,
                    server_url=postgres_url,
                    database_url=await make_database("scheduler"),
                    redis_url=redis_url,
                    nats_url=fresh_nats_url,
                    issuer=issuer,
                    auth_address=auth.address,
                    tasks_address=f"unix:{folder}/tasks.sock",
                )
            )

        yield run


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
