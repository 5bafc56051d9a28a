"""The conversation with one web socket, from the handshake to the close code."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any

import jwt
from rota_chassis.errors import RotaError
from starlette.websockets import WebSocketDisconnect

from rota_gateway.identity import authenticate, bearer_token
from rota_gateway.live import protocol
from rota_gateway.live.catchup import catch_up
from rota_gateway.live.presence import said
from rota_gateway.live.protocol import Channel, Close, Ended
from rota_gateway.live.subscriber import Subscriber
from rota_gateway.metrics import LIVE_CLOSED

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from uuid import UUID

    from nats.aio.client import Client
    from rota_chassis.tokens import TokenVerifier
    from starlette.websockets import WebSocket

    from rota_gateway.live.hub import Hub
    from rota_gateway.live.memberships import Membership, Memberships
    from rota_gateway.live.presence import Presence
    from rota_gateway.live.projects import Projects

AUTHENTICATE_WITHIN_S = 10.0
STREAM_WITHIN_S = 5.0
PING_EVERY_S = 25.0
# A client that does not read cannot be told anything; after this its connection is cut.
CLOSE_WITHIN_S = 10.0


class Sessions:
    """Holds conversations.

    Args:
        hub: hands out the events.
        nats: where missed events are replayed from.
        memberships: of users in workspaces.
        projects: who may see which.
        verifier: of access tokens.
        queue: frames that may wait for a slow client.
        presence: who looks at what.
    """

    def __init__(
        self,
        *,
        hub: Hub,
        nats: Client,
        memberships: Memberships,
        projects: Projects,
        verifier: TokenVerifier,
        queue: int,
        presence: Presence,
    ) -> None:
        self._hub = hub
        self._nats = nats
        self._memberships = memberships
        self._projects = projects
        self._verifier = verifier
        self._queue = queue
        self._presence = presence

    async def hold(self, socket: WebSocket, channel: Channel) -> None:
        """Talk to a client until one of the two ends it."""
        await socket.accept()
        try:
            await self._talk(socket, channel)
        except WebSocketDisconnect:
            return
        except Ended as ended:
            LIVE_CLOSED.labels(str(ended.close.value)).inc()
            with suppress(TimeoutError, WebSocketDisconnect, RuntimeError):
                async with asyncio.timeout(CLOSE_WITHIN_S):
                    if ended.code:
                        await socket.send_text(protocol.error(ended.code, ended.detail))
                    await socket.close(ended.close.value, ended.code)

    async def _talk(self, socket: WebSocket, channel: Channel) -> None:
        resume = protocol.parse_query(socket.scope["query_string"])
        user_id, expires = await self._authenticate(socket)
        await self._wait_for_stream()
        subscriber = Subscriber(channel, str(user_id), self._queue)
        self._hub.watch(subscriber)
        try:
            if channel is Channel.TASKS:
                subscriber.know(await self._workspaces(user_id))
                await self._know_projects(subscriber)
            missed = await catch_up(self._nats, self._hub, subscriber, resume)
            conversation = _Conversation(socket, subscriber, self._verifier, expires, self._presence)
            await conversation.run(missed)
        finally:
            self._presence.leave(subscriber)
            self._hub.leave(subscriber)

    async def _authenticate(self, socket: WebSocket) -> tuple[UUID, float]:
        try:
            token = bearer_token(dict(socket.scope["headers"]))
        except RotaError as error:
            raise Ended(Close.UNAUTHENTICATED, error.code, error.detail) from error
        if token is None:
            try:
                async with asyncio.timeout(AUTHENTICATE_WITHIN_S):
                    frame = protocol.parse_frame(await _receive(socket))
            except TimeoutError:
                detail = f"No token came within {AUTHENTICATE_WITHIN_S:.0f} s."
                raise Ended(Close.UNAUTHENTICATED, "UNAUTHENTICATED", detail) from None
            token = _token(frame)
        return await _verify(self._verifier, token)

    async def _wait_for_stream(self) -> None:
        try:
            async with asyncio.timeout(STREAM_WITHIN_S):
                await self._hub.found.wait()
        except TimeoutError:
            detail = "Live events are not available at the moment; come back."
            raise Ended(Close.TRY_AGAIN_LATER, "UPSTREAM_UNAVAILABLE", detail) from None

    async def _know_projects(self, subscriber: Subscriber) -> None:
        try:
            await self._projects.learn(list(subscriber.workspaces))
        except RotaError as error:
            detail = "The service 'tasks' is not available at the moment; come back."
            raise Ended(Close.TRY_AGAIN_LATER, "UPSTREAM_UNAVAILABLE", detail) from error

    async def _workspaces(self, user_id: UUID) -> dict[str, Membership]:
        try:
            return await self._memberships.of(user_id)
        except RotaError as error:
            detail = "The service 'auth' is not available at the moment; come back."
            raise Ended(Close.TRY_AGAIN_LATER, "UPSTREAM_UNAVAILABLE", detail) from error


class _Conversation:
    """Writing and reading side by side, until one of them, the hub or the token's life ends it."""

    def __init__(
        self, socket: WebSocket, subscriber: Subscriber, verifier: TokenVerifier, expires: float, presence: Presence
    ) -> None:
        self._presence = presence
        self._socket = socket
        self._subscriber = subscriber
        self._verifier = verifier
        self._expires = expires

    async def run(self, missed: AsyncGenerator[str, None]) -> None:
        tasks: list[asyncio.Task[None]] = [
            asyncio.create_task(self._write(missed)),
            asyncio.create_task(self._read()),
            asyncio.create_task(self._keep_time()),
        ]
        try:
            until: list[asyncio.Future[Any]] = [*tasks, self._subscriber.ended]
            await asyncio.wait(until, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        if self._subscriber.ended.done():
            raise self._subscriber.ended.result()
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    async def _write(self, missed: AsyncGenerator[str, None]) -> None:
        send = self._socket.send_text
        async with aclosing(missed) as texts:
            async for text in texts:
                await send(text)
        while True:
            await send(await self._subscriber.take())

    async def _read(self) -> None:
        while True:
            frame = protocol.parse_frame(await _receive(self._socket))
            if frame["type"] == "auth":
                user_id, expires = await _verify(self._verifier, _token(frame))
                if str(user_id) != self._subscriber.user_id:
                    raise Ended(Close.UNAUTHENTICATED, "INVALID_TOKEN", "The token is another user's.")
                self._expires = expires
            elif frame["type"] == "presence":
                if self._subscriber.channel is not Channel.TASKS:
                    raise protocol.bad_presence()
                await self._presence.look(self._subscriber, *said(frame))

    async def _keep_time(self) -> None:
        while True:
            left = self._expires - time.time()
            if left <= 0:
                raise Ended(
                    Close.UNAUTHENTICATED, "TOKEN_EXPIRED", "The access token is over; come back with a new one."
                )
            await asyncio.sleep(min(left, PING_EVERY_S))
            if left > PING_EVERY_S:
                self._subscriber.offer(protocol.PING)


async def _receive(socket: WebSocket) -> dict[str, Any]:
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", Close.NORMAL))
    return dict(message)


def _token(frame: dict[str, Any]) -> str:
    token = frame.get("token")
    if frame["type"] != "auth" or type(token) is not str:
        raise Ended(Close.BAD_FRAME, "BAD_FRAME", 'Send {"type": "auth", "token": "<access token>"} first.')
    return token


async def _verify(verifier: TokenVerifier, token: str) -> tuple[UUID, float]:
    """The user whose token this is, and when it is over, in seconds since the epoch."""
    try:
        principal = await authenticate(verifier, token)
    except RotaError as error:
        unavailable = error.http_status >= 500  # noqa: PLR2004
        close = Close.TRY_AGAIN_LATER if unavailable else Close.UNAUTHENTICATED
        raise Ended(close, error.code, error.detail) from error
    if principal.user_id is None:
        raise TypeError("an authenticated principal is a user")
    claims = jwt.decode(token, options={"verify_signature": False})
    return principal.user_id, float(claims["exp"])
