"""A concurrency key: a name that runs of a workspace share. Its limits, if it has such, count instead of the runs'."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID

    from rota_scheduler.runs.allocation import RateLimit


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a key has of its own; a limit of None is left to its runs.

    Attributes:
        id: Of these limits: a key that is given some after it lost them has others.
        version: Counts their changes, from 1.
    """

    id: UUID
    workspace_id: UUID
    key: str
    concurrency_limit: int | None
    rate_limit: RateLimit | None
    version: int = 1


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
