"""The web sockets of the gateway: `/ws/tasks` and `/ws/notifications`."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.websockets import WebSocket

from rota_gateway.live.protocol import Channel

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from rota_gateway.live.hub import Hub
    from rota_gateway.live.session import Sessions

DRAIN_WITHIN_S = 3.0
_CHANNELS = {"/ws/tasks": Channel.TASKS, "/ws/notifications": Channel.NOTIFICATIONS}


class Live:
    """Serves web sockets until it is drained.

    Args:
        hub: whose sockets they are.
        sessions: holds the conversations.
    """

    def __init__(self, hub: Hub, sessions: Sessions) -> None:
        self._hub = hub
        self._sessions = sessions
        self._draining = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a web socket."""
        socket = WebSocket(scope, receive, send)
        channel = _CHANNELS.get(scope["path"])
        if channel is None or self._draining:
            await socket.send_denial_response(Response(status_code=503 if channel else 404))
            return
        await self._sessions.hold(socket, channel)

    async def drain(self) -> None:
        """Take no more sockets, and close those there are with code 1001."""
        self._draining = True
        self._hub.end_all()
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_WITHIN_S):
                await self._hub.silent.wait()
