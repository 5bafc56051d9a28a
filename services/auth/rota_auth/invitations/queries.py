"""Reading invitations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.errors import NotFound

from rota_auth.invitations import store
from rota_auth.workspaces.commands import require_manager
from rota_auth.workspaces.queries import require_membership

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from rota_chassis.postgres.work import Reader

    from rota_auth.invitations.domain import Invitation


async def list_invitations(
    reader: Reader, *, caller_id: UUID, workspace_id: UUID, limit: int, before: UUID | None, now: datetime
) -> Sequence[Invitation]:
    """The open invitations to a workspace that the caller manages (see `store.list_open`).

    Raises:
        NotFound: the caller does not belong to the workspace (code WORKSPACE_NOT_FOUND).
        PermissionDenied: the caller does not manage it (code WORKSPACE_ROLE_REQUIRED).
    """
    require_manager(await require_membership(reader, workspace_id, caller_id))
    return await store.list_open(reader, workspace_id, limit=limit, before=before, now=now)


def no_such_invitation() -> NotFound:
    """The error for an invitation that is not open, or a token that is of none."""
    return NotFound("There is no such invitation, or it is over; ask for another.", code="INVITATION_NOT_FOUND")
