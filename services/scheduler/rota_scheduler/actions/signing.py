"""Signatures of calls (Standard Webhooks 1.0.0, "Signature scheme", symmetric)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

PREFIX = "whsec_"
_LEAST_BYTES = 24
_MOST_BYTES = 64


def key_of(secret: str) -> bytes:
    """The key that a secret holds.

    Raises:
        ValueError: it does not begin with "whsec_", or the rest is not 24 to 64 bytes in base64.
    """
    encoded = secret.removeprefix(PREFIX)
    if encoded == secret:
        raise ValueError(f"must begin with {PREFIX}")
    try:
        key = base64.b64decode(encoded, validate=True)
    except binascii.Error as error:
        raise ValueError(f"must be base64 after {PREFIX}") from error
    if not _LEAST_BYTES <= len(key) <= _MOST_BYTES:
        raise ValueError(f"must hold {_LEAST_BYTES} to {_MOST_BYTES} bytes")
    return key


def signature_headers(secret: str, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers by which a receiver knows that the message is ours, and when it was sent.

    Args:
        secret: See `key_of`.
        message_id: The same for each attempt.
        timestamp: Seconds since 1970 of this attempt.
        body: As it is sent.
    """
    signed = b".".join((message_id.encode(), str(timestamp).encode(), body))
    digest = hmac.new(key_of(secret), signed, hashlib.sha256).digest()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }
