"""What the use cases of tasks need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rota.scheduler.v1 import series_pb2_grpc, task_actions_pb2_grpc
    from rota_chassis.clock import Clock
    from rota_chassis.memberships import Memberships
    from rota_chassis.postgres.database import Database


@dataclass(frozen=True)
class Tasks:
    """What the use cases of tasks need.

    Attributes:
        times: The scheduler, which alone computes when tasks recur.
        actions: The scheduler, which alone takes actions.
    """

    database: Database
    memberships: Memberships
    clock: Clock
    times: series_pb2_grpc.SeriesTimesServiceStub
    actions: task_actions_pb2_grpc.TaskActionServiceStub
