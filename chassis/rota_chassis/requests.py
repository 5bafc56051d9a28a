"""Calls that may be repeated: they carry an id of the caller's choice (draft-ietf-httpapi-idempotency-key-header).

Whoever keeps the id beside what the first call made finds that again, and knows by the fingerprint whether a second
call with the id asks for the same.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Request:
    """A call that may be repeated.

    Attributes:
        id: Of the caller's choice.
        fingerprint: A digest of what it asks.
    """

    id: str
    fingerprint: bytes


def request_of(message: Any) -> Request | None:
    """The id and the digest of a message with a field `request_id`; None when the caller gave no id."""
    if not message.request_id:
        return None
    content = type(message)()
    content.CopyFrom(message)
    content.ClearField("request_id")
    return Request(message.request_id, hashlib.sha256(content.SerializeToString(deterministic=True)).digest())
