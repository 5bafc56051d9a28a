"""Reading workspaces and members."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from rota_chassis.errors import NotFound

from rota_auth.workspaces import store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rota_chassis.pagination import PageTokens
    from rota_chassis.postgres.database import Reader

    from rota_auth.workspaces.domain import Membership, Workspace, WorkspaceRole
    from rota_auth.workspaces.store import Member


async def list_workspaces(
    reader: Reader, page_tokens: PageTokens, *, caller_id: UUID, page_size: int, page_token: str
) -> tuple[Sequence[tuple[Workspace, WorkspaceRole]], str]:
    """One page of the caller's workspaces with their role in each, and the token of the next page or "".

    Raises:
        InvalidArgument: the page token belongs to another list (code INVALID_PAGE_TOKEN).
    """
    bound_to = ("workspaces", caller_id)
    after = _cursor(page_tokens, page_token, bound_to)
    found = await store.list_workspaces(reader, caller_id, after=after, limit=page_size + 1)
    page = found[:page_size]
    if len(found) <= page_size:
        return page, ""
    last = page[-1][0]
    return page, page_tokens.encode([last.created_at.isoformat(), str(last.id)], bound_to=bound_to)


async def list_members(
    reader: Reader,
    page_tokens: PageTokens,
    *,
    caller_id: UUID,
    workspace_id: UUID,
    page_size: int,
    page_token: str,
) -> tuple[Sequence[Member], str]:
    """One page of the members of a workspace of the caller's, and the token of the next page or "".

    Raises:
        NotFound: there is no such workspace, or the caller does not belong to it (code WORKSPACE_NOT_FOUND).
        InvalidArgument: the page token belongs to another list (code INVALID_PAGE_TOKEN).
    """
    bound_to = ("members", caller_id, workspace_id)
    after = _cursor(page_tokens, page_token, bound_to)
    await require_membership(reader, workspace_id, caller_id)
    found = await store.list_members(reader, workspace_id, after=after, limit=page_size + 1)
    page = found[:page_size]
    if len(found) <= page_size:
        return page, ""
    last = page[-1].membership
    return page, page_tokens.encode([last.joined_at.isoformat(), str(last.user_id)], bound_to=bound_to)


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


def _cursor(page_tokens: PageTokens, token: str, bound_to: Sequence[object]) -> tuple[datetime, UUID] | None:
    if not token:
        return None
    time, last_id = page_tokens.decode(token, bound_to=bound_to)
    return datetime.fromisoformat(time), UUID(last_id)
