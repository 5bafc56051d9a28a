"""One line and one measurement for each request: rate, errors, duration by route."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rota_chassis.logs import logger

from rota_gateway.exchange import exchange_of
from rota_gateway.metrics import REQUEST_SECONDS, REQUESTS_UNDER_WAY

if TYPE_CHECKING:
    from prometheus_client import Histogram
    from starlette.types import ASGIApp, Receive, Scope, Send

    from rota_gateway.exchange import Exchange

# Asked every few seconds by machines; their lines would bury the others.
QUIET_ROUTES = frozenset({"/livez", "/readyz", "/healthz", "/metrics"})
_SERVER_ERROR = 500
_LOG = logger(__name__)


class Access:
    """Logs and measures what the stages after it answer."""

    def __init__(self, app: ASGIApp, *, log: bool) -> None:
        self._app = app
        self._log = log
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
            if self._log and exchange.route not in QUIET_ROUTES:
                _write(exchange, elapsed)


def _write(exchange: Exchange, elapsed: float) -> None:
    write = _LOG.warning if exchange.status >= _SERVER_ERROR else _LOG.info
    write(
        "http.request",
        method=exchange.method,
        path=exchange.path,
        route=exchange.route,
        status=exchange.status,
        duration_ms=round(elapsed * 1000, 2),
        request_id=exchange.request_id,
        address=exchange.address,
        principal=exchange.principal.actor if exchange.principal else None,
    )
