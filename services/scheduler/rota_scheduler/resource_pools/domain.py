"""A resource pool: a number of units that runs of a workspace share. What is in use is counted, not kept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourcePool:
    """The fields are those of rota.scheduler.v1.ResourcePool; the last two are of the moment in which it was read."""

    id: UUID
    workspace_id: UUID
    name: str
    units: int
    description: str
    created_at: datetime
    updated_at: datetime
    version: int = 1
    units_in_use: int = 0
    runs_waiting: int = 0

    @property
    def etag(self) -> str:
        """Strong entity tag of this version, quotes included."""
        return f'"v{self.version}"'


def edit(pool: ResourcePool, *, units: int | None, description: str | None, now: datetime) -> ResourcePool:
    """The pool with the changes made; itself when they change nothing. None keeps what is."""
    edited = replace(
        pool,
        units=pool.units if units is None else units,
        description=pool.description if description is None else description,
    )
    return pool if edited == pool else replace(edited, updated_at=now, version=pool.version + 1)
