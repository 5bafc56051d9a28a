"""The composition root of the gateway: the only place that names concrete classes."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

import grpc
import orjson
import redis.asyncio
from protovalidate import Validator
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from rota_chassis.events.connection import nats_connection
from rota_chassis.logs import logger
from rota_chassis.rpc.channel import OPTIONS, open_channel
from rota_chassis.rpc.keys import RemoteKeySet
from rota_chassis.tokens import ServiceTokens, TokenVerifier

from rota_gateway import asyncapi
from rota_gateway.app import Dispatch, Gateway
from rota_gateway.breaker import CircuitBreaker
from rota_gateway.endpoint import Endpoint
from rota_gateway.health import Health
from rota_gateway.live.app import Live
from rota_gateway.live.hub import Hub
from rota_gateway.live.memberships import Memberships
from rota_gateway.live.presence import Presence
from rota_gateway.live.projects import Projects
from rota_gateway.live.session import Sessions
from rota_gateway.metrics import BREAKER_STATE
from rota_gateway.openapi import build_document, docs_html
from rota_gateway.pages import pages
from rota_gateway.ratelimit.local import LocalLimiter
from rota_gateway.ratelimit.shared import SharedLimiter
from rota_gateway.routes import RateClass, load_routes
from rota_gateway.transcoder import Transcoder
from rota_gateway.upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rota_chassis.tokens import KeySet

    from rota_gateway.breaker import State
    from rota_gateway.settings import GatewaySettings

NAME = "gateway"
SERVICES = ("auth", "tasks", "scheduler", "notifications")
REDIS_TIMEOUT_S = 0.1
CREDENTIAL_SHARE = 0.2
_LOG = logger(__name__)


@dataclass(frozen=True)
class Parts:
    """What the process runs and drains.

    Attributes:
        following: follows the stream of events; ends only when something is wrong with the gateway itself.
    """

    app: Gateway
    health: Health
    live: Live
    following: asyncio.Task[None]
    notice_s: float

    async def drain(self) -> None:
        """Say that the gateway goes away, to whoever asks for its health and to web sockets."""
        self.health.drain()
        await asyncio.gather(asyncio.sleep(self.notice_s), self.live.drain())


@contextlib.asynccontextmanager
async def assemble(settings: GatewaySettings, *, keys: KeySet | None = None) -> AsyncIterator[Parts]:
    """The gateway, put together, with its connections open within the block.

    Args:
        settings: its environment.
        keys: public keys of access tokens; auth's unless given.
    """
    async with contextlib.AsyncExitStack() as stack:
        secret = settings.service_secret.get_secret_value()
        tokens = ServiceTokens(NAME, secret)
        upstreams = {}
        for name in SERVICES:
            channel = grpc.aio.insecure_channel(settings.address(name), options=OPTIONS)
            stack.push_async_callback(channel.close, None)
            upstreams[name] = Upstream(name, channel, _breaker(name))
        auth = open_channel(settings.auth_address, tokens)
        stack.push_async_callback(auth.close, None)
        tasks = open_channel(settings.address("tasks"), tokens)
        stack.push_async_callback(tasks.close, None)
        verifier = TokenVerifier(keys or RemoteKeySet(auth), secret)
        limiter = SharedLimiter(
            await stack.enter_async_context(_redis(settings.redis_url)),
            LocalLimiter(),
            share={RateClass.CREDENTIAL.value: CREDENTIAL_SHARE},
        )
        routes = load_routes()
        for route in routes:
            upstreams[route.backend].prepare(route)
        validator = Validator()
        transcoder = Transcoder(
            upstreams=upstreams,
            verifier=verifier,
            tokens=tokens,
            limiter=limiter,
            quotas=settings.quotas,
            body_bytes=settings.body_limit_bytes,
        )
        health = Health({name: upstream.channel for name, upstream in upstreams.items()})
        document = build_document(routes, version=version("rota-gateway"))
        served = pages(
            health,
            openapi=orjson.dumps(document),
            asyncapi=orjson.dumps(asyncapi.build_document(version=document["info"]["version"])),
            docs=docs_html(document),
        )
        dispatch = Dispatch([Endpoint(route, validator) for route in routes], transcoder, served)
        live, following = await _live(settings, stack, Memberships(auth), Projects(tasks), verifier)
        yield Parts(Gateway(dispatch, live, settings), health, live, following, settings.drain_notice_s)


async def _live(
    settings: GatewaySettings,
    stack: contextlib.AsyncExitStack,
    memberships: Memberships,
    projects: Projects,
    verifier: TokenVerifier,
) -> tuple[Live, asyncio.Task[None]]:
    nats = await stack.enter_async_context(nats_connection(settings.nats_url, NAME))
    presence = Presence(nats, projects)
    hub = Hub(nats, projects, presence)
    following = asyncio.create_task(hub.run(), name="live hub")
    stack.callback(following.cancel)
    telling = asyncio.create_task(presence.run(), name="presence")
    stack.callback(telling.cancel)
    sessions = Sessions(
        hub=hub,
        nats=nats,
        memberships=memberships,
        projects=projects,
        verifier=verifier,
        queue=settings.live_queue,
        presence=presence,
    )
    return Live(hub, sessions), following


def _breaker(service: str) -> CircuitBreaker:
    series = BREAKER_STATE.labels(service)

    def changed(state: State) -> None:
        series.set(state)
        _LOG.warning("breaker.changed", upstream=service, state=state.name.lower())

    return CircuitBreaker(changed=changed)


@contextlib.asynccontextmanager
async def _redis(url: str) -> AsyncIterator[redis.asyncio.Redis]:
    # One try within a short time: a limiter that waits is worse than one that falls back.
    client = redis.asyncio.Redis.from_url(
        url,
        socket_timeout=REDIS_TIMEOUT_S,
        socket_connect_timeout=REDIS_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    )
    try:
        yield client
    finally:
        await client.aclose()
