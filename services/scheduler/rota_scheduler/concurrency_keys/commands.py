"""What changes the limits of concurrency keys.

Two at once: each writes all of the row, and the last one stays; events tell of them in that order. Dying before the
commit leaves nothing, and a call that comes twice changes nothing the second time. Claims read the limits as they are.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rota.events.v1 import events_pb2
from rota_chassis.errors import NotFound
from rota_chassis.ids import uuid7
from rota_chassis.memberships import WRITERS

from rota_scheduler.concurrency_keys import store
from rota_scheduler.concurrency_keys.domain import Limits
from rota_scheduler.concurrency_keys.messages import event_of

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
    now = keys.clock.now()
    limits = Limits(
        id=uuid7(), workspace_id=workspace_id, key=key, concurrency_limit=concurrency_limit, rate_limit=rate_limit
    )
    async with keys.database.transaction() as work:
        put = await store.put(work, limits)
        if put is not None:
            created = put.version == 1
            message = events_pb2.ConcurrencyKeyCreated if created else events_pb2.ConcurrencyKeyUpdated
            work.append(event_of(message, put, now))
    keys.on_runs()
    return await store.get(keys.database, workspace_id=workspace_id, key=key, now=now)


async def delete_concurrency_key(keys: ResourcePools, user: UserPrincipal, *, workspace_id: UUID, key: str) -> None:
    """Leave the limits of a key to its runs.

    Raises:
        NotFound: the workspace does not exist for the user, or the key has no limits of its own.
        PermissionDenied: the user's role does not allow writing.
    """
    await keys.memberships.require(user.user_id, workspace_id, WRITERS)
    async with keys.database.transaction() as work:
        gone = await store.remove(work, workspace_id=workspace_id, key=key)
        if gone is None:
            raise NotFound("The concurrency key has no limits of its own.", code="CONCURRENCY_KEY_NOT_FOUND")
        after = replace(gone, version=gone.version + 1)
        work.append(event_of(events_pb2.ConcurrencyKeyDeleted, after, keys.clock.now()))
    keys.on_runs()
