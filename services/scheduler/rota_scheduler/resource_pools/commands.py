"""What changes resource pools.

Two at once: the primary key lets one of two new pools of a name be, and a pool is locked before it is changed, so that
the second sees what the first has done. Dying before the commit leaves nothing. Claims read the units as they are:
those of before a change may still be given out by a claim that has begun.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.errors import AlreadyExists, PreconditionFailed
from rota_chassis.memberships import WRITERS

from rota_scheduler.resource_pools import domain, store
from rota_scheduler.resource_pools.domain import ResourcePool
from rota_scheduler.resource_pools.queries import no_such_pool

if TYPE_CHECKING:
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal

    from rota_scheduler.resource_pools.dependencies import ResourcePools

ANY_ETAG = "*"


async def create_resource_pool(
    pools: ResourcePools, user: UserPrincipal, *, workspace_id: UUID, name: str, units: int, description: str
) -> ResourcePool:
    """Make a pool. What waits for one of its name may start.

    Raises:
        NotFound: the workspace does not exist for the user.
        PermissionDenied: the user's role does not allow writing.
        AlreadyExists: it has a pool of that name.
    """
    await pools.memberships.require(user.user_id, workspace_id, WRITERS)
    now = pools.clock.now()
    pool = ResourcePool(
        workspace_id=workspace_id, name=name, units=units, description=description, created_at=now, updated_at=now
    )
    async with pools.database.transaction() as work:
        if not await store.add(work, pool):
            raise AlreadyExists(
                "The workspace has a resource pool of this name; change that one.", code="RESOURCE_POOL_EXISTS"
            )
    pools.on_runs()
    return await _read(pools, pool)


async def update_resource_pool(
    pools: ResourcePools,
    user: UserPrincipal,
    *,
    workspace_id: UUID,
    name: str,
    units: int | None,
    description: str | None,
    if_match: str = "",
) -> ResourcePool:
    """Change a pool; None keeps what is.

    Raises:
        NotFound: the workspace does not exist for the user, or has no such pool.
        PermissionDenied: the user's role does not allow writing.
        PreconditionFailed: its entity tag is another.
    """
    await pools.memberships.require(user.user_id, workspace_id, WRITERS)
    async with pools.database.transaction() as work:
        pool = await store.lock(work, workspace_id=workspace_id, name=name)
        if pool is None:
            raise no_such_pool()
        if if_match not in ("", ANY_ETAG, pool.etag):
            raise PreconditionFailed(
                f"The resource pool has changed: its entity tag is {pool.etag}.",
                code="ETAG_MISMATCH",
                metadata={"etag": pool.etag},
            )
        edited = domain.edit(pool, units=units, description=description, now=pools.clock.now())
        if edited is not pool:
            await store.save(work, edited)
    pools.on_runs()
    return await _read(pools, edited)


async def delete_resource_pool(pools: ResourcePools, user: UserPrincipal, *, workspace_id: UUID, name: str) -> None:
    """Delete a pool; what asks for it waits.

    Raises:
        NotFound: the workspace does not exist for the user, or has no such pool.
        PermissionDenied: the user's role does not allow writing.
    """
    await pools.memberships.require(user.user_id, workspace_id, WRITERS)
    async with pools.database.transaction() as work:
        if not await store.remove(work, workspace_id=workspace_id, name=name):
            raise no_such_pool()


async def _read(pools: ResourcePools, written: ResourcePool) -> ResourcePool:
    """The pool with what is in use of it; as it was written, if it is gone by now."""
    found = await store.get(pools.database, workspace_id=written.workspace_id, name=written.name, now=pools.clock.now())
    return found or written
