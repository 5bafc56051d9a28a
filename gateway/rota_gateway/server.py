"""The HTTP server: uvicorn, with a drain of our own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from typing import TYPE_CHECKING

import uvicorn
from rota_chassis.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from starlette.types import ASGIApp

    from rota_gateway.settings import GatewaySettings

BACKLOG = 2048
KEEP_ALIVE_S = 75
MAX_FRAME_BYTES = 64 * 1024


class HttpServer:
    """Serves an ASGI application until it is told to stop.

    Args:
        app: the application.
        settings: where to listen, and how long to drain.
    """

    def __init__(self, app: ASGIApp, settings: GatewaySettings) -> None:
        self._settings = settings
        logging.getLogger("uvicorn").setLevel(logging.WARNING)
        self._server = _Server(
            uvicorn.Config(
                app,
                loop="none",
                http="httptools",
                ws="websockets-sansio",
                ws_max_size=MAX_FRAME_BYTES,
                ws_per_message_deflate=False,
                lifespan="off",
                interface="asgi3",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=bool(settings.trusted_proxies),
                forwarded_allow_ips=settings.trusted_proxies,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=max(1, round(settings.drain_seconds)),
            )
        )
        self.port = 0

    async def run(self, stop: asyncio.Event, drain: Callable[[], Awaitable[None]]) -> None:
        """Listen and serve; when `stop` is set, call `drain`, stop listening, and let requests under way finish.

        Raises:
            Unavailable: the address cannot be listened on.
        """
        listener = _listen(self._settings.http_host, self._settings.http_port)
        self.port = listener.getsockname()[1]
        serving = asyncio.create_task(self._server.serve([listener]))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
            if not serving.done():
                await drain()
        finally:
            stopping.cancel()
            self._server.should_exit = True
            await serving


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # Signals are the process's business, not the server's.
        yield


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno is not None and error.errno > 0 else str(error)
        raise Unavailable(f"cannot listen on {host} port {port}: {reason}") from error
