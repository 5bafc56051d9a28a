"""What a task does when its time has come; the fields are those of rota.tasks.v1.Task."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

NAMES = frozenset({"action", "run_when", "complete_on_success"})
"""What callers may say of it."""


class RunWhen(StrEnum):
    """When a task takes its action."""

    DUE = "due"
    UNBLOCKED = "unblocked"


class RunStatus(StrEnum):
    """Where the run of an action stands."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRun:
    """What became of an action when its time came."""

    id: UUID
    status: RunStatus
    started_at: datetime | None = None
    finished_at: datetime | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """An action that the scheduler has accepted.

    Attributes:
        action: As it may be shown, with a mask for each secret.
        id: By which the scheduler knows it.
        given_by: On whose behalf it is taken.
    """

    action: Mapping[str, Any]
    id: UUID
    given_by: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """What a task does, when, and what became of it.

    Attributes:
        action: As it may be shown.
        id: None until the scheduler has accepted the action.
        given_by: None until then.
        unblocked_at: Since when nothing blocks the task any more, if it waits for that.
    """

    action: Mapping[str, Any]
    run_when: RunWhen = RunWhen.DUE
    complete_on_success: bool = True
    id: UUID | None = None
    given_by: UUID | None = None
    unblocked_at: datetime | None = None
    run: TaskRun | None = None

    def given(self, given: Given) -> Execution:
        """With an action that was accepted, of which nothing has become yet."""
        return replace(self, action=given.action, id=given.id, given_by=given.given_by, unblocked_at=None, run=None)

    @property
    def afresh(self) -> Execution:
        """The same for another task."""
        return replace(self, unblocked_at=None, run=None)
