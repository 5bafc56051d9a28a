"""What the use cases of resource pools need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from rota_chassis.clock import Clock
    from rota_chassis.memberships import Memberships
    from rota_chassis.postgres.database import Database


@dataclass(frozen=True)
class ResourcePools:
    """Handed to each use case.

    Attributes:
        on_runs: Called when runs may have become available.
    """

    database: Database
    memberships: Memberships
    clock: Clock
    on_runs: Callable[[], None]
