"""Pages of lists (AIP-158); their tokens are opaque, signed, and bound to the list they continue."""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import orjson

from rota_chassis.errors import InvalidArgument, Violation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 200
_MAC_BYTES = 16

Cursor = TypeVar("Cursor")
Row = TypeVar("Row")


class PageRequest(Protocol):
    """A request for a page of a list."""

    @property
    def page_size(self) -> int:
        """How many rows a page has: 0 asks for the default."""

    @property
    def page_token(self) -> str:
        """The token of the page, which the page before gave; empty asks for the first."""


def page_size(requested: int) -> int:
    """How many rows a page has: 0 asks for the default."""
    return min(requested, MAX_PAGE_SIZE) or DEFAULT_PAGE_SIZE


class PageTokens:
    """Makes and reads page tokens under a secret."""

    def __init__(self, secret: str) -> None:
        self._key = hashlib.sha256(b"rota page token\0" + secret.encode()).digest()

    def page(self, request: PageRequest, *, bound_to: Sequence[Any]) -> Page:
        """The page that a request asks for.

        Raises:
            InvalidArgument: the token was not made here, or for another list (code INVALID_PAGE_TOKEN).
        """
        cursor = self.decode(request.page_token, bound_to=bound_to) if request.page_token else None
        return Page(self, bound_to, page_size(request.page_size), cursor)

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


class Page:
    """A page of a list that is continued behind the sort key of a row: ask for `limit` rows there, and `cut` them.

    Attributes:
        limit: How many rows to ask for: one more than are shown, which tells whether another page follows.
    """

    def __init__(self, tokens: PageTokens, bound_to: Sequence[Any], size: int, cursor: Sequence[Any] | None) -> None:
        self.limit = size + 1
        self._tokens = tokens
        self._bound_to = bound_to
        self._size = size
        self._cursor = cursor

    def cursor(self, read: Callable[..., Cursor]) -> Cursor | None:
        """What `read` makes of the sort key of the last row before this page; None on the first page."""
        return None if self._cursor is None else read(*self._cursor)

    def cut(self, found: Sequence[Row], key: Callable[[Row], Sequence[Any]]) -> tuple[Sequence[Row], str]:
        """The rows of this page, and the token of the next, which is empty when none follows.

        Args:
            found: The rows behind the cursor, `limit` of them or all that there are.
            key: The sort key of a row: JSON values, ids, aware times; `cursor` gets ids and times as strings.
        """
        rows = found[: self._size]
        if len(found) == len(rows):
            return rows, ""
        return rows, self._tokens.encode(key(rows[-1]), bound_to=self._bound_to)
