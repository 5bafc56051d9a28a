"""What the use cases of workflows need."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rota_scheduler.workflows.trees import Limits

if TYPE_CHECKING:
    from collections.abc import Callable

    from rota_chassis.clock import Clock
    from rota_chassis.memberships import Memberships
    from rota_chassis.postgres.database import Database
    from rota_chassis.private_projects import PrivateProjects

    from rota_scheduler.actions.egress import EgressPolicy


@dataclass(frozen=True)
class Workflows:
    """Handed to each use case.

    Attributes:
        egress: Where HTTP actions may connect to.
        on_waits: Called when a run has committed that may wait for a time.
        on_runs: Called when new runs of actions have been committed.
        limits: Of what may grow from one run.
    """

    database: Database
    memberships: Memberships
    projects: PrivateProjects
    clock: Clock
    egress: EgressPolicy
    on_waits: Callable[[], None]
    on_runs: Callable[[], None]
    limits: Limits = field(default_factory=Limits)
