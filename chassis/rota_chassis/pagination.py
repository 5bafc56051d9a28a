"""Page tokens (AIP-158): opaque, signed, and bound to the list they continue."""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import TYPE_CHECKING, Any

import orjson

from rota_chassis.errors import InvalidArgument, Violation

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 200
_MAC_BYTES = 16


def page_size(requested: int) -> int:
    """How many rows a page has: 0 asks for the default."""
    return min(requested, MAX_PAGE_SIZE) or DEFAULT_PAGE_SIZE


class PageTokens:
    """Makes and reads page tokens under a secret."""

    def __init__(self, secret: str) -> None:
        self._key = hashlib.sha256(b"rota page token\0" + secret.encode()).digest()

    def encode(self, cursor: Sequence[Any], *, bound_to: Sequence[Any]) -> str:
        """A token for the page after `cursor`.

        Args:
            cursor: Sort key of the last row of the page, JSON values (times and ids as strings).
            bound_to: What the list depends on (caller, filter, order); the token works for nothing else.
        """
        payload = orjson.dumps(list(cursor), default=str)
        return urlsafe_b64encode(self._mac(payload, bound_to) + payload).decode().rstrip("=")

    def decode(self, token: str, *, bound_to: Sequence[Any]) -> list[Any]:
        """The cursor inside a token.

        Raises:
            InvalidArgument: the token was not made here, or for another list (code INVALID_PAGE_TOKEN).
        """
        try:
            raw = urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except ValueError:
            raw = b""
        mac, payload = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(payload, bound_to)):
            raise InvalidArgument(
                "The page token does not belong to this list; start again without one.",
                code="INVALID_PAGE_TOKEN",
                violations=[Violation("page_token", "is not a token of this list", "invalid_page_token")],
            )
        cursor: list[Any] = orjson.loads(payload)
        return cursor

    def _mac(self, payload: bytes, bound_to: Sequence[Any]) -> bytes:
        bound = orjson.dumps(list(bound_to), default=str)
        message = len(bound).to_bytes(4, "big") + bound + payload
        return hmac.new(self._key, message, hashlib.sha256).digest()[:_MAC_BYTES]
