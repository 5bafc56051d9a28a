"""A concurrency key: a name that runs of a workspace share. Its limits, if it has such, count instead of the runs'."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID

    from rota_scheduler.runs.allocation import RateLimit


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcurrencyKey:
    """The fields are those of rota.scheduler.v1.ConcurrencyKey."""

    workspace_id: UUID
    key: str
    concurrency_limit: int | None
    rate_limit: RateLimit | None
    running: int
    waiting: int
    starts: int | None
