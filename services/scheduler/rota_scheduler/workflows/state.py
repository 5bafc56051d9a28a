"""What a run of a workflow knows of itself, what happens to it, and what it orders."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

MAX_SIGNALS = 100


class RunStatus(StrEnum):
    """Where a run of a workflow stands."""

    RUNNING = "running"
    PAUSED = "paused"
    COMPENSATING = "compensating"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class StepStatus(StrEnum):
    """Where a step stands."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"
    COMPENSATING = "compensating"
    COMPENSATED = "compensated"


class Item(StrEnum):
    """Where an item of a step stands: one letter, so that a thousand of them are a thousand bytes of the state."""

    PENDING = "."
    RUNNING = "r"
    SUCCEEDED = "s"
    FAILED = "f"
    COMPENSATING = "u"
    COMPENSATED = "c"


FINISHED = frozenset({RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED})
DONE = frozenset({StepStatus.SUCCEEDED, StepStatus.SKIPPED})
BUSY = frozenset({StepStatus.RUNNING, StepStatus.COMPENSATING})


@dataclass(frozen=True, slots=True, kw_only=True)
class StepState:
    """What became of a step so far.

    Attributes:
        order: Its place among those that succeeded, from 1.
        until: When its wait ends, or its time is over.
        attempt: How often it began, this time included; from 1.
        items: For each item of its list an `Item`; what they are and what came of them is not in the state.
        where: The condition on the events that it waits for.
        task_id: The task that it waits to be decided.
        decisions: By task, what has been decided while it was not known yet which is the step's.
    """

    status: StepStatus = StepStatus.PENDING
    output: Any = None
    error: str | None = None
    until: datetime | None = None
    order: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None
    attempt: int = 1
    items: str | None = None
    where: str | None = None
    task_id: str | None = None
    decisions: Mapping[str, Mapping[str, Any]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The state of a run.

    Attributes:
        signals: Those that came before anybody waited for them.
        attempt: 1, and one more for each time that the run was retried.
    """

    input: Any = None
    status: RunStatus = RunStatus.RUNNING
    steps: Mapping[str, StepState]
    signals: tuple[tuple[str, Any], ...] = ()
    output: Any = None
    error: str | None = None
    attempt: int = 1

    @property
    def wake_at(self) -> datetime | None:
        """When a step has waited long enough, the first of them."""
        if self.status is not RunStatus.RUNNING:
            return None
        times = [step.until for step in self.steps.values() if step.status is StepStatus.WAITING and step.until]
        return min(times, default=None)

    @property
    def variables(self) -> Mapping[str, Any]:
        """What expressions know."""
        return {
            "input": self.input,
            "steps": {name: {"output": step.output} for name, step in self.steps.items() if step.order},
        }


class Part(StrEnum):
    """What of a step is done: the step itself, what undoes it, or that its task is taken back."""

    STEP = ""
    COMPENSATE = "/compensate"
    WITHDRAW = "/withdraw"


_KEY = re.compile(r"([a-z0-9_]+)(?:#(\d+))?(?:\[(\d+)\])?((?:/[a-z]+)?)")


@dataclass(frozen=True, slots=True)
class Key:
    """Names what is done for a run, once and for all: "ship", "ship#2[17]/compensate"."""

    step: str
    attempt: int = 1
    item: int | None = None
    part: Part = Part.STEP

    def __str__(self) -> str:
        attempt = "" if self.attempt == 1 else f"#{self.attempt}"
        item = "" if self.item is None else f"[{self.item}]"
        return f"{self.step}{attempt}{item}{self.part}"

    @classmethod
    def parse(cls, text: str) -> Key:
        """The key that is written so."""
        found = _KEY.fullmatch(text)
        if found is None:
            raise ValueError(f"{text} is no key")
        step, attempt, item, part = found.groups()
        return cls(step, int(attempt or 1), None if item is None else int(item), Part(part))


@dataclass(frozen=True, slots=True)
class ActionEnded:
    """What was ordered under a key came to an end, or with an error: could not be."""

    key: str
    error: str | None = None
    output: Any = None


@dataclass(frozen=True, slots=True)
class Signalled:
    """Somebody sent a signal."""

    name: str
    data: Any = None


@dataclass(frozen=True, slots=True)
class Heard:
    """An event that a step waits for."""

    key: str
    data: Any


@dataclass(frozen=True, slots=True)
class Decided:
    """A task was completed, cancelled or deleted, which may be that of an approval.

    Attributes:
        output: `approved`, `by`, `at` and `task_id`.
    """

    task_id: str
    output: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ItemsGathered:
    """What came of all items of a step, in their order; or why that is too much."""

    step: str
    outputs: Sequence[Any] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Retry:
    """Somebody lets a finished run go on: from a step, or wherever something is not done."""

    step: str | None = None


class Order(StrEnum):
    """What a user may order; and WAKE, when time has passed."""

    WAKE = "wake"
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True)
class TakeAction:
    """Have an action taken; tell how it ended by an `ActionEnded` of the same key."""

    key: str
    action: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RunWorkflow:
    """Have a workflow run; tell how it ended by an `ActionEnded` of the same key."""

    key: str
    workflow_id: Any
    content: Any


@dataclass(frozen=True, slots=True)
class TakeItem:
    """Have done what a step does with an item (see `items.order_of`); tell how it ended likewise."""

    key: str


@dataclass(frozen=True, slots=True)
class KeepItems:
    """Keep the items of a step, instead of any before."""

    step: str
    values: Sequence[Any]


@dataclass(frozen=True, slots=True)
class KeepOutcome:
    """Keep what came of an item."""

    step: str
    item: int
    output: Any
    error: str | None


@dataclass(frozen=True, slots=True)
class GatherItems:
    """Tell by an `ItemsGathered` what came of the items of a step."""

    step: str


Event = ActionEnded | Signalled | Heard | Decided | ItemsGathered | Retry | Order
Take = TakeAction | RunWorkflow
Command = Take | TakeItem | KeepItems | KeepOutcome | GatherItems
