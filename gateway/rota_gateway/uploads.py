"""A file on its way in: the body of a request, or the one part of its form, as messages of a streaming RPC.

Whoever takes the messages sets the pace: the body is read only when the next message is asked for, and no more of it is
kept than a chunk.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from email.message import Message
from email.utils import collapse_rfc2231_value
from typing import TYPE_CHECKING, Any

from multipart import MultipartError, MultipartSegment, PushMultipartParser

from rota_gateway import bodies
from rota_gateway.problems import Problem, Refused, refusal

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping

    from starlette.types import Receive

    from rota_gateway.routes import Route

CHUNK_BYTES = 128 * 1024
MAX_CHUNK_BYTES = 256 * 1024
IDLE_S = 30.0
FORM_PART = "file"
_FORM = "multipart/form-data"
_MAX_AROUND_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Named:
    """What goes before the content of a file: what its sender says of it.

    Attributes:
        name: empty when it has none.
        media_type: empty when none is said.
        size: of the content, in bytes; None when it is not said.
    """

    name: str
    media_type: str
    size: int | None


async def messages(route: Route, first: Any, headers: Mapping[bytes, bytes], receive: Receive) -> AsyncGenerator[Any]:
    """The messages that take the body to the route's RPC.

    Args:
        route: of a file that goes up.
        first: its request message, with what path, query and headers say.
        headers: of the request.
        receive: gives the body.

    Raises:
        Refused: the body is not what its headers say, or the client stopped sending.
        ClientGone: it never ended.
    """
    bodies.check_encoding(headers)
    parts = _read(headers, _in_time(bodies.body_chunks(receive)))
    said = await anext(parts)
    if not isinstance(said, Named):
        raise TypeError(said)
    # What the address says goes before what the body says.
    first.name = first.name or said.name[:1024]
    first.media_type = said.media_type[:1024]
    if said.size is not None:
        first.size = said.size
    yield first
    new: Any = route.request_class
    async for chunk in _sized(parts):
        yield new(**{route.body: chunk})
    yield new(complete=True)


async def _in_time(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    while True:
        try:
            async with asyncio.timeout(IDLE_S):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise refusal(408, "REQUEST_TIMEOUT", f"Nothing came for {IDLE_S:.0f} seconds; send it again.") from error
        yield chunk


async def _sized(chunks: AsyncIterator[Named | bytes]) -> AsyncIterator[bytes]:
    """The same bytes in chunks of a size that is worth a message, and none of more than the contract allows."""
    kept = bytearray()
    async for chunk in chunks:
        if isinstance(chunk, Named):
            raise TypeError(chunk)
        kept += chunk
        while len(kept) >= CHUNK_BYTES:
            yield bytes(kept[:MAX_CHUNK_BYTES])
            del kept[:MAX_CHUNK_BYTES]
    if kept:
        yield bytes(kept)


async def _read(headers: Mapping[bytes, bytes], chunks: AsyncIterator[bytes]) -> AsyncIterator[Named | bytes]:
    """What the sender says of the file, then its content."""
    declared = headers.get(b"content-type", b"").decode("latin-1")
    if _header(declared).get_content_type() == _FORM:
        async for part in _read_form(declared, chunks):
            yield part
        return
    length = headers.get(b"content-length")
    disposition = _text(headers.get(b"content-disposition", b""))
    yield Named(file_name(disposition), declared, None if length is None else int(length))
    async for chunk in chunks:
        yield chunk


async def _read_form(declared: str, chunks: AsyncIterator[bytes]) -> AsyncIterator[Named | bytes]:
    boundary = _header(declared).get_boundary()
    if not boundary:
        raise _malformed("the Content-Type names no boundary")
    try:
        form = _Form(boundary)
        async for chunk in chunks:
            for part in form.read(chunk):
                yield part
        form.end()
    except MultipartError as error:
        raise _malformed(str(error)) from error


class _Form:
    """A form with one part (RFC 7578); what stands before and after it is little."""

    def __init__(self, boundary: str) -> None:
        self._parser = PushMultipartParser(boundary)
        self._seen = False
        self._inside = False
        self._around = 0

    def read(self, chunk: bytes) -> Iterator[Named | bytes]:
        """What a chunk of the form holds of the file.

        Raises:
            MultipartError: it is no form.
            Refused: it is another form.
        """
        if not self._inside:
            self._around += len(chunk)
            if self._around > _MAX_AROUND_BYTES + CHUNK_BYTES:
                raise _malformed("too much stands around the file")
        if not chunk or self._parser.closed:
            return
        for event in self._parser.parse(chunk):
            if isinstance(event, MultipartSegment):
                if self._seen or event.name != FORM_PART:
                    raise _malformed(f"the form has one part, called `{FORM_PART}`")
                self._seen = self._inside = True
                yield Named(event.filename or "", event.header("Content-Type", ""), None)
            elif event is None:
                self._inside = False
            else:
                yield bytes(event)

    def end(self) -> None:
        """The form has been read.

        Raises:
            MultipartError: it is cut off.
            Refused: it had no file.
        """
        self._parser.close()
        if not self._seen:
            raise _malformed(f"it has no part called `{FORM_PART}`")


def _malformed(why: str) -> Refused:
    detail = f"The form is not as RFC 7578 says: {why}."
    return Refused(Problem(400, "MALFORMED_MULTIPART", detail))


def _header(content_type: str) -> Message:
    message = Message()
    message["content-type"] = content_type
    return message


def file_name(disposition: str) -> str:
    """The file name in a Content-Disposition; an extended one goes before another (RFC 6266, section 4.3)."""
    message = Message()
    message["content-disposition"] = disposition
    parameters = message.get_params([], header="content-disposition")
    names = [value for name, value in parameters if name.lower() == "filename"]
    names.sort(key=lambda name: not isinstance(name, tuple))
    return collapse_rfc2231_value(names[0]) if names else ""


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
