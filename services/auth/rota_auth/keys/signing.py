"""The key that signs access tokens (ES256, RFC 7518, section 3.4)."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING, Any

import jwt
import orjson
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from rota_chassis.tokens import ACCESS_TYPE

if TYPE_CHECKING:
    from collections.abc import Mapping

_COORDINATE_BYTES = 32


class SigningKey:
    """A P-256 key pair; also the key set that verifies what it signed.

    Attributes:
        jwk: The public half (RFC 7517): kty, crv, x, y, kid, alg, use.
        kid: Its thumbprint (RFC 7638).
    """

    def __init__(self, private_key: ec.EllipticCurvePrivateKey) -> None:
        self._private = private_key
        self._public = private_key.public_key()
        numbers = self._public.public_numbers()
        required = {"crv": "P-256", "kty": "EC", "x": _coordinate(numbers.x), "y": _coordinate(numbers.y)}
        # RFC 7638, section 3: the required members alone, in lexicographic order, without white space.
        self.kid = _base64url(hashlib.sha256(orjson.dumps(required, option=orjson.OPT_SORT_KEYS)).digest())
        self.jwk: Mapping[str, str] = {**required, "kid": self.kid, "alg": "ES256", "use": "sig"}

    @classmethod
    def generate(cls) -> SigningKey:
        """A new key."""
        return cls(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def from_pem(cls, pem: bytes) -> SigningKey:
        """The key in a PEM file (PKCS #8 or SEC 1), not encrypted.

        Raises:
            ValueError: it holds no such key, or one of another curve.
        """
        try:
            key = serialization.load_pem_private_key(pem, password=None)
        except (ValueError, TypeError) as error:
            raise ValueError("the signing key is not an unencrypted private key in PEM form") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise ValueError("the signing key is not a P-256 key")  # noqa: TRY004 (its content is wrong, not its type)
        return cls(key)

    def to_pem(self) -> bytes:
        """The private key: PKCS #8, PEM."""
        return self._private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def sign(self, claims: Mapping[str, Any]) -> str:
        """An access token with these claims (RFC 9068)."""
        headers = {"typ": ACCESS_TYPE, "kid": self.kid}
        return jwt.encode(dict(claims), self._private, algorithm="ES256", headers=headers)

    async def get(self, kid: str) -> ec.EllipticCurvePublicKey | None:
        """The public key with this id, or None."""
        return self._public if kid == self.kid else None


def _coordinate(value: int) -> str:
    return _base64url(value.to_bytes(_COORDINATE_BYTES, "big"))


def _base64url(value: bytes) -> str:
    return urlsafe_b64encode(value).rstrip(b"=").decode()
