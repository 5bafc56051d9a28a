"""A filter's words, with where each begins."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from rota_chassis.errors import InvalidArgument, Violation

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_BYTES = 4096
_TOKEN = re.compile(
    r"""
    (?P<space>\s+)
    | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<symbol><=|>=|!=|[=<>:(),])
    | (?P<word>
        \d{4}-\d\d-\d\d[Tt][\d:.]+(?:[Zz]|[+-]\d\d:\d\d)?
        | (?:now|today|tomorrow|yesterday)\s*[+-]\s*\d+[A-Za-z]+
        | \w[\w.-]*
      )
    | (?P<minus>-)
    """,
    re.VERBOSE | re.DOTALL,
)


class TokenKind(Enum):
    """What a token is."""

    TEXT = "text"
    SYMBOL = "symbol"
    WORD = "word"
    MINUS = "minus"
    END = "end"


@dataclass(frozen=True, slots=True)
class Token:
    """A word, a symbol, a text without its quotes, or the end; `position` counts characters from 0."""

    kind: TokenKind
    text: str
    position: int


def invalid(position: int, expected: str) -> InvalidArgument:
    """The refusal of a filter, with where it goes wrong and what was expected there."""
    return InvalidArgument(
        f"The filter is not valid at position {position}: expected {expected}.",
        code="INVALID_FILTER",
        metadata={"position": str(position)},
        violations=[Violation("filter", f"at position {position}: expected {expected}", "invalid_filter")],
    )


def tokens(text: str) -> Iterator[Token]:
    """The tokens of a filter, the last of kind END.

    Raises:
        InvalidArgument: it is longer than 4,096 bytes, or a character begins no token (code INVALID_FILTER).
    """
    if len(text) > MAX_BYTES or len(text.encode()) > MAX_BYTES:
        raise invalid(MAX_BYTES, f"the end: a filter has at most {MAX_BYTES} bytes")
    if "\0" in text:
        raise invalid(text.index("\0"), "no NUL character")
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise invalid(position, "the closing quote" if text[position] in "\"'" else "a field, a value or a sign")
        if match.lastgroup == "text":
            yield Token(TokenKind.TEXT, re.sub(r"\\(.)", r"\1", match[0][1:-1], flags=re.DOTALL), position)
        elif match.lastgroup != "space":
            yield Token(TokenKind(match.lastgroup), match[0], position)
        position = match.end()
    yield Token(TokenKind.END, "", position)
