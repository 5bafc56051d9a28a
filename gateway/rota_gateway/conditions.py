"""Conditional requests (RFC 9110, section 13)."""

from __future__ import annotations


def none_match(header: bytes, etag: bytes) -> bool:
    """Whether `If-None-Match` holds, that is, none of its tags is the resource's; by weak comparison."""
    wanted = header.strip()
    if wanted == b"*":
        return False
    opaque = etag.removeprefix(b"W/")
    return all(tag.strip().removeprefix(b"W/") != opaque for tag in wanted.split(b","))
