"""The two kinds of tokens that carry an identity between processes, both JWTs (RFC 7519).

- Access tokens say who the user is. Auth signs them with ES256, everyone verifies them with auth's public keys
  (`typ` "at+jwt", RFC 9068).
- Service tokens say which service calls, and for which user it acts, if any (`act`, RFC 8693). They are signed with
  HS256 under the secret that the services share, live for a minute, and have a `typ` of their own, so that neither
  kind is ever taken for the other.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

import jwt

from rota_chassis.clock import SystemClock
from rota_chassis.errors import RotaError, Unauthenticated
from rota_chassis.identity import ROLE_USER, Principal

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

    from rota_chassis.clock import Clock

ISSUER = "rota"
AUDIENCE = "rota"
ACCESS_TYPE = "at+jwt"
SERVICE_TYPE = "svc+jwt"
SERVICE_TOKEN_LIFETIME_S = 60
LEEWAY_S = 5

_REQUIRED_CLAIMS = ["exp", "iat", "iss", "aud", "sub"]
_REMEMBERED = 10_000


class KeySet(Protocol):
    """Where the public keys of access tokens come from."""

    async def get(self, kid: str) -> EllipticCurvePublicKey | None:
        """The key with this id, or None when auth does not know it either.

        Raises:
            Unavailable: the keys cannot be had now.
        """
        ...


class TokenVerifier:
    """Verifies both kinds of tokens.

    A verified access token is remembered until it expires: ES256 costs about 100 us, a look-up about 1 us.

    Args:
        keys: Where the public keys of access tokens come from.
        service_secret: What the services sign their tokens with.
        clock: Says when a remembered token is over.
        remembered: How many tokens are remembered at most.
    """

    def __init__(
        self, keys: KeySet, service_secret: str, *, clock: Clock | None = None, remembered: int = _REMEMBERED
    ) -> None:
        self._keys = keys
        self._secret = service_secret
        self._clock = clock or SystemClock()
        self._kept = remembered
        self._verified: OrderedDict[str, tuple[float, Principal]] = OrderedDict()

    async def verify(self, token: str) -> Principal:
        """The principal that the token speaks for.

        Raises:
            Unauthenticated: the token is malformed, forged, of another kind, or over.
            Unavailable: the keys cannot be had now.
        """
        known = self._verified.get(token)
        if known is not None and known[0] > self._clock.now().timestamp():
            return known[1]
        try:
            header = jwt.get_unverified_header(token)
            if header.get("typ") == SERVICE_TYPE:
                return self._verify_service(token)
            return await self._verify_access(token, header)
        except RotaError:
            raise
        except jwt.ExpiredSignatureError as error:
            self._verified.pop(token, None)
            raise Unauthenticated("The access token is over; refresh it.", code="TOKEN_EXPIRED") from error
        except (jwt.InvalidTokenError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise Unauthenticated("The access token is not valid; log in.", code="INVALID_TOKEN") from error

    def _verify_service(self, token: str) -> Principal:
        claims = _decode(token, self._secret, "HS256")
        acting_for = claims.get("act") is not None
        return Principal(
            user_id=UUID(claims["sub"]) if acting_for else None,
            workspace_id=UUID(claims["wid"]) if acting_for else None,
            role=claims.get("role", ROLE_USER),
            service=claims["act"]["sub"] if acting_for else claims["sub"],
            causation_depth=int(claims.get("depth", 0)),
        )

    async def _verify_access(self, token: str, header: dict[str, Any]) -> Principal:
        if header.get("typ") != ACCESS_TYPE or header.get("alg") != "ES256":
            raise jwt.InvalidTokenError
        key = await self._keys.get(str(header.get("kid", "")))
        if key is None:
            raise jwt.InvalidTokenError
        claims = _decode(token, key, "ES256")
        principal = Principal(
            user_id=UUID(claims["sub"]),
            workspace_id=UUID(claims["wid"]),
            role=str(claims["role"]),
            session_id=UUID(claims["sid"]),
        )
        self._verified[token] = (float(claims["exp"]), principal)
        if len(self._verified) > self._kept:
            self._verified.popitem(last=False)
        return principal


class ServiceTokens:
    """Signs this service's tokens, each used for half its life."""

    def __init__(self, service: str, secret: str, *, clock: Clock | None = None) -> None:
        self._service = service
        self._secret = secret
        self._clock = clock or SystemClock()
        self._own: tuple[float, str] = (0.0, "")

    def own(self) -> str:
        """A token that says "this service calls"."""
        now = self._clock.now().timestamp()
        if self._own[0] <= now:
            self._own = (now + SERVICE_TOKEN_LIFETIME_S / 2, self._sign({"sub": self._service}, now))
        return self._own[1]

    def acting_for(self, user_id: UUID, workspace_id: UUID, *, causation_depth: int = 0) -> str:
        """A token that says "this service calls, for that user".

        Args:
            user_id: Whom it acts for.
            workspace_id: The workspace that counts as the user's own within the call.
            causation_depth: How many rules, one after the other, led to the call.
        """
        claims: dict[str, Any] = {"sub": str(user_id), "wid": str(workspace_id), "act": {"sub": self._service}}
        if causation_depth:
            claims["depth"] = causation_depth
        return self._sign(claims, self._clock.now().timestamp())

    def _sign(self, claims: dict[str, Any], now: float) -> str:
        times = {"iat": int(now), "exp": int(now) + SERVICE_TOKEN_LIFETIME_S}
        return jwt.encode(
            {"iss": ISSUER, "aud": AUDIENCE, **times, **claims},
            self._secret,
            algorithm="HS256",
            headers={"typ": SERVICE_TYPE},
        )


def _decode(token: str, key: Any, algorithm: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(
        token,
        key,
        algorithms=[algorithm],
        issuer=ISSUER,
        audience=AUDIENCE,
        leeway=LEEWAY_S,
        options={"require": _REQUIRED_CLAIMS},
    )
    return claims
