"""Identifiers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import uuid_utils.compat

if TYPE_CHECKING:
    from uuid import UUID


def uuid7() -> UUID:
    """A new UUIDv7 (RFC 9562): sorts by the millisecond it was made, so that indexes grow at their end."""
    return uuid_utils.compat.uuid7()
