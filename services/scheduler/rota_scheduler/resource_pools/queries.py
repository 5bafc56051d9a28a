"""What reads resource pools."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.errors import NotFound

from rota_scheduler.resource_pools import store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal

    from rota_scheduler.resource_pools.dependencies import ResourcePools
    from rota_scheduler.resource_pools.domain import ResourcePool


async def get_resource_pool(
    pools: ResourcePools, user: UserPrincipal, *, workspace_id: UUID, name: str
) -> ResourcePool:
    """One pool of a workspace.

    Raises:
        NotFound: the workspace does not exist for the user, or has no such pool.
    """
    await pools.memberships.require(user.user_id, workspace_id)
    pool = await store.get(pools.database, workspace_id=workspace_id, name=name, now=pools.clock.now())
    if pool is None:
        raise no_such_pool()
    return pool


async def list_resource_pools(
    pools: ResourcePools, user: UserPrincipal, *, workspace_id: UUID, limit: int, after: str
) -> Sequence[ResourcePool]:
    """The pools of a workspace (see `store.page`).

    Raises:
        NotFound: the workspace does not exist for the user.
    """
    await pools.memberships.require(user.user_id, workspace_id)
    return await store.page(pools.database, workspace_id=workspace_id, now=pools.clock.now(), limit=limit, after=after)


def no_such_pool() -> NotFound:
    """The answer for a pool that does not exist."""
    return NotFound("The workspace has no such resource pool.", code="RESOURCE_POOL_NOT_FOUND")
