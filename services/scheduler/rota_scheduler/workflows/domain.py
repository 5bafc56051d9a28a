"""A run of a workflow, advanced by what happens to it.

    running <--> paused                  (a paused run starts nothing; what runs, ends)
       |-- every step done -----> succeeded
       |-- a step failed -------> compensating --> failed    (once nothing runs any more)
       +-- cancel --------------> cancelled                  (also from paused and compensating)

    step: pending -> running | waiting -> succeeded | failed;  pending -> skipped;  any of them -> cancelled

`advance` is pure: the state is in one row, locked while it advances, and what it orders is written in the same
transaction. An event that comes twice finds the step done, and changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from rota_scheduler.expressions import ExpressionError, expand, is_true

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rota_scheduler.workflows.definition import Definition, Step

MAX_SIGNALS = 100
_COMPENSATION = "/compensate"


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


FINISHED = frozenset({RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED})
_DONE = frozenset({StepStatus.SUCCEEDED, StepStatus.SKIPPED})
_BUSY = frozenset({StepStatus.RUNNING, StepStatus.COMPENSATING})


@dataclass(frozen=True, slots=True, kw_only=True)
class StepState:
    """What became of a step so far; `order` is its place among those that succeeded, from 1."""

    status: StepStatus = StepStatus.PENDING
    output: Any = None
    error: str | None = None
    until: datetime | None = None
    order: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The state of a run. `signals` came before anybody waited for them."""

    input: Any = None
    status: RunStatus = RunStatus.RUNNING
    steps: Mapping[str, StepState]
    signals: tuple[tuple[str, Any], ...] = ()
    output: Any = None
    error: str | None = None

    @property
    def wake_at(self) -> datetime | None:
        """When a step has waited long enough, the first of them."""
        if self.status is not RunStatus.RUNNING:
            return None
        times = [step.until for step in self.steps.values() if step.status is StepStatus.WAITING and step.until]
        return min(times, default=None)


@dataclass(frozen=True, slots=True)
class ActionEnded:
    """The action of a step, or with `/compensate` after its name the one that undoes it, came to an end."""

    key: str
    error: str | None = None
    output: Any = None


@dataclass(frozen=True, slots=True)
class Signalled:
    """Somebody sent a signal."""

    name: str
    data: Any = None


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


Event = ActionEnded | Signalled | Order


@dataclass(slots=True)
class _Advance:
    definition: Definition
    state: State
    now: datetime
    commands: list[TakeAction] = field(default_factory=list)

    def set(self, name: str, **changes: Any) -> None:
        steps = {**self.state.steps, name: replace(self.state.steps[name], **changes)}
        self.state = replace(self.state, steps=steps)

    def end(self, name: str, status: StepStatus, **changes: Any) -> None:
        self.set(name, status=status, until=None, finished_at=self.now, **changes)

    def succeed(self, name: str, output: Any) -> None:
        order = 1 + max(step.order for step in self.state.steps.values())
        self.end(name, StepStatus.SUCCEEDED, output=output, order=order)

    def variables(self) -> Mapping[str, Any]:
        done = {name: step for name, step in self.state.steps.items() if step.order}
        return {
            "input": self.state.input,
            "steps": {name: {"output": step.output} for name, step in done.items()},
        }


def begin(definition: Definition, content: Any) -> State:
    """A new run's state, before its first `advance`."""
    return State(input=content, steps={name: StepState() for name in definition.steps})


def advance(definition: Definition, state: State, event: Event, now: datetime) -> tuple[State, tuple[TakeAction, ...]]:
    """What an event makes of a run, and the actions to be taken for it.

    A finished run stays as it is. `Order.WAKE` is the event when nothing happened but time.
    """
    if state.status in FINISHED:
        return state, ()
    going = _Advance(definition, state, now)
    match event:
        case ActionEnded():
            _ended(going, event)
        case Signalled():
            going.state = replace(state, signals=(*state.signals, (event.name, event.data)))
        case Order.CANCEL:
            _cancel(going)
        case Order.PAUSE if state.status is RunStatus.RUNNING:
            going.state = replace(state, status=RunStatus.PAUSED)
        case Order.RESUME if state.status is RunStatus.PAUSED:
            going.state = replace(state, status=RunStatus.RUNNING)
    if going.state.status is RunStatus.RUNNING:
        _proceed(going)
    if going.state.status is RunStatus.COMPENSATING:
        _compensate(going)
    return going.state, tuple(going.commands)


def may_take(definition: Definition, state: State, signal: Signalled) -> bool:
    """Whether a run can take a signal: a step waits for it, or there is room to keep it."""
    if len(state.signals) < MAX_SIGNALS:
        return True
    return state.status is RunStatus.RUNNING and any(
        step.wait is not None and step.wait.signal == signal.name
        for step in definition.steps.values()
        if state.steps[step.id].status is StepStatus.WAITING
    )


def busy(state: State) -> Sequence[str]:
    """The keys of the actions that are being taken."""
    return [
        name + _COMPENSATION if step.status is StepStatus.COMPENSATING else name
        for name, step in state.steps.items()
        if step.status in _BUSY
    ]


def _ended(going: _Advance, event: ActionEnded) -> None:
    name = event.key.removesuffix(_COMPENSATION)
    step = going.state.steps[name]
    if name == event.key and step.status is StepStatus.RUNNING:
        if event.error is None:
            going.succeed(name, event.output)
        else:
            going.end(name, StepStatus.FAILED, error=event.error)
    elif name != event.key and step.status is StepStatus.COMPENSATING:
        # One that cannot be undone does not keep the others from it.
        going.end(name, StepStatus.COMPENSATED, error=event.error)


def _cancel(going: _Advance) -> None:
    for name, step in going.state.steps.items():
        if step.status in {StepStatus.PENDING, StepStatus.RUNNING, StepStatus.WAITING, StepStatus.COMPENSATING}:
            going.end(name, StepStatus.CANCELLED)
    going.state = replace(going.state, status=RunStatus.CANCELLED)


def _proceed(going: _Advance) -> None:
    # In the order of the definition each step comes after those it needs, so one pass is enough.
    for step in going.definition.steps.values():
        if _any(going, StepStatus.FAILED):
            break
        if going.state.steps[step.id].status is StepStatus.PENDING and _is_ready(going, step):
            _start(going, step)
        if going.state.steps[step.id].status is StepStatus.WAITING:
            _look(going, step)
    if _any(going, StepStatus.FAILED):
        _fail(going)
    elif all(step.status in _DONE for step in going.state.steps.values()):
        try:
            output = expand(going.definition.output, going.variables())
        except ExpressionError as error:
            going.state = replace(going.state, status=RunStatus.COMPENSATING, error=f"output: {error}")
        else:
            going.state = replace(going.state, status=RunStatus.SUCCEEDED, output=output)


def _any(going: _Advance, status: StepStatus) -> bool:
    return any(step.status is status for step in going.state.steps.values())


def _is_ready(going: _Advance, step: Step) -> bool:
    return all(going.state.steps[need].status in _DONE for need in step.needs)


def _start(going: _Advance, step: Step) -> None:
    going.set(step.id, started_at=going.now)
    try:
        if step.condition is not None and not is_true(step.condition, going.variables()):
            going.end(step.id, StepStatus.SKIPPED)
        elif step.wait is not None:
            until = None if step.wait.for_s is None else going.now + timedelta(seconds=step.wait.for_s)
            going.set(step.id, status=StepStatus.WAITING, until=until)
        else:
            action = expand(step.action, going.variables())
            going.set(step.id, status=StepStatus.RUNNING)
            going.commands.append(TakeAction(step.id, action))
    except ExpressionError as error:
        going.end(step.id, StepStatus.FAILED, error=str(error))


def _look(going: _Advance, step: Step) -> None:
    """End the wait of a step if what it waits for has come."""
    until = going.state.steps[step.id].until
    if until is not None and until <= going.now:
        going.succeed(step.id, None)
    if step.wait is None or step.wait.signal is None:
        return
    for place, (name, data) in enumerate(going.state.signals):
        if name == step.wait.signal:
            left = going.state.signals[:place] + going.state.signals[place + 1 :]
            going.state = replace(going.state, signals=left)
            going.succeed(step.id, data)
            return


def _fail(going: _Advance) -> None:
    """Start nothing more; compensate once nothing runs."""
    name, failed = next((n, s) for n, s in going.state.steps.items() if s.status is StepStatus.FAILED)
    for other, step in going.state.steps.items():
        if step.status in {StepStatus.PENDING, StepStatus.WAITING}:
            going.end(other, StepStatus.CANCELLED)
    if not _any(going, StepStatus.RUNNING):
        going.state = replace(going.state, status=RunStatus.COMPENSATING, error=f"{name}: {failed.error}")


def _compensate(going: _Advance) -> None:
    """Undo the last step that is not undone yet; the run has failed when there is none."""
    if any(step.status in _BUSY for step in going.state.steps.values()):
        return
    succeeded = [(step.order, name) for name, step in going.state.steps.items() if step.status is StepStatus.SUCCEEDED]
    for _order, name in sorted(succeeded, reverse=True):
        compensate = going.definition.steps[name].compensate
        if compensate is None:
            continue
        try:
            action = expand(compensate, going.variables())
        except ExpressionError as error:
            going.end(name, StepStatus.COMPENSATED, error=str(error))
            continue
        going.set(name, status=StepStatus.COMPENSATING)
        going.commands.append(TakeAction(name + _COMPENSATION, action))
        return
    going.state = replace(going.state, status=RunStatus.FAILED)
