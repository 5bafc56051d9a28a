"""What the steps of a workflow are, once they have been read (`definition`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_ITEMS = 1_000
MAX_PARALLEL = 100
DEFAULT_PARALLEL = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class EventWait:
    """An event of the workspace that a step waits for.

    Attributes:
        type: As "task.completed".
        where: A template of a condition in the language of filters; empty lets every one through.
        timeout_s: The step fails after so many seconds; None means that it waits on.
    """

    type: str
    where: str = ""
    timeout_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """What a step waits for: so many seconds, a signal of a name, or an event."""

    for_s: int | None = None
    signal: str | None = None
    event: EventWait | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A task that somebody completes, which approves, or cancels, which refuses.

    Attributes:
        action: A template of the action that creates the task.
        timeout_s: The step fails after so many seconds; None means that it waits on.
        fails: Whether a refusal fails the step.
    """

    action: Mapping[str, Any]
    timeout_s: int | None = None
    fails: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ForEach:
    """A step is taken once for each item of a list.

    Attributes:
        over: The expression that yields the list.
        max_parallel: How many items are under way at a time.
        goes_on: Whether an item that fails leaves the step to the others.
    """

    over: str
    max_parallel: int = DEFAULT_PARALLEL
    goes_on: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step: it does one of four things, when what it needs is done and its condition holds.

    Attributes:
        action: A template of the JSON form of rota.scheduler.v1.Action.
        workflow: A template of the workflow that runs within it, `workflow_id` and `input`.
        compensate: The action that undoes it, likewise.
    """

    id: str
    needs: tuple[str, ...] = ()
    condition: str | None = None
    for_each: ForEach | None = None
    action: Mapping[str, Any] | None = None
    wait: Wait | None = None
    approval: Approval | None = None
    workflow: Mapping[str, Any] | None = None
    compensate: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Definition:
    """The steps, each after those that it needs, and the template of the output."""

    steps: Mapping[str, Step]
    output: Any = field(default=None)

    def after(self, names: frozenset[str]) -> frozenset[str]:
        """The steps of these names, and all that need them, be it by others."""
        found = set(names)
        for step in self.steps.values():
            if found.intersection(step.needs):
                found.add(step.id)
        return frozenset(found)
