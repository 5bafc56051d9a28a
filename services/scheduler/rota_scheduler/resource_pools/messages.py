"""Resource pools as the contract writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota.scheduler.v1 import allocation_pb2

if TYPE_CHECKING:
    from rota_scheduler.resource_pools.domain import ResourcePool


def pool_message(pool: ResourcePool) -> allocation_pb2.ResourcePool:
    """The pool as the API shows it."""
    message = allocation_pb2.ResourcePool(
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
