"""A run of a workflow while an event advances it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from rota_scheduler.expressions import expand
from rota_scheduler.workflows.state import Key, Part, RunWorkflow, StepStatus, TakeAction

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from rota_scheduler.workflows.state import Command, State, StepState, Take
    from rota_scheduler.workflows.steps import Definition, Step


@dataclass(slots=True)
class Progress:
    """The state so far, and what has been ordered."""

    definition: Definition
    state: State
    now: datetime
    commands: list[Command] = field(default_factory=list)

    def of(self, name: str) -> StepState:
        """Where a step stands."""
        return self.state.steps[name]

    def key(self, name: str, item: int | None = None, part: Part = Part.STEP) -> Key:
        """The key under which the step's present attempt orders something."""
        return Key(name, self.of(name).attempt, item, part)

    def set(self, name: str, **changes: Any) -> None:
        """Change where a step stands."""
        self.state = replace(self.state, steps={**self.state.steps, name: replace(self.of(name), **changes)})

    def end(self, name: str, status: StepStatus, **changes: Any) -> None:
        """End a step, or what undoes it."""
        self.set(name, status=status, until=None, where=None, decisions=None, finished_at=self.now, **changes)

    def succeed(self, name: str, output: Any) -> None:
        """End a step well."""
        order = 1 + max(step.order for step in self.state.steps.values())
        self.end(name, StepStatus.SUCCEEDED, output=output, order=order)

    def fail(self, name: str, error: str) -> None:
        """End a step badly."""
        self.end(name, StepStatus.FAILED, error=error)

    def any(self, *statuses: StepStatus) -> bool:
        """Whether a step stands so."""
        return any(step.status in statuses for step in self.state.steps.values())


def order_of(step: Step, key: Key, variables: Mapping[str, Any]) -> Take:
    """What is ordered for a step, or for one of its items, now that its expressions have values.

    Raises:
        ExpressionError: one has none.
    """
    if key.part is Part.COMPENSATE:
        return TakeAction(str(key), expand(step.compensate, variables))
    if step.workflow is not None:
        given = expand(step.workflow, variables)
        return RunWorkflow(str(key), given["workflow_id"], given.get("input"))
    return TakeAction(str(key), expand(step.approval.action if step.approval else step.action, variables))
