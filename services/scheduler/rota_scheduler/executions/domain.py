"""When the action of a task is taken.

The tasks service is authoritative: the events of a task carry its action, who gave it, and when it is to be taken: when
the task is due, or since when nothing blocks it any more. From the newest version alone follows whether a time is
armed. An action and a time make one run, whose id follows from both: the same time fires once, however often and by
whomever it is handled, and another time, or an action given anew, fires again. A time that came while the task was
closed fires when it is opened again.

What the task does not want any more is cancelled while nobody executes it. Where the run stands is told the tasks
service by events, which it notes on the task: `task_run.queued` in the transaction that queues the run,
`task_run.started` in the one that claims it first, and `task_run.ended` in the one that ends it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Armed:
    """What a version of a task wants done.

    Attributes:
        version: Of the task.
        action_id: Of the action as it was given; None when the task has none.
        acts_for: Who gave it.
        action: As the events show it, with masks for secrets.
        fire_at: When to take it; None for never, as it is.
        causation_depth: How many rules led to this version.
        project_id: The project that the task is in; None for none.
    """

    workspace_id: UUID
    task_id: UUID
    version: int
    action_id: UUID | None = None
    acts_for: UUID | None = None
    action: Mapping[str, Any] | None = None
    fire_at: datetime | None = None
    causation_depth: int = 0
    project_id: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fired:
    """What has been fired last for a task.

    Attributes:
        run_id: Its run; it may have been refused, and then there is none of this id.
        action_id: The action that was taken.
        fired_for: The time that had come.
    """

    run_id: UUID
    action_id: UUID
    fired_for: datetime

    def is_wanted(self, armed: Armed) -> bool:
        """Whether a version of the task wants just that."""
        return self.action_id == armed.action_id and self.fired_for == armed.fire_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """An action whose time has come.

    Attributes:
        action: With its secrets, as far as they are kept.
        role: What whoever gave it is in the workspace now; None for a stranger.
    """

    workspace_id: UUID
    task_id: UUID
    action_id: UUID
    acts_for: UUID
    action: Mapping[str, Any]
    fire_at: datetime
    causation_depth: int
    project_id: UUID | None
    role: str | None

    @property
    def run_id(self) -> UUID:
        """Of the run that this becomes."""
        return uuid5(self.task_id, f"{self.action_id}/{self.fire_at.isoformat()}")

    @property
    def told_as(self) -> UUID:
        """What the events for the task tell of: the run, but not one of its versions."""
        return uuid5(self.run_id, "task_run")
