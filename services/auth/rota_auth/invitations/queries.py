"""Reading invitations."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from rota_chassis.errors import NotFound

from rota_auth.invitations import store
from rota_auth.workspaces.commands import require_manager
from rota_auth.workspaces.queries import require_membership

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from rota_chassis.pagination import PageTokens
    from rota_chassis.postgres.database import Reader

    from rota_auth.invitations.domain import Invitation


async def list_invitations(
    reader: Reader,
    page_tokens: PageTokens,
    *,
    caller_id: UUID,
    workspace_id: UUID,
    page_size: int,
    page_token: str,
    now: datetime,
) -> tuple[Sequence[Invitation], str]:
    """One page of the open invitations to a workspace that the caller manages, and the token of the next page or "".

    Raises:
        NotFound: the caller does not belong to the workspace (code WORKSPACE_NOT_FOUND).
        PermissionDenied: the caller does not manage it (code WORKSPACE_ROLE_REQUIRED).
        InvalidArgument: the page token belongs to another list (code INVALID_PAGE_TOKEN).
    """
    bound_to = ("invitations", caller_id, workspace_id)
    before = UUID(page_tokens.decode(page_token, bound_to=bound_to)[0]) if page_token else None
    require_manager(await require_membership(reader, workspace_id, caller_id))
    found = await store.list_open(reader, workspace_id, before=before, limit=page_size + 1, now=now)
    page = found[:page_size]
    if len(found) <= page_size:
        return page, ""
    return page, page_tokens.encode([str(page[-1].id)], bound_to=bound_to)


def no_such_invitation() -> NotFound:
    """The error for an invitation that is not open, or a token that is of none."""
    return NotFound("There is no such invitation, or it is over; ask for another.", code="INVITATION_NOT_FOUND")
