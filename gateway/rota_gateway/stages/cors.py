"""Cross-origin calls from browsers (Fetch standard, CORS protocol). No cookies are used, so none are allowed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_gateway.answers import send_empty
from rota_gateway.exchange import exchange_of

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
_REQUEST_HEADERS = (
    b"Authorization, Content-Disposition, Content-Type, Idempotency-Key, If-Match, If-None-Match, If-Range, Range, "
    b"Traceparent, X-Request-Id"
)
_ANSWER_HEADERS = (
    b"Accept-Ranges, Content-Disposition, Content-Range, ETag, Location, RateLimit, RateLimit-Policy, Retry-After, "
    b"Traceparent, X-Request-Id"
)
_PREFLIGHT_KEPT_S = b"7200"


class Cors:
    """Answers preflights, and says which origins may read an answer.

    Args:
        app: the next stage.
        origins: that may call; "*" among them for any.
    """

    def __init__(self, app: ASGIApp, origins: frozenset[str]) -> None:
        self._app = app
        self._any = "*" in origins
        self._origins = frozenset(origin.encode("ascii") for origin in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        exchange = exchange_of(scope)
        origin = exchange.headers.get(b"origin")
        if not self._any:
            exchange.answer_headers[b"vary"] = b"Origin"
        if origin is not None and (self._any or origin in self._origins):
            exchange.answer_headers[b"access-control-allow-origin"] = b"*" if self._any else origin
            exchange.answer_headers[b"access-control-expose-headers"] = _ANSWER_HEADERS
            if exchange.method == "OPTIONS" and b"access-control-request-method" in exchange.headers:
                exchange.route = "preflight"
                await send_empty(
                    send,
                    204,
                    (
                        (b"access-control-allow-methods", _METHODS),
                        (b"access-control-allow-headers", _REQUEST_HEADERS),
                        (b"access-control-max-age", _PREFLIGHT_KEPT_S),
                    ),
                )
                return
        await self._app(scope, receive, send)
