"""Request bodies: reading them, what type they may have, and JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from rota_gateway.problems import Problem, Refused, refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from starlette.types import Receive

JSON_TYPES = frozenset({"application/json"})
PATCH_TYPES = frozenset({"application/json", "application/merge-patch+json"})


class ClientGone(Exception):
    """The client closed the connection before it had sent its request, or before it had its answer."""


def has_body(headers: Mapping[bytes, bytes]) -> bool:
    """Whether a request announces a body (RFC 9112, section 6.3)."""
    length = headers.get(b"content-length")
    return (length is not None and length != b"0") or b"transfer-encoding" in headers


def check_length(headers: Mapping[bytes, bytes], limit: int) -> None:
    """Refuse, with 413, a body that announces more bytes than that.

    Raises:
        Refused: it does.
    """
    length = headers.get(b"content-length")
    if length is not None and int(length) > limit:
        raise _too_large(limit)


async def read_body(receive: Receive, limit: int) -> bytes:
    """The whole body.

    Raises:
        Refused: it has more than `limit` bytes.
        ClientGone: it never ended.
    """
    chunks, length = [], 0
    async for chunk in body_chunks(receive):
        chunks.append(chunk)
        length += len(chunk)
        if length > limit:
            raise _too_large(limit)
    return b"".join(chunks)


async def body_chunks(receive: Receive) -> AsyncIterator[bytes]:
    """The body as it comes.

    Raises:
        ClientGone: it never ended.
    """
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        more = message.get("more_body", False)
        yield message.get("body", b"")


def check_type(headers: Mapping[bytes, bytes], allowed: frozenset[str]) -> None:
    """Refuse, with 415, a body that is not JSON in UTF-8.

    Raises:
        Refused: it is something else, or compressed.
    """
    check_encoding(headers)
    media_type, _, parameters = headers.get(b"content-type", b"").decode("latin-1").partition(";")
    charset = parameters.strip().lower().replace('"', "")
    if media_type.strip().lower() not in allowed or charset not in {"", "charset=utf-8"}:
        names = " or ".join(sorted(allowed))
        raise refusal(415, "UNSUPPORTED_MEDIA_TYPE", f"Send the body as {names}, in UTF-8.", accept=", ".join(allowed))


def check_encoding(headers: Mapping[bytes, bytes]) -> None:
    """Refuse, with 415, a body that is compressed.

    Raises:
        Refused: it is.
    """
    encoding = headers.get(b"content-encoding", b"identity").strip().lower()
    if encoding != b"identity":
        raise refusal(
            415, "UNSUPPORTED_CONTENT_ENCODING", "Send the body without a content coding.", accept_encoding="identity"
        )


def parse_json(body: bytes) -> Any:
    """The value that a JSON text (RFC 8259) stands for.

    Raises:
        Refused: it is none; the problem says at which line and column.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        detail = f"The body is not valid JSON: {error.msg} (line {error.lineno}, column {error.colno})."
        errors = ({"pointer": "", "code": "invalid_json", "detail": f"{error.msg} at byte {error.pos}"},)
        raise Refused(Problem(400, "MALFORMED_JSON", detail, errors)) from error


def _too_large(limit: int) -> Refused:
    return refusal(413, "BODY_TOO_LARGE", f"The body must not exceed {limit} bytes.")
