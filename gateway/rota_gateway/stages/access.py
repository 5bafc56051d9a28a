"""One line and one measurement for each request: rate, errors, duration by route."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
from rota_chassis.logs import logger

from rota_gateway.exchange import exchange_of
from rota_gateway.metrics import REQUEST_SECONDS, REQUESTS_UNDER_WAY

if TYPE_CHECKING:
    from collections.abc import Callable

    from prometheus_client import Histogram
    from starlette.types import ASGIApp, Receive, Scope, Send

    from rota_gateway.exchange import Exchange

    Writer = Callable[[str, dict[str, Any]], None]

# Asked every few seconds by machines; their lines would bury the others.
QUIET_ROUTES = frozenset({"/livez", "/readyz", "/healthz", "/metrics"})
_SERVER_ERROR = 500
_HIDDEN = "{token}"
_EVENT = "http.request"
_LOG = logger(__name__)


class Access:
    """Logs and measures what the stages after it answer.

    Args:
        app: the next stage.
        write: writes a line, given its level and its facts; None for no lines.
    """

    def __init__(self, app: ASGIApp, write: Writer | None) -> None:
        self._app = app
        self._write = write
        self._series: dict[tuple[str, str, int], Histogram] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        exchange = exchange_of(scope)
        REQUESTS_UNDER_WAY.inc()
        try:
            await self._app(scope, receive, send)
        finally:
            REQUESTS_UNDER_WAY.dec()
            elapsed = time.perf_counter() - exchange.started
            key = (exchange.method, exchange.route, exchange.status)
            series = self._series.get(key)
            if series is None:
                labels = (exchange.method, exchange.route, str(exchange.status))
                series = self._series[key] = REQUEST_SECONDS.labels(*labels)
            series.observe(elapsed)
            if self._write is not None and exchange.route not in QUIET_ROUTES:
                self._write("warning" if exchange.status >= _SERVER_ERROR else "info", _facts(exchange, elapsed))


def write_json(level: str, facts: dict[str, Any]) -> None:
    """A line of the same form as every other, past the logging pipeline: that would be a tenth of a read's cost."""
    line = {"service": "gateway", **facts, "event": _EVENT, "level": level, "time": datetime.now(UTC)}
    sys.stdout.write(orjson.dumps(line, option=orjson.OPT_UTC_Z).decode() + "\n")
    sys.stdout.flush()


def write_log(level: str, facts: dict[str, Any]) -> None:
    """A line through the logging pipeline."""
    (_LOG.warning if level == "warning" else _LOG.info)(_EVENT, **facts)


def _facts(exchange: Exchange, elapsed: float) -> dict[str, Any]:
    return {
        "method": exchange.method,
        # Of a share link the path is the secret that lets people in.
        "path": exchange.route if _HIDDEN in exchange.route else exchange.path,
        "route": exchange.route,
        "status": exchange.status,
        "duration_ms": round(elapsed * 1000, 2),
        "request_id": exchange.request_id,
        "trace_id": exchange.trace_id,
        "address": exchange.address,
        "principal": exchange.principal.actor if exchange.principal else None,
    }
