"""Which part of a content is asked for (RFC 9110, section 14): one range of bytes, or all."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ONE_RANGE = re.compile(r"\s*bytes\s*=[\s,]*([0-9]*)-([0-9]*)[\s,]*", re.IGNORECASE | re.ASCII)
_MAX_DIGITS = 18


@dataclass(frozen=True, slots=True)
class Part:
    """`length` bytes from `offset` on; none when the range begins behind the end."""

    offset: int
    length: int


def asked_part(header: str, *, size: int, if_range: str, etag: str) -> Part | None:
    """The part that a Range header asks for.

    Args:
        header: its value; empty for none.
        size: of the content, in bytes.
        if_range: value of the If-Range header; empty for none.
        etag: strong entity tag of the content, quotes included.

    Returns:
        None for all: there is no such header, or it is not for this content, malformed, or asks for several ranges,
        all of which a server may ignore.
    """
    match = _ONE_RANGE.fullmatch(header)
    if match is None or (if_range and if_range.strip() != etag):
        return None
    first, last = match[1], match[2]
    if not (first or last) or max(len(first), len(last)) > _MAX_DIGITS:
        return None
    if not first:
        length = min(int(last), size)
        return Part(size - length, length)
    begin = int(first)
    if last and int(last) < begin:
        return None
    if begin >= size:
        return Part(size, 0)
    end = min(int(last), size - 1) if last else size - 1
    return Part(begin, end - begin + 1)
