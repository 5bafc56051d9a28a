"""What the use cases of rules need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from nats.aio.client import Client
    from rota_chassis.clock import Clock
    from rota_chassis.memberships import Memberships
    from rota_chassis.postgres.database import Database
    from rota_chassis.private_projects import PrivateProjects

    from rota_scheduler.actions.egress import EgressPolicy


@dataclass(frozen=True)
class Rules:
    """Handed to each use case.

    Attributes:
        nats: Where past events are.
        egress: Where HTTP actions may connect to.
        on_runs: Called when new runs have been committed.
    """

    database: Database
    memberships: Memberships
    projects: PrivateProjects
    nats: Client
    clock: Clock
    egress: EgressPolicy
    on_runs: Callable[[], None]
