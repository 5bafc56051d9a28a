"""A run of a workflow, advanced by what happens to it.

    running <--> paused                  (a paused run starts nothing; what runs, ends)
       |-- every step done -----> succeeded
       |-- a step failed -------> compensating --> failed    (once nothing runs any more)
       +-- cancel --------------> cancelled                  (also from paused and compensating)
    failed, cancelled -- retry --> running

    step: pending -> running | waiting -> succeeded | failed;  pending -> skipped;  any of them -> cancelled
          succeeded -> compensating -> compensated;  whatever is retried -> pending

`advance` is pure: the state is in one row, locked while it advances, and what it orders is written in the same
transaction. An event that comes twice finds the step done, and changes nothing; what is still heard of an earlier
attempt at a step carries its key, and changes nothing either.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rota_scheduler.expressions import ExpressionError, expand, is_true
from rota_scheduler.workflows import items, waits
from rota_scheduler.workflows.progress import Progress, order_of
from rota_scheduler.workflows.state import (
    BUSY,
    DONE,
    FINISHED,
    ActionEnded,
    Decided,
    Heard,
    Item,
    ItemsGathered,
    Key,
    Order,
    Part,
    Retry,
    RunStatus,
    Signalled,
    State,
    StepState,
    StepStatus,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from rota_scheduler.workflows.state import Command, Event
    from rota_scheduler.workflows.steps import Definition, Step

_NOT_BEGUN = StepState()
_RETRIED = frozenset({RunStatus.FAILED, RunStatus.CANCELLED})


class RefusedRetry(Exception):
    """A run that cannot go on so; the message is a sentence for whoever asked.

    Attributes:
        code: Of the error.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def begin(definition: Definition, content: Any) -> State:
    """A new run's state, before its first `advance`."""
    return State(input=content, steps={name: StepState() for name in definition.steps})


def advance(definition: Definition, state: State, event: Event, now: datetime) -> tuple[State, tuple[Command, ...]]:
    """What an event makes of a run, and what is to be done for it.

    A finished run stays as it is, unless it is retried; the task of an approval that was being created when it ended is
    taken back. `Order.WAKE` is the event when nothing happened but time.

    Raises:
        RefusedRetry: it cannot be retried so.
    """
    if isinstance(event, Retry):
        state = _retried(definition, state, event)
    elif state.status in FINISHED:
        return state, waits.take_back(definition, state, event) if isinstance(event, ActionEnded) else ()
    going = Progress(definition, state, now)
    match event:
        case ActionEnded():
            _ended(going, event)
        case ItemsGathered():
            items.gathered(going, event)
        case Signalled():
            going.state = replace(state, signals=(*state.signals, (event.name, event.data)))
        case Heard() | Decided():
            waits.hear(going, event)
        case Order():
            _obey(going, event)
    if going.state.status is RunStatus.RUNNING:
        _proceed(going)
    if going.state.status is RunStatus.COMPENSATING:
        _compensate(going)
    return going.state, tuple(going.commands)


def busy(state: State) -> Sequence[Key]:
    """The keys of what is being done."""
    found: list[Key] = []
    for name, step in state.steps.items():
        if step.status not in BUSY:
            continue
        part, begun = Part.STEP, Item.RUNNING
        if step.status is StepStatus.COMPENSATING:
            part, begun = Part.COMPENSATE, Item.COMPENSATING
        if step.items is None:
            found.append(Key(name, step.attempt, part=part))
        else:
            places = (place for place, item in enumerate(step.items) if item == begun)
            found.extend(Key(name, step.attempt, place, part) for place in places)
    return found


def _ended(going: Progress, event: ActionEnded) -> None:
    key = Key.parse(event.key)
    step, here = going.definition.steps[key.step], going.of(key.step)
    if key.attempt != here.attempt:
        going.commands.extend(waits.take_back(going.definition, going.state, event))
        return
    if key.item is not None:
        if here.status in BUSY:
            items.ended(going, step, key, event)
    elif key.part is Part.COMPENSATE and here.status is StepStatus.COMPENSATING:
        # One that cannot be undone does not keep the others from it.
        going.end(key.step, StepStatus.COMPENSATED, error=event.error)
    elif key.part is Part.STEP and event.error is not None and here.status in {StepStatus.RUNNING, StepStatus.WAITING}:
        going.fail(key.step, event.error)
    elif key.part is Part.STEP and here.status is StepStatus.RUNNING:
        if step.approval is None:
            going.succeed(key.step, event.output)
        else:
            waits.asked(going, step, step.approval, event.output)


def _obey(going: Progress, order: Order) -> None:
    if order is Order.CANCEL:
        _cancel(going)
    elif order is Order.PAUSE and going.state.status is RunStatus.RUNNING:
        going.state = replace(going.state, status=RunStatus.PAUSED)
    elif order is Order.RESUME and going.state.status is RunStatus.PAUSED:
        going.state = replace(going.state, status=RunStatus.RUNNING)


def _cancel(going: Progress) -> None:
    open_ones = {StepStatus.PENDING, StepStatus.WAITING, *BUSY}
    for name, step in going.state.steps.items():
        if step.status in open_ones:
            waits.withdraw(going, going.definition.steps[name])
            going.end(name, StepStatus.CANCELLED)
    going.state = replace(going.state, status=RunStatus.CANCELLED)


def _proceed(going: Progress) -> None:
    # In the order of the definition each step comes after those it needs, so one pass is enough.
    for step in going.definition.steps.values():
        if going.any(StepStatus.FAILED):
            break
        if going.of(step.id).status is StepStatus.PENDING and all(going.of(n).status in DONE for n in step.needs):
            _start(going, step)
        if going.of(step.id).status is StepStatus.WAITING:
            waits.look(going, step)
        if going.of(step.id).status is StepStatus.RUNNING and step.for_each is not None:
            items.proceed(going, step, step.for_each)
    if going.any(StepStatus.FAILED):
        _fail(going)
    elif all(step.status in DONE for step in going.state.steps.values()):
        try:
            output = expand(going.definition.output, going.state.variables)
        except ExpressionError as error:
            going.state = replace(going.state, status=RunStatus.COMPENSATING, error=f"output: {error}")
        else:
            going.state = replace(going.state, status=RunStatus.SUCCEEDED, output=output)


def _start(going: Progress, step: Step) -> None:
    going.set(step.id, started_at=going.now)
    try:
        if step.condition is not None and not is_true(step.condition, going.state.variables):
            going.end(step.id, StepStatus.SKIPPED)
        elif step.wait is not None:
            waits.begin(going, step, step.wait)
        elif step.approval is not None:
            waits.ask(going, step, step.approval)
        elif step.for_each is not None:
            items.begin(going, step, step.for_each)
        else:
            going.commands.append(order_of(step, going.key(step.id), going.state.variables))
            going.set(step.id, status=StepStatus.RUNNING)
    except ExpressionError as error:
        going.fail(step.id, str(error))


def _fail(going: Progress) -> None:
    """Start nothing more; compensate once nothing runs."""
    name, failed = next((n, s) for n, s in going.state.steps.items() if s.status is StepStatus.FAILED)
    for other, step in going.state.steps.items():
        idle = step.status is StepStatus.RUNNING and step.items is not None and Item.RUNNING not in step.items
        if idle or step.status in {StepStatus.PENDING, StepStatus.WAITING}:
            waits.withdraw(going, going.definition.steps[other])
            going.end(other, StepStatus.CANCELLED)
    if not going.any(StepStatus.RUNNING):
        going.state = replace(going.state, status=RunStatus.COMPENSATING, error=f"{name}: {failed.error}")


def _compensate(going: Progress) -> None:
    """Undo the last step that is not undone yet; the run has failed when there is none."""
    for name, state in going.state.steps.items():
        step = going.definition.steps[name]
        if state.status is StepStatus.COMPENSATING and step.for_each is not None:
            items.undo(going, step, step.for_each)
    while not going.any(*BUSY):
        last = _to_undo(going)
        if last is None:
            going.state = replace(going.state, status=RunStatus.FAILED)
            return
        _undo(going, last)


def _undo(going: Progress, step: Step) -> None:
    if step.for_each is not None:
        going.set(step.id, status=StepStatus.COMPENSATING)
        items.undo(going, step, step.for_each)
        return
    try:
        order = order_of(step, going.key(step.id, part=Part.COMPENSATE), going.state.variables)
    except ExpressionError as error:
        going.end(step.id, StepStatus.COMPENSATED, error=str(error))
    else:
        going.set(step.id, status=StepStatus.COMPENSATING)
        going.commands.append(order)


def _to_undo(going: Progress) -> Step | None:
    """The last step that did something that can be undone; one that broke off among its items is later than any."""
    found: list[tuple[bool, int, str]] = []
    for name, here in going.state.steps.items():
        whole = here.status is StepStatus.SUCCEEDED and here.items is None
        if going.definition.steps[name].compensate and (whole or Item.SUCCEEDED in (here.items or "")):
            found.append((here.order == 0, here.order, name))
    return going.definition.steps[max(found)[2]] if found else None


def _retried(definition: Definition, state: State, retry: Retry) -> State:
    if state.status not in FINISHED:
        raise RefusedRetry("WORKFLOW_RUN_GOES_ON", "The run goes on; wait for its end, or cancel it.")
    if state.status not in _RETRIED:
        raise RefusedRetry("WORKFLOW_RUN_SUCCEEDED", "The run has succeeded; start another.")
    if not state.steps:
        raise RefusedRetry("WORKFLOW_RUN_LOST", "What the run has done could not be read any more; start another.")
    again = {name for name, step in state.steps.items() if step.status not in DONE}
    if retry.step is not None:
        begins = definition.after(frozenset({retry.step}))
        undone = [name for name in again - begins if state.steps[name].status is StepStatus.COMPENSATED]
        if undone:
            named = ", ".join(sorted(undone))
            raise RefusedRetry(
                "WORKFLOW_STEPS_UNDONE",
                f"What these steps did has been undone: {named}. Retry without naming a step, and they run again.",
            )
        again |= begins
    begins = definition.after(frozenset(again))
    steps = {
        name: _begun_again(step, anew=not begins.isdisjoint(definition.steps[name].needs)) if name in begins else step
        for name, step in state.steps.items()
    }
    return replace(state, status=RunStatus.RUNNING, steps=steps, error=None, attempt=state.attempt + 1)


def _begun_again(step: StepState, *, anew: bool) -> StepState:
    """A step before its next attempt; `anew` when what it needs is done again as well."""
    fresh = replace(_NOT_BEGUN, attempt=step.attempt + (step.started_at is not None))
    broken_off = step.status in {StepStatus.FAILED, StepStatus.CANCELLED}
    if anew or not broken_off or step.items is None or Item.SUCCEEDED not in step.items:
        return fresh
    # What succeeded among the items, and was not undone, is not done a second time.
    return replace(fresh, items="".join(i if i == Item.SUCCEEDED else Item.PENDING for i in step.items))
