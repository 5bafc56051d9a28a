"""What reads queues."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota_scheduler.queues import store

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal

    from rota_scheduler.queues.dependencies import Queues


async def list_queues(
    queues: Queues, user: UserPrincipal, *, workspace_id: UUID, limit: int, after: str
) -> Sequence[Mapping[str, Any]]:
    """The queues of a workspace that hold jobs (see `store.counts`).

    Raises:
        NotFound: the user does not belong to the workspace.
    """
    await queues.memberships.require(user.user_id, workspace_id)
    return await store.counts(
        queues.database, workspace_id=workspace_id, now=queues.clock.now(), limit=limit, after=after
    )
