"""The environment of the tasks service."""

from __future__ import annotations

from rota_chassis.settings import ServiceSettings


class TasksSettings(ServiceSettings):
    """Nothing beyond what all services share."""
