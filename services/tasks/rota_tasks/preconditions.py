"""Conditions that a caller sets on a change (RFC 9110, section 13.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.errors import PreconditionFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message

ANY_ETAG = "*"


def require_version(if_match: str, *, version: int, etag: str, current: Callable[[], Message] | None = None) -> None:
    """Return if the caller wants to change this version, or does not say which.

    Args:
        if_match: An entity tag: `"v3"`, or `"v3.8d2f"` where more than the version counts for a reader but not for a
            writer; `*` or empty for whatever there is.
        version: The version there is.
        etag: Its entity tag, for the answer.
        current: Gives what there is, for the answer, so that the caller can merge both.

    Raises:
        PreconditionFailed: it is another version (code ETAG_MISMATCH).
    """
    if if_match in ("", ANY_ETAG):
        return
    opaque = if_match.removeprefix('"').removesuffix('"') if if_match.endswith('"') else ""
    if opaque.partition(".")[0] != f"v{version}":
        raise PreconditionFailed(
            f"It has changed: its entity tag is {etag}.",
            code="ETAG_MISMATCH",
            metadata={"etag": etag},
            current=current() if current else None,
        )
