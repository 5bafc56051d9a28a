"""What a content is, by its first bytes."""

from __future__ import annotations

import re

import filetype

from rota_tasks.attachments.domain import SHOWN_INLINE, UNKNOWN_TYPE

HEAD_BYTES = 8192
"""How many of the first bytes tell."""
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}")
# Formats that others are made of: a sender may know better which.
_CONTAINERS = frozenset({"application/gzip", "application/x-tar", "application/zip"})


def media_type(head: bytes, declared: str) -> str:
    """The media type, in lower case and without parameters.

    What the content is found to be goes before what the sender says; where nothing is found, the sender is believed,
    but not that it is something which would be known.

    Args:
        head: its first bytes, at least `HEAD_BYTES` where it has as many.
        declared: a Content-Type; empty for none.
    """
    said = declared.partition(";")[0].strip().lower()
    if not _MEDIA_TYPE.fullmatch(said):
        said = UNKNOWN_TYPE
    kind = filetype.guess(head) if head else None
    if kind is None:
        return UNKNOWN_TYPE if said in SHOWN_INLINE else said
    found: str = kind.mime
    if found in _CONTAINERS and said.startswith("application/") and said not in SHOWN_INLINE | {UNKNOWN_TYPE}:
        return said
    return found
