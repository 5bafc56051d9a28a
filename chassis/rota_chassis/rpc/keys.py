"""Auth's public keys, as the other processes see them."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from rota.auth.v1 import auth_pb2, auth_pb2_grpc

if TYPE_CHECKING:
    import grpc

REFRESH_AT_MOST_EVERY_S = 5.0


class RemoteKeySet:
    """Keys fetched from auth when an unknown key id turns up, at most once in a few seconds."""

    def __init__(self, channel: grpc.aio.Channel, *, refresh_at_most_every_s: float = REFRESH_AT_MOST_EVERY_S) -> None:
        self._stub = auth_pb2_grpc.AuthServiceStub(channel)
        self._keys: dict[str, EllipticCurvePublicKey] = {}
        self._refresh_at_most_every_s = refresh_at_most_every_s
        self._fetched_at = -math.inf
        self._lock = asyncio.Lock()

    async def get(self, kid: str) -> EllipticCurvePublicKey | None:
        """The key with this id, or None when auth does not know it.

        Raises:
            Unavailable: auth cannot be asked now, and the key is not known here.
        """
        if kid not in self._keys:
            async with self._lock:
                if kid not in self._keys and time.monotonic() - self._fetched_at >= self._refresh_at_most_every_s:
                    await self._fetch()
        return self._keys.get(kid)

    async def _fetch(self) -> None:
        answer = await self._stub.GetJwks(auth_pb2.GetJwksRequest(), timeout=2.0)
        self._keys = {key.kid: public_key(key) for key in answer.keys}
        self._fetched_at = time.monotonic()


def public_key(key: auth_pb2.Jwk) -> EllipticCurvePublicKey:
    """The key that a JWK describes (RFC 7518, section 6.2). Raises TypeError when it is not of an elliptic curve."""
    parsed = jwt.PyJWK({"kty": key.kty, "crv": key.crv, "x": key.x, "y": key.y, "alg": key.alg}).key
    if not isinstance(parsed, EllipticCurvePublicKey):
        raise TypeError(f"auth published a key that is not elliptic-curve: {key.kid}")
    return parsed
