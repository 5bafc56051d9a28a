"""Inviting, and joining by an invitation.

Two at once: the row of the workspace is locked first, as by whoever changes its members. So of two who accept one
invitation one joins, nobody joins twice, and a revocation either comes before or too late. A token is made when its
mail is sent; dying before the mail leaves a hash that nobody knows the token of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rota_chassis.errors import AlreadyExists, Conflict, PermissionDenied, Unprocessable
from rota_chassis.ids import uuid7

from rota_auth.invitations import domain, store
from rota_auth.invitations.domain import MAX_OPEN, Invitation, State
from rota_auth.invitations.messages import event_message
from rota_auth.invitations.queries import no_such_invitation
from rota_auth.users.queries import user_gone
from rota_auth.users.store import find_user, find_user_by_email
from rota_auth.workspaces import domain as workspaces
from rota_auth.workspaces import store as workspace_store
from rota_auth.workspaces.commands import enter, record, require_manager
from rota_auth.workspaces.store import Member

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from rota_chassis.postgres.database import Database
    from rota_chassis.postgres.work import UnitOfWork
    from rota_chassis.requests import Request

    from rota_auth.invitations.domain import InvitationEvent
    from rota_auth.users.domain import User
    from rota_auth.workspaces.domain import WorkspaceRole


@dataclass(frozen=True, slots=True)
class Letter:
    """What the mail of an invitation says."""

    invitation: Invitation
    token: str
    workspace_name: str
    inviter_name: str


async def create_invitation(
    database: Database,
    *,
    caller_id: UUID,
    workspace_id: UUID,
    email: str,
    role: WorkspaceRole,
    now: datetime,
    request: Request | None = None,
) -> Invitation:
    """Invite somebody to a workspace that the caller manages; a repeated request gives the same invitation.

    Raises:
        NotFound: the caller does not belong to the workspace (code WORKSPACE_NOT_FOUND).
        PermissionDenied: the caller does not manage it (code WORKSPACE_ROLE_REQUIRED).
        AlreadyExists: a member has the address (code ALREADY_A_MEMBER), or it is invited (code ALREADY_INVITED).
        Conflict: as many invitations are open as may be (code TOO_MANY_INVITATIONS).
        Unprocessable: the request id was used for another invitation (code REQUEST_ID_REUSED).
    """
    key = f"{caller_id}/{request.id}" if request else None
    async with database.transaction() as work:
        _, caller = await enter(work, workspace_id, caller_id)
        require_manager(caller)
        if request is not None and key is not None:
            first = await store.requested(work, workspace_id, key)
            if first is not None:
                if first[1] != request.fingerprint:
                    raise Unprocessable(
                        "This idempotency key was used for another invitation; use a new one.", code="REQUEST_ID_REUSED"
                    )
                return first[0]
        user = await find_user_by_email(work, email)
        if user is not None and await workspace_store.find_membership(work, workspace_id, user.id) is not None:
            raise AlreadyExists("This user is a member of the workspace already.", code="ALREADY_A_MEMBER")
        before = await store.open_to(work, workspace_id, email)
        if before is not None and before.is_open(now):
            raise AlreadyExists("This address is invited already; send the invitation again.", code="ALREADY_INVITED")
        if before is not None:
            await store.expire(work, before)
        if await store.count_open(work, workspace_id, now=now) >= MAX_OPEN:
            raise Conflict(
                f"A workspace has at most {MAX_OPEN} open invitations; revoke one first.", code="TOO_MANY_INVITATIONS"
            )
        event = domain.create(uuid7(), workspace_id, email=email, role=role, invited_by=caller_id, now=now)
        await store.save(work, event.invitation, request_key=key, fingerprint=request.fingerprint if request else None)
        work.append(event_message(event))
    return event.invitation


async def resend_invitation(
    database: Database, *, caller_id: UUID, workspace_id: UUID, invitation_id: UUID, now: datetime
) -> Invitation:
    """Send an open invitation again; the tokens before are void.

    Raises:
        NotFound: the caller does not belong to the workspace (code WORKSPACE_NOT_FOUND), or the invitation is not open
            (code INVITATION_NOT_FOUND).
        PermissionDenied: the caller does not manage the workspace (code WORKSPACE_ROLE_REQUIRED).
    """
    async with database.transaction() as work:
        invitation = await _open(work, caller_id, workspace_id, invitation_id, now=now)
        event = domain.resend(invitation, now=now)
        await store.void_tokens(work, invitation)
        await _apply(work, event)
    return event.invitation


async def revoke_invitation(
    database: Database, *, caller_id: UUID, workspace_id: UUID, invitation_id: UUID, now: datetime
) -> None:
    """Revoke an open invitation. Raises as `resend_invitation`."""
    async with database.transaction() as work:
        invitation = await _open(work, caller_id, workspace_id, invitation_id, now=now)
        await store.void_tokens(work, invitation)
        await _apply(work, domain.revoke(invitation, now=now))


async def accept_invitation(database: Database, *, caller_id: UUID, token: str, now: datetime) -> Member:
    """Let the caller into the workspace that they are invited to.

    Raises:
        NotFound: the token is of no invitation that is open (code INVITATION_NOT_FOUND).
        PermissionDenied: another address is invited (code INVITATION_FOR_ANOTHER).
        AlreadyExists: the caller is a member, not by this invitation (code ALREADY_A_MEMBER).
        Unauthenticated: there is no such user any more (code USER_GONE).
    """
    async with database.transaction() as work:
        user = await find_user(work, caller_id)
        if user is None:
            raise user_gone()
        return await join(work, user, token=token, now=now)


async def join(work: UnitOfWork, user: User, *, token: str, now: datetime) -> Member:
    """What `accept_invitation` does, in a transaction of the caller's."""
    seen = await store.find_by_token(work, domain.digest(token))
    if seen is None:
        raise no_such_invitation()
    workspace = await workspace_store.lock_workspace(work, seen.workspace_id)
    invitation = await store.find_by_token(work, domain.digest(token))
    if workspace is None or invitation is None:
        raise no_such_invitation()
    membership = await workspace_store.find_membership(work, workspace.id, user.id)
    if invitation.state is State.ACCEPTED and invitation.accepted_by == user.id and membership is not None:
        return Member(membership, user.name, user.email)
    if not invitation.is_open(now):
        raise no_such_invitation()
    if not invitation.is_for(user.email):
        raise PermissionDenied(
            "This invitation is for another e-mail address; log in with the account that has it.",
            code="INVITATION_FOR_ANOTHER",
        )
    if membership is not None:
        raise AlreadyExists("You are a member of the workspace already.", code="ALREADY_A_MEMBER")
    joined = workspaces.add_member(workspace, user.id, invitation.role, now=now)
    await record(work, [joined])
    await _apply(work, domain.accept(invitation, user.id, now=now))
    return Member(joined.membership, user.name, user.email)


async def issue_token(database: Database, *, workspace_id: UUID, invitation_id: UUID, now: datetime) -> Letter:
    """A new token of an open invitation, and what its mail says.

    Raises:
        NotFound: it is not open (code INVITATION_NOT_FOUND).
    """
    token = domain.new_token()
    async with database.transaction() as work:
        workspace = await workspace_store.lock_workspace(work, workspace_id)
        invitation = await store.find(work, workspace_id, invitation_id)
        if workspace is None or invitation is None or not invitation.is_open(now):
            raise no_such_invitation()
        inviter = await find_user(work, invitation.invited_by)
        await store.add_token(work, invitation, domain.digest(token))
    return Letter(invitation, token, workspace.name, inviter.name if inviter else "")


async def _open(
    work: UnitOfWork, caller_id: UUID, workspace_id: UUID, invitation_id: UUID, *, now: datetime
) -> Invitation:
    _, caller = await enter(work, workspace_id, caller_id)
    require_manager(caller)
    invitation = await store.find(work, workspace_id, invitation_id)
    if invitation is None or not invitation.is_open(now):
        raise no_such_invitation()
    return invitation


async def _apply(work: UnitOfWork, event: InvitationEvent) -> None:
    await store.save(work, event.invitation)
    work.append(event_message(event))
