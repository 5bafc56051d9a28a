"""Sessions and the hashes of their refresh tokens in SQL. A session that has ended is gone, and its tokens with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.postgres.statements import statement
from sqlalchemy import (
    Column,
    DateTime,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    bindparam,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_auth.sessions.domain import RefreshToken, Session

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from rota_chassis.postgres.work import UnitOfWork

SESSIONS = Table(
    "sessions",
    MetaData(),
    Column("id", PgUUID, primary_key=True),
    Column("user_id", PgUUID, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("rotated_at", DateTime(timezone=True), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
)
REFRESH_TOKENS = Table(
    "refresh_tokens",
    MetaData(),
    Column("hash", LargeBinary, primary_key=True),
    Column("session_id", PgUUID, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
)

_CHANGED = ("generation", "rotated_at", "expires_at")

_ADD = statement(insert(SESSIONS).values({column.name: bindparam(column.name) for column in SESSIONS.c}))
_SAVE = statement(
    update(SESSIONS)
    .where(SESSIONS.c.id == bindparam("session_id"))
    .values({name: bindparam(f"new_{name}") for name in _CHANGED})
)
# Locks the session alone: its tokens are inserted and deleted, but never change.
_LOCK = statement(
    select(
        SESSIONS,
        REFRESH_TOKENS.c.generation.label("token_generation"),
        REFRESH_TOKENS.c.expires_at.label("token_expires_at"),
    )
    .join(REFRESH_TOKENS, REFRESH_TOKENS.c.session_id == SESSIONS.c.id)
    .where(REFRESH_TOKENS.c.hash == bindparam("hash"))
    .with_for_update(of=SESSIONS)
)
_END = statement(
    delete(SESSIONS).where(SESSIONS.c.id == bindparam("session_id"), SESSIONS.c.user_id == bindparam("user_id"))
)
_END_EXPIRED = statement(
    delete(SESSIONS).where(SESSIONS.c.user_id == bindparam("user_id"), SESSIONS.c.expires_at <= bindparam("now"))
)
_OVER = (
    select(SESSIONS.c.id)
    .where(SESSIONS.c.expires_at <= bindparam("now", type_=DateTime(timezone=True)))
    .order_by(SESSIONS.c.expires_at)
    .limit(bindparam("limit", type_=Integer))
    .with_for_update(skip_locked=True)
)
_PURGE = statement(delete(SESSIONS).where(SESSIONS.c.id.in_(_OVER)))
_ADD_TOKEN = statement(
    insert(REFRESH_TOKENS).values({column.name: bindparam(column.name) for column in REFRESH_TOKENS.c})
)
_FORGET_EXPIRED_TOKENS = statement(
    delete(REFRESH_TOKENS).where(
        REFRESH_TOKENS.c.session_id == bindparam("session_id"), REFRESH_TOKENS.c.expires_at <= bindparam("now")
    )
)


async def add_session(work: UnitOfWork, session: Session) -> None:
    """Insert a session."""
    await work.execute(_ADD, **{column.name: getattr(session, column.name) for column in SESSIONS.c})


async def lock_session(work: UnitOfWork, token_hash: bytes) -> tuple[Session, RefreshToken] | None:
    """The session of a refresh token, until the transaction ends nobody else's to change, and the token."""
    row = await work.fetch_one(_LOCK, hash=token_hash)
    if row is None:
        return None
    session = Session(
        id=row["id"],
        user_id=row["user_id"],
        generation=row["generation"],
        rotated_at=row["rotated_at"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
    )
    return session, RefreshToken(token_hash, row["token_generation"], row["token_expires_at"])


async def save_session(work: UnitOfWork, session: Session) -> None:
    """Write what an exchange changed."""
    await work.execute(_SAVE, session_id=session.id, **{f"new_{name}": getattr(session, name) for name in _CHANGED})


async def end_session(work: UnitOfWork, session_id: UUID, user_id: UUID) -> bool:
    """Delete a session of the user's; False when there is none."""
    return await work.execute(_END, session_id=session_id, user_id=user_id) == 1


async def purge(work: UnitOfWork, *, now: datetime, limit: int) -> int:
    """Delete at most `limit` sessions that are over, whosever they are; how many."""
    return await work.execute(_PURGE, now=now, limit=limit)


async def end_expired_sessions(work: UnitOfWork, user_id: UUID, *, now: datetime) -> None:
    """Delete the sessions of a user that are over."""
    await work.execute(_END_EXPIRED, user_id=user_id, now=now)


async def add_token(work: UnitOfWork, session_id: UUID, token: RefreshToken) -> None:
    """Insert a refresh token."""
    await work.execute(
        _ADD_TOKEN,
        hash=token.hash,
        session_id=session_id,
        generation=token.generation,
        expires_at=token.expires_at,
    )


async def forget_expired_tokens(work: UnitOfWork, session_id: UUID, *, now: datetime) -> None:
    """Delete the tokens of a session that are over."""
    await work.execute(_FORGET_EXPIRED_TOKENS, session_id=session_id, now=now)
