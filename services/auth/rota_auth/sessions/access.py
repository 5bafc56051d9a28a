"""Issuing access tokens (RFC 9068)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from rota_chassis.ids import uuid7
from rota_chassis.tokens import AUDIENCE, ISSUER

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from rota_auth.keys.signing import SigningKey
    from rota_auth.users.domain import User


class AccessTokens:
    """Signs access tokens that are good for `lifetime_s` seconds."""

    def __init__(self, key: SigningKey, lifetime_s: int) -> None:
        self._key = key
        self.lifetime_s = lifetime_s

    def issue(self, user: User, session_id: UUID, *, now: datetime) -> str:
        """A token that says the user calls, within this session."""
        return self._key.sign(
            {
                "iss": ISSUER,
                "aud": AUDIENCE,
                "sub": str(user.id),
                "wid": str(user.workspace_id),
                "role": user.role.value,
                "sid": str(session_id),
                "jti": str(uuid7()),
                "iat": int(now.timestamp()),
                "exp": int((now + timedelta(seconds=self.lifetime_s)).timestamp()),
            }
        )
