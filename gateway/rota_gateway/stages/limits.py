"""Refuses requests that are too large, before anything reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_gateway.exchange import exchange_of
from rota_gateway.problems import refusal

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from rota_gateway.problems import Refused

MAX_TARGET_BYTES = 8 * 1024
MAX_HEADER_BYTES = 32 * 1024


class Limits:
    """Limits the target, the headers and the body of requests.

    Args:
        app: the next stage.
        body_bytes: longest body; one without a declared length is counted as it comes.
    """

    def __init__(self, app: ASGIApp, body_bytes: int) -> None:
        self._app = app
        self._body_bytes = body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if len(scope["raw_path"]) + len(scope["query_string"]) > MAX_TARGET_BYTES:
            raise refusal(414, "URI_TOO_LONG", f"The path and query must not exceed {MAX_TARGET_BYTES} bytes.")
        if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEADER_BYTES:
            raise refusal(431, "HEADERS_TOO_LARGE", f"The headers must not exceed {MAX_HEADER_BYTES} bytes.")
        headers = exchange_of(scope).headers
        length = headers.get(b"content-length")
        if length is not None and int(length) > self._body_bytes:
            raise self._too_large()
        await self._app(scope, self._counted(receive) if b"transfer-encoding" in headers else receive, send)

    def _counted(self, receive: Receive) -> Receive:
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._body_bytes:
                raise self._too_large()
            return message

        return counted

    def _too_large(self) -> Refused:
        return refusal(413, "BODY_TOO_LARGE", f"The body must not exceed {self._body_bytes} bytes.")
