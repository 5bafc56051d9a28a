"""What reads concurrency keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_scheduler.access import hidden_projects
from rota_scheduler.concurrency_keys import store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal

    from rota_scheduler.concurrency_keys.domain import ConcurrencyKey
    from rota_scheduler.resource_pools.dependencies import ResourcePools


async def list_concurrency_keys(
    keys: ResourcePools, user: UserPrincipal, *, workspace_id: UUID, limit: int, after: str
) -> Sequence[ConcurrencyKey]:
    """The keys of a workspace (see `store.page`).

    Raises:
        NotFound: the workspace does not exist for the user.
    """
    await keys.memberships.require(user.user_id, workspace_id)
    hidden = await hidden_projects(keys.database, user_id=user.user_id)
    return await store.page(
        keys.database, workspace_id=workspace_id, now=keys.clock.now(), limit=limit, after=after, hidden=hidden
    )
