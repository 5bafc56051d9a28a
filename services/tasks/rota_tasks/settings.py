"""The environment of the tasks service."""

from __future__ import annotations

from pydantic import Field
from rota_chassis.settings import ServiceSettings


class TasksSettings(ServiceSettings):
    """What the tasks service reads beyond what all services share.

    Attributes:
        trash_retention_days: How long a deleted task can be restored before it is purged.
    """

    trash_retention_days: int = Field(default=30, ge=1, le=3650)
