"""A session and its refresh tokens. Pure.

A session is a line of generations of refresh tokens. Exchanging a token of the newest generation opens the next one.
A client whose answer was lost, or which asks twice at once, presents a token of the generation before: for
`GRACE` after the exchange it gets another token of the newest generation, and may go on with any of them; as soon as
one of them is exchanged, the others are of the generation before. Whatever is older is reuse: somebody holds a token
that a client has gone past, so the session ends, for both (RFC 9700, section 4.14.2).

A session ends `IDLE` after the last exchange, and `LONGEST` after its beginning whatever happens.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

GRACE = timedelta(seconds=10)
IDLE = timedelta(days=30)
LONGEST = timedelta(days=180)
TOKEN_PREFIX = "rt_"  # noqa: S105 (what every refresh token begins with, for secret scanners)
_TOKEN_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One login of a user.

    Attributes:
        generation: The newest generation of its refresh tokens, from 0.
        rotated_at: When that generation was opened.
        expires_at: When its newest refresh tokens end.
    """

    id: UUID
    user_id: UUID
    generation: int = 0
    rotated_at: datetime
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A refresh token as it is kept: only its hash."""

    hash: bytes
    generation: int
    expires_at: datetime


class TokenReused(Exception):
    """A token came back that a client has gone past."""


class TokenOver(Exception):
    """The token, or its session, is over."""


def open_session(session_id: UUID, user_id: UUID, *, now: datetime) -> Session:
    """A new session."""
    return Session(
        id=session_id, user_id=user_id, rotated_at=now, created_at=now, expires_at=_expiry(now, created_at=now)
    )


def exchange(session: Session, token: RefreshToken, *, now: datetime) -> Session:
    """The session after one of its tokens was exchanged; a new token is of its newest generation.

    Raises:
        TokenOver: the token has expired.
        TokenReused: the session must end.
    """
    if token.generation == session.generation:
        if token.expires_at <= now:
            raise TokenOver
        return replace(
            session,
            generation=session.generation + 1,
            rotated_at=now,
            expires_at=_expiry(now, created_at=session.created_at),
        )
    if token.generation == session.generation - 1 and now - session.rotated_at <= GRACE:
        return session
    raise TokenReused


def issue_refresh_token(session: Session) -> tuple[str, RefreshToken]:
    """A new token of the session's newest generation: its text for the client, and what is kept."""
    text = TOKEN_PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)
    return text, RefreshToken(hash_token(text), session.generation, session.expires_at)


def hash_token(text: str) -> bytes:
    """What is kept of a token. It has 256 random bits, so a fast hash will do."""
    return hashlib.sha256(text.encode()).digest()


def _expiry(now: datetime, *, created_at: datetime) -> datetime:
    return min(now + IDLE, created_at + LONGEST)
