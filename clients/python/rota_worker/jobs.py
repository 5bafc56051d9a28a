"""A job, as the function gets it that does it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping


class GiveUp(Exception):
    """Raised by a job that has failed for good: trying again would not help."""


@dataclass(frozen=True)
class Job:
    """Something to do.

    Attributes:
        id: Of the run, the same in each attempt.
        payload: What whoever ordered it says.
        attempt: 1 for the first.
        max_attempts: There are no more than this.
        nominal_time: The time it was meant for.
        fence: Grows with each claim.
    """

    id: str
    workspace_id: str
    queue: str
    payload: Mapping[str, Any]
    attempt: int
    max_attempts: int
    nominal_time: datetime
    fence: int
    _report: Callable[[int | None, str | None], Awaitable[None]] = field(repr=False, compare=False)

    async def report(self, percent: int | None = None, message: str | None = None) -> None:
        """Say how far it is, for people: 0 to 100, and a sentence.

        Raises:
            Unreachable: the server cannot be reached now.
        """
        await self._report(percent, message)

    @classmethod
    def of(cls, claimed: Mapping[str, Any], report: Callable[[int | None, str | None], Awaitable[None]]) -> Job:
        """A run as the server gives it."""
        return cls(
            id=claimed["id"],
            workspace_id=claimed["workspace_id"],
            queue=claimed["queue"],
            payload=claimed.get("payload") or {},
            attempt=claimed["attempts"],
            max_attempts=claimed["max_attempts"],
            nominal_time=datetime.fromisoformat(claimed["nominal_time"]),
            fence=claimed["fence"],
            _report=report,
        )
