"""The process: `python -m rota_gateway`."""

from __future__ import annotations

import asyncio
import signal
import sys

import uvloop
from rota_chassis import garbage, logs, telemetry
from rota_chassis.errors import Unavailable

from rota_gateway.bootstrap import NAME, assemble
from rota_gateway.server import HttpServer
from rota_gateway.settings import GatewaySettings

_LOG = logs.logger(__name__)


async def serve(settings: GatewaySettings, stop: asyncio.Event) -> int:
    """Serve until `stop` is set or the gateway fails, then drain; the exit code."""
    async with assemble(settings) as parts:
        server = HttpServer(parts.app, settings)
        failed = False

        def stop_failed(following: asyncio.Task[None]) -> None:
            nonlocal failed
            if not following.cancelled():
                failed = True
                _LOG.error("gateway.failed", exc_info=following.exception())
                stop.set()

        parts.following.add_done_callback(stop_failed)

        async def drain() -> None:
            _LOG.info("gateway.draining")
            await parts.drain()

        garbage.collect_seldom()
        _LOG.info("gateway.starting", host=settings.http_host, port=settings.http_port)
        try:
            await server.run(stop, drain)
        except Unavailable as error:
            _LOG.error("gateway.cannot_start", error=error.detail)
            return 1
    _LOG.info("gateway.stopped", failed=failed)
    return 1 if failed else 0


async def main() -> int:
    """Serve until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    settings = GatewaySettings()
    logs.configure(NAME, level=settings.log_level, output=settings.log_format)
    stop_telemetry = telemetry.configure(
        NAME, otlp_endpoint=settings.otlp_endpoint, metrics_listen=settings.metrics_listen
    )
    try:
        return await serve(settings, stop)
    finally:
        stop_telemetry()


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
