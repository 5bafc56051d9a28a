"""What changes the limits of concurrency keys.

Two at once: each writes all of the row, and the last one stays. Dying before the commit leaves nothing, and a call that
comes twice changes nothing the second time. Claims read the limits as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.errors import NotFound
from rota_chassis.memberships import WRITERS

from rota_scheduler.concurrency_keys import store

if TYPE_CHECKING:
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal

    from rota_scheduler.concurrency_keys.domain import ConcurrencyKey
    from rota_scheduler.resource_pools.dependencies import ResourcePools
    from rota_scheduler.runs.allocation import RateLimit


async def put_concurrency_key(
    keys: ResourcePools,
    user: UserPrincipal,
    *,
    workspace_id: UUID,
    key: str,
    concurrency_limit: int | None,
    rate_limit: RateLimit | None,
) -> ConcurrencyKey:
    """Give a key limits of its own; None leaves that limit to its runs.

    Raises:
        NotFound: the workspace does not exist for the user.
        PermissionDenied: the user's role does not allow writing.
    """
    await keys.memberships.require(user.user_id, workspace_id, WRITERS)
    async with keys.database.transaction() as work:
        await store.put(
            work, workspace_id=workspace_id, key=key, concurrency_limit=concurrency_limit, rate_limit=rate_limit
        )
    keys.on_runs()
    return await store.get(keys.database, workspace_id=workspace_id, key=key, now=keys.clock.now())


async def delete_concurrency_key(keys: ResourcePools, user: UserPrincipal, *, workspace_id: UUID, key: str) -> None:
    """Leave the limits of a key to its runs.

    Raises:
        NotFound: the workspace does not exist for the user, or the key has no limits of its own.
        PermissionDenied: the user's role does not allow writing.
    """
    await keys.memberships.require(user.user_id, workspace_id, WRITERS)
    async with keys.database.transaction() as work:
        if not await store.remove(work, workspace_id=workspace_id, key=key):
            raise NotFound("The concurrency key has no limits of its own.", code="CONCURRENCY_KEY_NOT_FOUND")
    keys.on_runs()
