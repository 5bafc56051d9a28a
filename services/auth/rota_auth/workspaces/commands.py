"""Changing who belongs to a workspace. The workspace's row is locked first, so that changes have an order."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rota_chassis.errors import AlreadyExists, Conflict, NotFound, PermissionDenied

from rota_auth.users.store import find_user_by_email
from rota_auth.workspaces import domain, store
from rota_auth.workspaces.messages import event_message
from rota_auth.workspaces.queries import require_membership, workspace_not_found
from rota_auth.workspaces.store import Member

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from rota_chassis.postgres.database import Database
    from rota_chassis.postgres.work import UnitOfWork

    from rota_auth.workspaces.domain import MemberChanged, Membership, Workspace, WorkspaceEvent, WorkspaceRole


async def add_member(
    database: Database, *, caller_id: UUID, workspace_id: UUID, email: str, role: WorkspaceRole, now: datetime
) -> Member:
    """Add a registered user to a workspace that the caller manages.

    Raises:
        NotFound: the caller does not belong to the workspace (code WORKSPACE_NOT_FOUND), or nobody is registered
            under the e-mail address (code USER_NOT_FOUND).
        PermissionDenied: the caller does not manage the workspace (code WORKSPACE_ROLE_REQUIRED).
        AlreadyExists: the user is a member (code ALREADY_A_MEMBER).
    """
    async with database.transaction() as work:
        workspace, caller = await enter(work, workspace_id, caller_id)
        require_manager(caller)
        user = await find_user_by_email(work, email)
        if user is None:
            raise NotFound(
                "Nobody is registered under this e-mail address; ask them to register first.", code="USER_NOT_FOUND"
            )
        if await store.find_membership(work, workspace_id, user.id) is not None:
            raise AlreadyExists("This user is a member of the workspace already.", code="ALREADY_A_MEMBER")
        event = domain.add_member(workspace, user.id, role, now=now)
        await record(work, [event])
    return Member(event.membership, user.name, user.email)


async def update_member(
    database: Database,
    *,
    caller_id: UUID,
    workspace_id: UUID,
    user_id: UUID,
    role: WorkspaceRole | None,
    now: datetime,
) -> Member:
    """Give a member of a workspace that the caller manages another role; None keeps it. See `domain.hand_over`, too.

    Raises:
        NotFound: the caller does not belong to the workspace (code WORKSPACE_NOT_FOUND), or the user does not (code
            MEMBER_NOT_FOUND).
        PermissionDenied: the caller does not manage the workspace, or is not its owner and would make another the owner
            (code WORKSPACE_ROLE_REQUIRED).
        Conflict: the user is the owner (code OWNER_STAYS).
    """
    async with database.transaction() as work:
        workspace, caller = await enter(work, workspace_id, caller_id)
        require_manager(caller)
        member = await store.find_member(work, workspace_id, user_id)
        if member is None:
            raise _no_such_member()
        if role is None:
            return member
        try:
            events = _changes(workspace, caller, member.membership, role, now=now)
        except domain.OwnerOnly as error:
            raise PermissionDenied(
                f"Your role in this workspace is {caller.role}; only its owner hands it over.",
                code="WORKSPACE_ROLE_REQUIRED",
            ) from error
        except domain.OwnerStays as error:
            raise Conflict(
                "The role of a workspace's owner cannot be changed; the owner makes another member the owner first.",
                code="OWNER_STAYS",
            ) from error
        await record(work, events)
    return replace(member, membership=events[-1].membership) if events else member


async def remove_member(
    database: Database, *, caller_id: UUID, workspace_id: UUID, user_id: UUID, now: datetime
) -> None:
    """Take a member out of a workspace that the caller manages, or let the caller leave.

    Raises:
        NotFound: the caller does not belong to the workspace (code WORKSPACE_NOT_FOUND), or the user does not (code
            MEMBER_NOT_FOUND).
        PermissionDenied: the caller neither manages the workspace nor leaves (code WORKSPACE_ROLE_REQUIRED).
        Conflict: the user is the owner (code OWNER_STAYS).
    """
    async with database.transaction() as work:
        workspace, caller = await enter(work, workspace_id, caller_id)
        if user_id != caller_id:
            require_manager(caller)
        membership = await store.find_membership(work, workspace_id, user_id)
        if membership is None:
            raise _no_such_member()
        try:
            event = domain.remove_member(workspace, membership, now=now)
        except domain.OwnerStays as error:
            raise Conflict(
                "The owner of a workspace cannot leave it; hand it over first.", code="OWNER_STAYS"
            ) from error
        await record(work, [event])


def _changes(
    workspace: Workspace, caller: Membership, membership: Membership, role: WorkspaceRole, *, now: datetime
) -> Sequence[MemberChanged]:
    if role is domain.WorkspaceRole.OWNER:
        return domain.hand_over(workspace, caller, membership, now=now)
    return domain.change_member(workspace, membership, role, now=now)


def _no_such_member() -> NotFound:
    return NotFound("This user is not a member of the workspace.", code="MEMBER_NOT_FOUND")


async def record(work: UnitOfWork, events: Sequence[WorkspaceEvent]) -> None:
    """Write what the events changed, and append them to the log."""
    for event in events:
        await store.apply(work, event)
        work.append(event_message(event))


async def enter(work: UnitOfWork, workspace_id: UUID, caller_id: UUID) -> tuple[Workspace, Membership]:
    """A workspace of the caller's, locked until the transaction ends, and their membership of it.

    Raises:
        NotFound: the caller does not belong to it (code WORKSPACE_NOT_FOUND).
    """
    # Whether the caller belongs to it is asked first: nobody locks a workspace that is not theirs.
    await require_membership(work, workspace_id, caller_id)
    workspace = await store.lock_workspace(work, workspace_id)
    if workspace is None:
        raise workspace_not_found()
    return workspace, await require_membership(work, workspace_id, caller_id)


def require_manager(membership: Membership) -> None:
    """Return if this member manages the workspace.

    Raises:
        PermissionDenied: they do not (code WORKSPACE_ROLE_REQUIRED).
    """
    try:
        domain.require_manager(membership.role)
    except domain.ManagersOnly as error:
        raise PermissionDenied(
            f"Your role in this workspace is {membership.role}; only its owner and admins manage members.",
            code="WORKSPACE_ROLE_REQUIRED",
        ) from error
