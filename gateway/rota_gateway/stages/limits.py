"""Refuses requests that are too large, before anything reads them; bodies are limited where they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_gateway.problems import refusal

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

MAX_TARGET_BYTES = 8 * 1024
MAX_HEADER_BYTES = 32 * 1024


class Limits:
    """Limits the target and the headers of requests.

    Args:
        app: the next stage.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if len(scope["raw_path"]) + len(scope["query_string"]) > MAX_TARGET_BYTES:
            raise refusal(414, "URI_TOO_LONG", f"The path and query must not exceed {MAX_TARGET_BYTES} bytes.")
        if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEADER_BYTES:
            raise refusal(431, "HEADERS_TOO_LARGE", f"The headers must not exceed {MAX_HEADER_BYTES} bytes.")
        await self._app(scope, receive, send)
