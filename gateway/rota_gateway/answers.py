"""Sending answers: plain ASGI messages, since response objects would cost more than the rest of a read."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import Send

    from rota_gateway.exchange import Exchange

JSON = b"application/json"


async def send_answer(
    send: Send,
    exchange: Exchange,
    status: int,
    body: bytes,
    *,
    media_type: bytes = JSON,
    headers: Iterable[tuple[bytes, bytes]] = (),
) -> None:
    """Answer with a body; to HEAD with what would be its headers."""
    start = [(b"content-type", media_type), (b"content-length", b"%d" % len(body)), *headers]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": b"" if exchange.method == "HEAD" else body})


async def send_empty(send: Send, status: int, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
    """Answer without a body: 204 or 304."""
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": b""})
