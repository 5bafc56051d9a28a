"""Registering, logging in, renewing a session, logging out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rota_chassis.errors import Unauthenticated
from rota_chassis.identity import Principal, acting_as
from rota_chassis.ids import uuid7
from rota_chassis.logs import logger

from rota_auth.invitations.commands import join
from rota_auth.sessions import domain, store
from rota_auth.sessions.accounts import account_of, create_account
from rota_auth.users.domain import SystemRole
from rota_auth.users.store import find_credentials, find_user, replace_password_hash

if TYPE_CHECKING:
    from uuid import UUID

    from rota_chassis.clock import Clock
    from rota_chassis.postgres.database import Database
    from rota_chassis.postgres.work import UnitOfWork

    from rota_auth.passwords.hashing import Passwords
    from rota_auth.sessions.access import AccessTokens
    from rota_auth.sessions.accounts import Account

_LOG = logger(__name__)


@dataclass(frozen=True, slots=True)
class Grant:
    """What a client gets for its credentials.

    Attributes:
        account: Whose they are.
        access_token: For calls.
        refresh_token: For the next grant.
        expires_in_s: Seconds for which the access token is good.
    """

    account: Account
    access_token: str
    refresh_token: str
    expires_in_s: int


@dataclass(frozen=True, slots=True)
class Sessions:
    """What every command on sessions needs."""

    database: Database
    passwords: Passwords
    access_tokens: AccessTokens
    clock: Clock


async def register(
    sessions: Sessions, *, email: str, password: str, name: str, invitation_token: str | None = None
) -> Grant:
    """A new user with a workspace of their own, and a first session; with an invitation a member of its workspace too.

    Raises:
        AlreadyExists: somebody has the e-mail address (code EMAIL_TAKEN).
        InvalidArgument: the name is empty.
        NotFound: the token is of no invitation that is open (code INVITATION_NOT_FOUND).
        PermissionDenied: another address is invited (code INVITATION_FOR_ANOTHER).
    """
    password_hash = await sessions.passwords.hash(password)
    async with sessions.database.transaction() as work:
        account = await create_account(
            work,
            email=email,
            password_hash=password_hash,
            name=name,
            role=SystemRole.USER,
            now=sessions.clock.now(),
        )
        if invitation_token is not None:
            user = account.user
            with acting_as(Principal(user_id=user.id, workspace_id=user.workspace_id, role=user.role.value)):
                await join(work, user, token=invitation_token, now=sessions.clock.now())
        return await _open_session(sessions, work, account)


async def login(sessions: Sessions, *, email: str, password: str) -> Grant:
    """A new session for a user who knows their password.

    Raises:
        Unauthenticated: there is no such user, or it is not their password (code INVALID_CREDENTIALS).
    """
    found = await find_credentials(sessions.database, email)
    user, stored = found or (None, None)
    matches = await sessions.passwords.verify(password, stored)
    if not matches or user is None or stored is None:
        raise Unauthenticated("The e-mail address or the password is not right.", code="INVALID_CREDENTIALS")
    better = await sessions.passwords.hash(password) if sessions.passwords.needs_rehash(stored) else None
    async with sessions.database.transaction() as work:
        if better is not None:
            await replace_password_hash(work, user.id, old=stored, new=better)
        await store.end_expired_sessions(work, user.id, now=sessions.clock.now())
        return await _open_session(sessions, work, await account_of(work, user, now=sessions.clock.now()))


async def refresh(sessions: Sessions, *, refresh_token: str) -> Grant:
    """The next grant of a session; see `sessions.domain` for what a token is good for.

    Raises:
        Unauthenticated: the token is unknown, over, or was used before, which ends the session (code
            INVALID_REFRESH_TOKEN).
    """
    grant: Grant | None = None
    async with sessions.database.transaction() as work:
        found = await store.lock_session(work, domain.hash_token(refresh_token))
        if found is not None:
            grant = await _exchange(sessions, work, *found)
    # Raised after the commit: a session that ends because of reuse stays ended.
    if grant is None:
        raise Unauthenticated("The refresh token is not valid any more; log in.", code="INVALID_REFRESH_TOKEN")
    return grant


async def logout(database: Database, *, user_id: UUID, session_id: UUID) -> None:
    """End a session of the user's, unless it has ended already. Its last access token lives until it expires."""
    async with database.transaction() as work:
        await store.end_session(work, session_id, user_id)


async def _exchange(
    sessions: Sessions, work: UnitOfWork, session: domain.Session, token: domain.RefreshToken
) -> Grant | None:
    now = sessions.clock.now()
    try:
        session = domain.exchange(session, token, now=now)
    except domain.TokenOver:
        return None
    except domain.TokenReused:
        await store.end_session(work, session.id, session.user_id)
        _LOG.warning("session.ended_by_reuse", session_id=str(session.id), user_id=str(session.user_id))
        return None
    user = await find_user(work, session.user_id)
    if user is None:
        return None
    await store.save_session(work, session)
    await store.forget_expired_tokens(work, session.id, now=now)
    return await _grant(sessions, work, session, await account_of(work, user, now=now))


async def purge(sessions: Sessions, *, limit: int) -> int:
    """Forget at most `limit` sessions that are over, with their tokens; how many. Two at once forget different ones."""
    async with sessions.database.transaction() as work:
        return await store.purge(work, now=sessions.clock.now(), limit=limit)


async def _open_session(sessions: Sessions, work: UnitOfWork, account: Account) -> Grant:
    session = domain.open_session(uuid7(), account.user.id, now=sessions.clock.now())
    await store.add_session(work, session)
    return await _grant(sessions, work, session, account)


async def _grant(sessions: Sessions, work: UnitOfWork, session: domain.Session, account: Account) -> Grant:
    text, token = domain.issue_refresh_token(session)
    await store.add_token(work, session.id, token)
    return Grant(
        account=account,
        access_token=sessions.access_tokens.issue(account.user, session.id, now=sessions.clock.now()),
        refresh_token=text,
        expires_in_s=sessions.access_tokens.lifetime_s,
    )
