"""A file on its way out: the messages of a streaming RPC as the body of an answer.

The client sets the pace: the next message is asked for when the one before has been written. What the answer is (RFC
9110: whole, a range, not modified, range not satisfiable) follows from the first message.
"""

from __future__ import annotations

import asyncio
import re
from datetime import UTC
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from rota.options.v1 import files_pb2

from rota_gateway.answers import send_empty
from rota_gateway.bodies import ClientGone
from rota_gateway.conditions import none_match
from rota_gateway.problems import Problem, Refused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Send

    from rota_gateway.endpoint import Endpoint
    from rota_gateway.exchange import Exchange

IDLE_S = 30.0
_NOT_IN_QUOTES = re.compile(r"[^ !#$&-\[\]-~]")


async def send_file(send: Send, exchange: Exchange, endpoint: Endpoint, messages: AsyncIterator[Any]) -> None:
    """Answer with a file.

    Args:
        send: takes the answer.
        exchange: of the request.
        endpoint: of a route whose file goes down.
        messages: of its RPC.

    Raises:
        Refused: the range that was asked for is not in the file.
        ClientGone: the client stopped reading.
        RotaError: what the service says; after the first message that cuts the answer short.
    """
    head: files_pb2.FileHead = (await anext(messages)).head
    headers = _headers(head, endpoint.cache_control)
    condition = exchange.headers.get(b"if-none-match")
    if condition is not None and not none_match(condition, head.etag.encode()):
        await send_empty(send, 304, headers)
        return
    is_head = exchange.method == "HEAD"
    if head.extent == files_pb2.FILE_EXTENT_NONE and not is_head:
        raise _not_satisfiable(head.size)
    part = head.extent == files_pb2.FILE_EXTENT_PART and not is_head
    length = head.length if part else head.size
    headers += [(b"content-type", head.media_type.encode()), (b"content-length", b"%d" % length)]
    if part:
        last = head.offset + head.length - 1
        headers.append((b"content-range", b"bytes %d-%d/%d" % (head.offset, last, head.size)))
    await send({"type": "http.response.start", "status": 206 if part else 200, "headers": headers})
    if is_head:
        await send({"type": "http.response.body", "body": b""})
        return
    name = endpoint.route.response_body
    async for message in messages:
        await _write(send, getattr(message, name))
    await send({"type": "http.response.body", "body": b""})


async def _write(send: Send, chunk: bytes) -> None:
    try:
        async with asyncio.timeout(IDLE_S):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    except TimeoutError as error:
        raise ClientGone from error


def _headers(head: files_pb2.FileHead, cache_control: bytes) -> list[tuple[bytes, bytes]]:
    modified = format_datetime(head.modified_at.ToDatetime(UTC), usegmt=True)
    return [
        (b"cache-control", cache_control),
        (b"etag", head.etag.encode()),
        (b"last-modified", modified.encode()),
        (b"accept-ranges", b"bytes"),
        (b"content-disposition", content_disposition(head.name, inline=head.inline)),
    ]


def content_disposition(name: str, *, inline: bool) -> bytes:
    """A Content-Disposition (RFC 6266): the name in ASCII for old clients, and in full (RFC 8187)."""
    kind = "inline" if inline else "attachment"
    plain = _NOT_IN_QUOTES.sub("_", name)
    value = f'{kind}; filename="{plain}"'
    if plain != name:
        value += f"; filename*=UTF-8''{quote(name, safe='')}"
    return value.encode("ascii")


def _not_satisfiable(size: int) -> Refused:
    detail = f"The range begins behind the end: the file has {size} bytes."
    headers = {b"content-range": b"bytes */%d" % size, b"accept-ranges": b"bytes"}
    return Refused(Problem(416, "RANGE_NOT_SATISFIABLE", detail, headers=headers))
