"""What the use cases of runs need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from rota_chassis.clock import Clock
    from rota_chassis.memberships import Memberships
    from rota_chassis.postgres.database import Database

    from rota_scheduler.actions.egress import EgressPolicy


@dataclass(frozen=True)
class Runs:
    """Handed to each use case.

    Attributes:
        egress: Where HTTP actions may connect to.
        on_runs: Called when new runs have been committed.
        on_terminated: Called when runs have been cancelled whose attempts are to be broken off at once.
    """

    database: Database
    memberships: Memberships
    clock: Clock
    egress: EgressPolicy
    on_runs: Callable[[], None]
    on_terminated: Callable[[], None]
