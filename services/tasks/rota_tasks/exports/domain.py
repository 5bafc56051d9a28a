"""An export: a job that writes what a project or a workspace holds into a file, as it was at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

LEASE = timedelta(seconds=60)
KEPT_FOR = timedelta(days=1)
MAX_ATTEMPTS = 5
"""How often an export is begun anew before it has failed."""


class Format(StrEnum):
    """What a file is."""

    ROTA = "rota"
    CSV = "csv"


class Status(StrEnum):
    """Where an export stands."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """A job; the fields are those of rota.tasks.v1.Export.

    Attributes:
        parts: Pieces that its file has so far.
        fence: Grows with each claim, so that one who slept over their lease cannot write.
        attempts: Claims so far.
    """

    id: UUID
    workspace_id: UUID
    created_by: UUID
    format: Format
    project_id: UUID | None
    status: Status = Status.QUEUED
    tasks_total: int = 0
    tasks: int = 0
    records: int = 0
    characters: int = 0
    parts: int = 0
    fence: int = 0
    attempts: int = 0
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None = None

    @property
    def expires_at(self) -> datetime | None:
        """When it is deleted; None before it ended."""
        return None if self.finished_at is None else self.finished_at + KEPT_FOR
