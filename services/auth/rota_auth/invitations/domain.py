"""An invitation to a workspace by e-mail, and what becomes of it. Pure.

    open ──accepted──> accepted
     │ └───revoked───> revoked
     └─────expires: nobody writes it down; whoever is invited anew ends it

Its tokens are secrets of which only hashes are kept. Each mail has one of its own, made when the mail is sent; sending
an invitation again voids those before.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID

    from rota_auth.workspaces.domain import WorkspaceRole

LIFETIME = timedelta(days=7)
MAX_OPEN = 200
"""How many invitations of one workspace may be open."""
_TOKEN_BYTES = 32


class State(StrEnum):
    """Where an invitation stands."""

    OPEN = "open"
    ACCEPTED = "accepted"
    REVOKED = "revoked"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """The fields are those of rota.auth.v1.Invitation.

    Attributes:
        accepted_by: Who joined by it, once it is accepted.
        version: Grows by one with each event.
    """

    id: UUID
    workspace_id: UUID
    email: str
    role: WorkspaceRole
    state: State = State.OPEN
    invited_by: UUID
    created_at: datetime
    sent_at: datetime
    expires_at: datetime
    accepted_by: UUID | None = None
    version: int = 1

    def is_open(self, now: datetime) -> bool:
        """Whether it lets somebody in."""
        return self.state is State.OPEN and now < self.expires_at

    def is_for(self, email: str) -> bool:
        """Whether this is the address that was invited."""
        return self.email.lower() == email.lower()


@dataclass(frozen=True, slots=True)
class InvitationEvent:
    """Something happened to an invitation, at a time; `invitation` is as it is after it."""

    invitation: Invitation
    time: datetime


class InvitationCreated(InvitationEvent):
    """Somebody was invited."""


class InvitationResent(InvitationEvent):
    """It is to be sent again."""


class InvitationRevoked(InvitationEvent):
    """It was revoked."""


class InvitationAccepted(InvitationEvent):
    """Who was invited joined."""


def create(
    invitation_id: UUID, workspace_id: UUID, *, email: str, role: WorkspaceRole, invited_by: UUID, now: datetime
) -> InvitationCreated:
    """Invite somebody."""
    return InvitationCreated(
        Invitation(
            id=invitation_id,
            workspace_id=workspace_id,
            email=email,
            role=role,
            invited_by=invited_by,
            created_at=now,
            sent_at=now,
            expires_at=now + LIFETIME,
        ),
        now,
    )


def resend(invitation: Invitation, *, now: datetime) -> InvitationResent:
    """Send it again, as if it were made now."""
    return InvitationResent(
        replace(invitation, sent_at=now, expires_at=now + LIFETIME, version=invitation.version + 1), now
    )


def revoke(invitation: Invitation, *, now: datetime) -> InvitationRevoked:
    """Let nobody in by it any more."""
    return InvitationRevoked(replace(invitation, state=State.REVOKED, version=invitation.version + 1), now)


def accept(invitation: Invitation, user_id: UUID, *, now: datetime) -> InvitationAccepted:
    """A user joins by it."""
    accepted = replace(invitation, state=State.ACCEPTED, accepted_by=user_id, version=invitation.version + 1)
    return InvitationAccepted(accepted, now)


def new_token() -> str:
    """A secret of 256 random bits, in 43 characters of base64url."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def digest(token: str) -> bytes:
    """What is kept of a token; it is random enough for a fast hash."""
    return hashlib.sha256(token.encode()).digest()
