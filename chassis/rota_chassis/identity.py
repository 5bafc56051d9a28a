"""Who is calling: the principal of the current request, kept in a context variable by the identity interceptor."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rota_chassis.errors import Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

ROLE_USER = "user"
ROLE_MANAGER = "manager"
ROLE_ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller: a user, a service, or a service acting for a user (RFC 8693, `act`).

    Attributes:
        user_id: The user who calls or is acted for; None for a service on its own.
        workspace_id: The user's own workspace.
        role: The user's system role.
        session_id: The session whose access token carries the call; None when a service calls.
        service: The service that calls; None for a user.
        causation_depth: How many rules, one after the other, led to the call; 0 for what a user does.
    """

    user_id: UUID | None = None
    workspace_id: UUID | None = None
    role: str = ROLE_USER
    session_id: UUID | None = None
    service: str | None = None
    causation_depth: int = 0

    @property
    def actor(self) -> str:
        """The principal as one word for logs and events: "user:<id>" or "service:<name>"."""
        return f"user:{self.user_id}" if self.user_id else f"service:{self.service}"


@dataclass(frozen=True, slots=True)
class UserPrincipal:
    """A principal that certainly is, or acts for, a user."""

    user_id: UUID
    workspace_id: UUID
    role: str
    session_id: UUID | None


_current: ContextVar[Principal | None] = ContextVar("principal", default=None)


@contextmanager
def acting_as(principal: Principal) -> Iterator[None]:
    """Make `principal` the caller within the block."""
    token = _current.set(principal)
    try:
        yield
    finally:
        _current.reset(token)


def current_principal() -> Principal | None:
    """The caller, or None outside of a request."""
    return _current.get()


def require_user() -> UserPrincipal:
    """The calling user.

    Raises:
        Unauthenticated: the call carries no user.
    """
    principal = _current.get()
    if principal is None or principal.user_id is None or principal.workspace_id is None:
        raise Unauthenticated("This call needs a user: send an access token.")
    return UserPrincipal(principal.user_id, principal.workspace_id, principal.role, principal.session_id)
