"""What the use cases of schedules need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rota_chassis.clock import Clock
    from rota_chassis.memberships import Memberships
    from rota_chassis.postgres.database import Database

    from rota_scheduler.actions.egress import EgressPolicy
    from rota_scheduler.runs.domain import Run


@dataclass(frozen=True)
class Schedules:
    """Handed to each use case.

    Attributes:
        egress: Where HTTP actions may connect to.
        on_due: Called when a schedule with a new due time has been committed.
        on_runs: Called when new runs have been committed.
        on_terminated: Called when runs have been cancelled whose attempts are to be broken off at once.
        room: How many new runs this process could begin now, none of which would overtake others.
        begin: Called with new runs that have been committed as claimed by this process.
    """

    database: Database
    memberships: Memberships
    clock: Clock
    egress: EgressPolicy
    on_due: Callable[[], None]
    on_runs: Callable[[], None]
    on_terminated: Callable[[], None]
    room: Callable[[], int] = lambda: 0
    begin: Callable[[Sequence[Run]], None] = lambda _runs: None
