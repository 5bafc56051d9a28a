"""What changes resource pools.

Two at once: the primary key lets one of two new pools of a name be, and a pool is locked before it is changed, so that
the second sees what the first has done. Dying before the commit leaves nothing. A call that comes twice with its
request id returns the pool of the first. Claims read the units as they are: those of before a change may still be given
out by a claim that has begun.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rota.events.v1 import events_pb2
from rota_chassis.errors import AlreadyExists, PreconditionFailed, Unprocessable
from rota_chassis.ids import uuid7
from rota_chassis.memberships import WRITERS

from rota_scheduler.resource_pools import domain, store
from rota_scheduler.resource_pools.domain import ResourcePool
from rota_scheduler.resource_pools.messages import event_of
from rota_scheduler.resource_pools.queries import no_such_pool

if TYPE_CHECKING:
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal
    from rota_chassis.postgres.work import UnitOfWork
    from rota_chassis.requests import Request

    from rota_scheduler.resource_pools.dependencies import ResourcePools

ANY_ETAG = "*"


async def create_resource_pool(
    pools: ResourcePools,
    user: UserPrincipal,
    *,
    workspace_id: UUID,
    name: str,
    units: int,
    description: str,
    request: Request | None,
) -> ResourcePool:
    """Make a pool. What waits for one of its name may start.

    Raises:
        NotFound: the workspace does not exist for the user.
        PermissionDenied: the user's role does not allow writing.
        AlreadyExists: it has a pool of that name.
        Unprocessable: the request id was used for another pool.
    """
    await pools.memberships.require(user.user_id, workspace_id, WRITERS)
    now = pools.clock.now()
    pool = ResourcePool(
        id=uuid7(),
        workspace_id=workspace_id,
        name=name,
        units=units,
        description=description,
        created_at=now,
        updated_at=now,
    )
    key = f"{user.user_id}/{request.id}" if request else None
    async with pools.database.transaction() as work:
        if await store.add(work, pool, request_key=key, fingerprint=request.fingerprint if request else None):
            work.append(event_of(events_pb2.ResourcePoolCreated, pool, now))
        else:
            pool = await _first(work, pool, key, request)
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
            work.append(event_of(events_pb2.ResourcePoolUpdated, edited, edited.updated_at))
    pools.on_runs()
    return await _read(pools, edited)


async def delete_resource_pool(pools: ResourcePools, user: UserPrincipal, *, workspace_id: UUID, name: str) -> None:
    """Delete a pool; what asks for it waits.

    Raises:
        NotFound: the workspace does not exist for the user, or has no such pool.
        PermissionDenied: the user's role does not allow writing.
    """
    await pools.memberships.require(user.user_id, workspace_id, WRITERS)
    now = pools.clock.now()
    async with pools.database.transaction() as work:
        pool = await store.lock(work, workspace_id=workspace_id, name=name)
        if pool is None:
            raise no_such_pool()
        await store.remove(work, pool)
        work.append(event_of(events_pb2.ResourcePoolDeleted, replace(pool, version=pool.version + 1), now))


async def _first(work: UnitOfWork, pool: ResourcePool, key: str | None, request: Request | None) -> ResourcePool:
    """The pool of the first call with this request id, when there is one of the name already."""
    first = await store.requested(work, workspace_id=pool.workspace_id, request_key=key)
    if first is None or request is None:
        raise AlreadyExists(
            "The workspace has a resource pool of this name; change that one.", code="RESOURCE_POOL_EXISTS"
        )
    if first[1] != request.fingerprint:
        raise Unprocessable(
            "This idempotency key was used for another resource pool; use a new one.", code="REQUEST_ID_REUSED"
        )
    return first[0]


async def _read(pools: ResourcePools, written: ResourcePool) -> ResourcePool:
    """The pool with what is in use of it; as it was written, if it is gone by now."""
    found = await store.get(pools.database, workspace_id=written.workspace_id, name=written.name, now=pools.clock.now())
    return found or written
