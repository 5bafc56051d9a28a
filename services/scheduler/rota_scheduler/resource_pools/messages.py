"""Resource pools as the contract writes them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rota.scheduler.v1 import allocation_pb2
from rota_chassis.events.log import NewEvent

if TYPE_CHECKING:
    from datetime import datetime

    from rota_scheduler.resource_pools.domain import ResourcePool


def pool_message(pool: ResourcePool) -> allocation_pb2.ResourcePool:
    """The pool as the API shows it."""
    message = allocation_pb2.ResourcePool(
        id=str(pool.id),
        name=pool.name,
        workspace_id=str(pool.workspace_id),
        units=pool.units,
        description=pool.description,
        units_in_use=pool.units_in_use,
        runs_waiting=pool.runs_waiting,
        version=pool.version,
        etag=pool.etag,
    )
    message.created_at.FromDatetime(pool.created_at)
    message.updated_at.FromDatetime(pool.updated_at)
    return message


def event_of(message: Any, pool: ResourcePool, now: datetime) -> NewEvent:
    """An event of `rota.events.v1` about a pool as it now is."""
    of_itself = replace(pool, units_in_use=0, runs_waiting=0)
    return NewEvent(
        workspace_id=pool.workspace_id,
        aggregate_id=pool.id,
        aggregate_version=pool.version,
        data=message(resource_pool=pool_message(of_itself)),
        time=now,
    )
