"""What a run may ask for, when it is ordered or its schedule is made. Later the pools may change; then it waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.errors import InvalidArgument, Violation

from rota_scheduler.resource_pools import store

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from rota_chassis.postgres.work import Reader


async def check_resources(
    reader: Reader, *, workspace_id: UUID, resources: Mapping[str, int] | None, path: str = ""
) -> None:
    """Return if the pools of the workspace have so many units each.

    Args:
        reader: Where the pools are.
        workspace_id: Whose they are.
        resources: Units by the names of pools.
        path: Of what has `resources` in the request, with a dot at its end.

    Raises:
        InvalidArgument: one is not there (UNKNOWN_RESOURCE_POOL), or has fewer (TOO_MANY_UNITS).
    """
    if not resources:
        return
    units = await store.units(reader, workspace_id=workspace_id, names=resources)
    unknown = sorted(resources.keys() - units.keys())
    if unknown:
        raise InvalidArgument(
            f"The workspace has no resource pool {', '.join(unknown)}; make it first.",
            code="UNKNOWN_RESOURCE_POOL",
            violations=[
                Violation(f'{path}resources["{name}"]', "is no resource pool", "not_found") for name in unknown
            ],
        )
    too_many = sorted(name for name, asked in resources.items() if asked > units[name])
    if too_many:
        has = ", ".join(f"{name} has {units[name]} units" for name in too_many)
        raise InvalidArgument(
            f"The run asks for more than there is: {has}.",
            code="TOO_MANY_UNITS",
            violations=[
                Violation(f'{path}resources["{name}"]', f"is more than the {units[name]} units of the pool", "too_many")
                for name in too_many
            ],
        )
