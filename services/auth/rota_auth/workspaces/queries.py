"""Reading workspaces and members."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.errors import NotFound

from rota_auth.workspaces import store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from rota_chassis.postgres.work import Reader

    from rota_auth.workspaces.domain import Membership, Workspace, WorkspaceRole
    from rota_auth.workspaces.store import Member


async def list_workspaces(
    reader: Reader, *, caller_id: UUID, limit: int, after: tuple[datetime, UUID] | None
) -> Sequence[tuple[Workspace, WorkspaceRole]]:
    """The caller's workspaces with their role in each (see `store.list_workspaces`)."""
    return await store.list_workspaces(reader, caller_id, limit=limit, after=after)


async def list_members(
    reader: Reader, *, caller_id: UUID, workspace_id: UUID, limit: int, after: tuple[datetime, UUID] | None
) -> Sequence[Member]:
    """The members of a workspace of the caller's (see `store.list_members`).

    Raises:
        NotFound: there is no such workspace, or the caller does not belong to it (code WORKSPACE_NOT_FOUND).
    """
    await require_membership(reader, workspace_id, caller_id)
    return await store.list_members(reader, workspace_id, limit=limit, after=after)


async def list_memberships(reader: Reader, user_id: UUID) -> Sequence[Membership]:
    """Every membership of a user."""
    return await store.memberships_of_user(reader, user_id)


async def require_membership(reader: Reader, workspace_id: UUID, user_id: UUID) -> Membership:
    """The user's membership of a workspace.

    Raises:
        NotFound: there is no such workspace, or the user does not belong to it (code WORKSPACE_NOT_FOUND).
    """
    membership = await store.find_membership(reader, workspace_id, user_id)
    if membership is None:
        raise workspace_not_found()
    return membership


def workspace_not_found() -> NotFound:
    """The error for a workspace that does not exist, or of which the caller may not know."""
    return NotFound("There is no such workspace, or you do not belong to it.", code="WORKSPACE_NOT_FOUND")
