"""One call starts a service: `run(Service("tasks", TasksSettings, build))`.

`run` configures logs and telemetry, connects to PostgreSQL, Redis and NATS, lets `build` put the service together,
starts its consumers, relay and background tasks, serves gRPC, and on SIGTERM or SIGINT drains in the reverse order: no
new calls, those under way end, then what runs in the background, then the connections.

Redis and NATS may be down at any time, also at start (the connections are made when they are back); without its
database the service stands but says NOT_SERVING.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import uvloop
from nats.errors import Error as NatsError
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from rota.events.v1 import inbox_pb2_grpc

from rota_chassis import garbage, logs, telemetry
from rota_chassis.cache import Cache
from rota_chassis.cancellation import cancel_and_wait
from rota_chassis.clock import SystemClock
from rota_chassis.errors import Unavailable
from rota_chassis.events.connection import RECONNECT_S, nats_connection
from rota_chassis.events.consumer import Consumer
from rota_chassis.events.inbox import InboxServicer
from rota_chassis.events.relay import Relay
from rota_chassis.events.stream import ensure_streams
from rota_chassis.pagination import PageTokens
from rota_chassis.postgres.database import Database
from rota_chassis.rpc.channel import open_channel
from rota_chassis.rpc.keys import RemoteKeySet
from rota_chassis.rpc.server import RpcServer
from rota_chassis.settings import ServiceSettings
from rota_chassis.tokens import ServiceTokens, TokenVerifier

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping

    import grpc
    from nats.aio.client import Client

    from rota_chassis.clock import Clock
    from rota_chassis.events.consumer import Handler
    from rota_chassis.tokens import KeySet

SettingsT = TypeVar("SettingsT", bound=ServiceSettings)

HEALTH_EVERY_S = 2.0
STREAMS_EVERY_S = 30.0
REDIS_TIMEOUT_S = 0.5
_LOG = logs.logger(__name__)


@dataclass(frozen=True)
class Service(Generic[SettingsT]):
    """What `run` needs to know of a service.

    Attributes:
        name: "tasks"; names its database, address, consumer and log lines.
        settings: Class that reads its environment.
        build: Composition root; adds servicers, consumers and background tasks to the runtime.
    """

    name: str
    settings: type[SettingsT]
    build: Callable[[Runtime[SettingsT]], Awaitable[None]]


@dataclass
class Runtime(Generic[SettingsT]):
    """What the composition root gets: connections, and where to add its parts.

    Attributes:
        keys: Where the public keys of access tokens come from; auth puts its own here, the others ask auth.
    """

    name: str
    settings: SettingsT
    clock: Clock
    database: Database
    redis: Redis
    nats: Client
    tokens: ServiceTokens
    page_tokens: PageTokens
    cache: Cache
    keys: KeySet
    channels: Mapping[str, grpc.aio.Channel]
    _servicers: list[tuple[Callable[[Any, grpc.aio.Server], None], object]] = field(default_factory=list)
    _background: list[tuple[str, Callable[[], Coroutine[Any, Any, None]]]] = field(default_factory=list)

    def serve(self, register: Callable[[Any, grpc.aio.Server], None], servicer: object) -> None:
        """Serve a servicer; `register` is the generated `add_…Servicer_to_server`."""
        self._servicers.append((register, servicer))

    def consume(self, handlers: Mapping[str, Handler], *, after_commit: Callable[[], None] | None = None) -> None:
        """Handle these types of events, once each, under the service's name (see `events.consumer`)."""
        consumer = Consumer(self.name, handlers, database=self.database, nats=self.nats, after_commit=after_commit)
        self.serve(inbox_pb2_grpc.add_InboxServiceServicer_to_server, InboxServicer(self.database, self.clock))
        self.background("consumer", consumer.run)

    def background(self, name: str, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run something until the service stops, when it is cancelled; if it ends before, the service stops."""
        self._background.append((name, run))


def run(service: Service[SettingsT]) -> None:
    """Run a service until SIGTERM or SIGINT, then exit: 0 after a drain, 1 after a failure."""
    sys.exit(uvloop.run(_run(service)))


async def _run(service: Service[SettingsT]) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        settings = service.settings()
    except (ValueError, OSError) as error:
        logs.configure(service.name)
        _LOG.error("service.cannot_start", error=str(error))
        return 1
    logs.configure(service.name, level=settings.log_level, output=settings.log_format)
    stop_telemetry = telemetry.configure(
        service.name, otlp_endpoint=settings.otlp_endpoint, metrics_listen=settings.metrics_listen
    )
    try:
        async with serving(service, settings) as failure:
            garbage.collect_seldom()
            _LOG.info("service.started", address=settings.listen or settings.address(service.name))
            stopped: asyncio.Future[Any] = asyncio.create_task(stop.wait())
            await asyncio.wait([stopped, failure], return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            _LOG.info("service.draining")
    except (Unavailable, ValueError, OSError) as error:
        _LOG.error("service.cannot_start", error=str(error), cause=repr(error.__cause__))
        return 1
    finally:
        stop_telemetry()
    failed = failure.done() and not failure.cancelled() and failure.exception() is not None
    _LOG.info("service.stopped", failed=failed)
    return 1 if failed else 0


@contextlib.asynccontextmanager
async def serving(
    service: Service[SettingsT], settings: SettingsT, *, clock: Clock | None = None, keys: KeySet | None = None
) -> AsyncIterator[asyncio.Future[None]]:
    """A service that serves within the block; tests use it with a clock and keys of their own.

    Yields:
        A future that fails when a background task of the service does.
    """
    async with contextlib.AsyncExitStack() as stack:
        runtime = await _connect(service, settings, stack, clock=clock, keys=keys)
        await service.build(runtime)
        server = RpcServer(TokenVerifier(runtime.keys, settings.service_secret.get_secret_value()))
        for register, servicer in runtime._servicers:  # noqa: SLF001 (the runtime is this module's)
            server.add(register, servicer)
        relay = Relay(runtime.database, runtime.nats, f"/rota/{service.name}")
        failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        background: list[tuple[str, Callable[[], Coroutine[Any, Any, None]]]] = [
            ("streams", lambda: _keep_streams(runtime.nats)),
            ("relay", relay.run),
            ("health", lambda: _watch_health(runtime.database, server)),
            *runtime._background,  # noqa: SLF001
        ]
        if runtime.database.replica is not None:
            background.append(("replica", runtime.database.replica.watch))
        tasks = [asyncio.create_task(run(), name=name) for name, run in background]
        for task in tasks:
            task.add_done_callback(lambda done: _report(done, failure))
        stack.push_async_callback(cancel_and_wait, tasks)
        await server.start(settings.listen or settings.address(service.name))
        stack.push_async_callback(lambda: server.stop(settings.drain_seconds))
        yield failure


async def _connect(
    service: Service[SettingsT],
    settings: SettingsT,
    stack: contextlib.AsyncExitStack,
    *,
    clock: Clock | None,
    keys: KeySet | None,
) -> Runtime[SettingsT]:
    secret = settings.service_secret.get_secret_value()
    tokens = ServiceTokens(service.name, secret)
    database = await Database.connect(
        settings.database_url(service.name),
        size=settings.postgres_pool_size,
        name=f"rota-{service.name}",
        replica_url=settings.replica_database_url(service.name),
    )
    stack.push_async_callback(database.close)
    redis_client = connect_redis(settings.redis_url)
    stack.push_async_callback(redis_client.aclose)
    nats_client = await stack.enter_async_context(nats_connection(settings.nats_url, service.name))
    channels = {}
    for name in ("auth", "tasks", "scheduler", "notifications"):
        channels[name] = open_channel(settings.address(name), tokens)
        stack.push_async_callback(channels[name].close, None)
    return Runtime(
        name=service.name,
        settings=settings,
        clock=clock or SystemClock(),
        database=database,
        redis=redis_client,
        nats=nats_client,
        tokens=tokens,
        page_tokens=PageTokens(secret),
        cache=Cache(redis_client, service.name),
        keys=keys or RemoteKeySet(channels["auth"]),
        channels=channels,
    )


def connect_redis(url: str) -> Redis:
    """A Redis client for what can do without: it connects when it is used, and fails within half a second."""
    # Tried again at once, for connections that a restart of the server left broken; never after a timeout.
    retry = Retry(NoBackoff(), retries=1, supported_errors=(RedisConnectionError,))
    client: Redis = Redis.from_url(
        url, socket_timeout=REDIS_TIMEOUT_S, socket_connect_timeout=REDIS_TIMEOUT_S, retry=retry
    )
    return client


async def _keep_streams(client: Client) -> None:
    """Make the streams as soon as JetStream answers, and again should they be lost."""
    while True:
        try:
            await ensure_streams(client.jetstream())
        except (NatsError, OSError, TimeoutError) as error:
            _LOG.warning("streams.unavailable", error=repr(error))
            await asyncio.sleep(RECONNECT_S)
        else:
            await asyncio.sleep(STREAMS_EVERY_S)


async def _watch_health(database: Database, server: RpcServer) -> None:
    """Say SERVING while the database answers."""
    serving_now: bool | None = None
    while True:
        try:
            await database.ping()
        except Unavailable as error:
            healthy = False
            if serving_now is not False:
                _LOG.warning("service.not_serving", error=repr(error.__cause__))
        else:
            healthy = True
        if healthy != serving_now:
            serving_now = healthy
            await server.set_serving(healthy)
        await asyncio.sleep(HEALTH_EVERY_S)


def _report(task: asyncio.Task[None], failure: asyncio.Future[None]) -> None:
    if task.cancelled() or failure.done():
        return
    error = task.exception() or RuntimeError(f"the background task {task.get_name()} ended by itself")
    _LOG.error("service.background_failed", task=task.get_name(), error=repr(error), exc_info=error)
    failure.set_exception(error)
