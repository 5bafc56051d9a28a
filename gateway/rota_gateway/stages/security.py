"""Security headers (OWASP REST Security Cheat Sheet): what a JSON API wants browsers to refuse."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_gateway.exchange import exchange_of

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

CONTENT_SECURITY_POLICY = b"content-security-policy"
_HEADERS = {
    b"x-content-type-options": b"nosniff",
    CONTENT_SECURITY_POLICY: b"default-src 'none'; frame-ancestors 'none'",
    b"referrer-policy": b"no-referrer",
}
_HSTS = {b"strict-transport-security": b"max-age=31536000; includeSubDomains"}


class Security:
    """Adds the headers; a page with needs of its own replaces them in the exchange."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        headers = exchange_of(scope).answer_headers
        headers.update(_HEADERS)
        if scope["scheme"] == "https":
            headers.update(_HSTS)
        await self._app(scope, receive, send)
