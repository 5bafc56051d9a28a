"""Access tokens for tests, signed with a key of their own."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from rota_chassis.ids import uuid7
from rota_chassis.tokens import ACCESS_TYPE, AUDIENCE, ISSUER

if TYPE_CHECKING:
    from uuid import UUID

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

KID = "test"


class TokenIssuer:
    """Signs access tokens as auth would; it is also the key set that verifies them."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())

    @property
    def keys(self) -> TokenIssuer:
        """The key set that verifies its tokens."""
        return self

    async def get(self, kid: str) -> EllipticCurvePublicKey | None:
        """Its public key."""
        return self._key.public_key() if kid == KID else None

    def access_token(
        self,
        user_id: UUID,
        workspace_id: UUID,
        *,
        role: str = "user",
        session_id: UUID | None = None,
        lifetime_s: float = 900,
        **claims: Any,
    ) -> str:
        """A token of a user; `claims` replace or add to the usual ones."""
        now = int(time.time())
        usual = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": str(user_id),
            "wid": str(workspace_id),
            "role": role,
            "sid": str(session_id or uuid7()),
            "jti": str(uuid7()),
            "iat": now,
            "exp": now + int(lifetime_s),
        }
        return jwt.encode({**usual, **claims}, self._key, algorithm="ES256", headers={"typ": ACCESS_TYPE, "kid": KID})
