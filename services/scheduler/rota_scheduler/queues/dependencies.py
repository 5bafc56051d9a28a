"""What the use cases of queues need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from rota_chassis.clock import Clock
    from rota_chassis.memberships import Memberships
    from rota_chassis.postgres.database import Database

    from rota_scheduler.queues.waiting import Waiting


@dataclass(frozen=True)
class Queues:
    """Handed to each use case.

    Attributes:
        waiting: Those who wait for jobs.
        jitter: For the delay before another attempt.
        on_runs: Called when runs may have become available.
    """

    database: Database
    memberships: Memberships
    clock: Clock
    waiting: Waiting
    jitter: Callable[[float, float], float]
    on_runs: Callable[[], None]
