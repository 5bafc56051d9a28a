"""Who calls: the bearer token of a request (RFC 6750)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.errors import DeadlineExceeded, PermissionDenied, Unauthenticated, Unavailable
from rota_chassis.identity import ROLE_ADMIN

from rota_gateway.routes import Access

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rota_chassis.identity import Principal
    from rota_chassis.tokens import TokenVerifier


def bearer_token(headers: Mapping[bytes, bytes]) -> str | None:
    """The token of the Authorization header, or None when there is no such header.

    Raises:
        Unauthenticated: the header is there, but is not of the scheme Bearer.
    """
    header = headers.get(b"authorization")
    if header is None:
        return None
    scheme, _, token = header.decode("latin-1").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("Send an access token as `Authorization: Bearer <token>`.", code="INVALID_TOKEN")
    return token.strip()


async def authenticate(verifier: TokenVerifier, token: str) -> Principal:
    """The user whose access token this is.

    Raises:
        Unauthenticated: it is no valid access token. Tokens of services are none: they never come from outside.
        Unavailable: the keys to verify it cannot be had now.
    """
    try:
        principal = await verifier.verify(token)
    except (Unavailable, DeadlineExceeded) as error:
        detail = "The service 'auth' is not available at the moment; try again."
        raise Unavailable(detail, code="UPSTREAM_UNAVAILABLE", metadata={"service": "auth"}) from error
    if principal.service is not None or principal.user_id is None:
        raise Unauthenticated("The access token is not valid; log in.", code="INVALID_TOKEN")
    return principal


async def identify(verifier: TokenVerifier, headers: Mapping[bytes, bytes], access: Access) -> tuple[Principal, str]:
    """The caller of a route that is not public, and the token that proves it.

    Raises:
        Unauthenticated: no valid access token was sent.
        PermissionDenied: the route is for administrators, and the caller is none.
        Unavailable: the keys to verify the token cannot be had now.
    """
    token = bearer_token(headers)
    if token is None:
        raise Unauthenticated("This call needs a user: send an access token as `Authorization: Bearer <token>`.")
    principal = await authenticate(verifier, token)
    if access is Access.ADMIN and principal.role != ROLE_ADMIN:
        raise PermissionDenied("Only administrators may do this.", code="ADMIN_ROLE_REQUIRED")
    return principal, token
