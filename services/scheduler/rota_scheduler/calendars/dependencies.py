"""What the use cases of calendars need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from rota_chassis.clock import Clock
    from rota_chassis.memberships import Memberships
    from rota_chassis.postgres.database import Database


@dataclass(frozen=True)
class Calendars:
    """Handed to each use case.

    Attributes:
        on_changed: Called when a changed calendar has been committed.
        on_due: Called when next times of schedules have changed.
    """

    database: Database
    memberships: Memberships
    clock: Clock
    on_changed: Callable[[], None]
    on_due: Callable[[], None]
