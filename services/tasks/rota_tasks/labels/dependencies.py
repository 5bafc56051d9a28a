"""What the use cases of labels need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rota_chassis.clock import Clock
    from rota_chassis.memberships import Memberships
    from rota_chassis.postgres.database import Database


@dataclass(frozen=True)
class Labels:
    """What the use cases of labels need."""

    database: Database
    memberships: Memberships
    clock: Clock
