"""Steps that wait: for a time, for a signal, for an event, for somebody to decide."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rota_scheduler.expressions import expand
from rota_scheduler.workflows.progress import order_of
from rota_scheduler.workflows.state import MAX_SIGNALS, Decided, Key, Part, RunStatus, StepStatus, TakeAction

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from rota_scheduler.workflows.progress import Progress
    from rota_scheduler.workflows.state import ActionEnded, Heard, Signalled, State
    from rota_scheduler.workflows.steps import Approval, Definition, Step, Wait

DECISIONS = "task.decided"
"""In the place of a type of events: those that decide a task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiter:
    """A step that an event may concern.

    Attributes:
        key: Of the step's present attempt.
        event_type: What it waits for; `DECISIONS` for an approval.
        subject: The task that it waits for; None for an approval whose task is being created, and for other waits.
        where: A condition on the event.
        since: Events from before do not count; None when any does.
    """

    key: str
    event_type: str
    subject: str | None = None
    where: str = ""
    since: datetime | None = None


def begin(going: Progress, step: Step, wait: Wait) -> None:
    """Begin to wait.

    Raises:
        ExpressionError: an expression of the condition has no value.
    """
    event = wait.event
    seconds = wait.for_s if event is None else event.timeout_s
    where = None
    if event is not None:
        where = str(expand(event.where, going.state.variables))
    going.set(step.id, status=StepStatus.WAITING, until=_until(going, seconds), where=where)


def ask(going: Progress, step: Step, approval: Approval) -> None:
    """Begin an approval: its task is created, then waited for.

    Raises:
        ExpressionError: an expression of the task has no value.
    """
    going.commands.append(order_of(step, going.key(step.id), going.state.variables))
    going.set(step.id, status=StepStatus.RUNNING, until=_until(going, approval.timeout_s))


def asked(going: Progress, step: Step, approval: Approval, output: Mapping[str, Any]) -> None:
    """The task is there: wait for the decision, unless it has come already."""
    task_id = output["task_id"]
    early = (going.of(step.id).decisions or {}).get(task_id)
    going.set(step.id, status=StepStatus.WAITING, task_id=task_id, decisions=None)
    if early is not None:
        _decide(going, step, approval, early)


def hear(going: Progress, event: Heard | Decided) -> None:
    """End what the event ends."""
    if isinstance(event, Decided):
        _decided(going, event)
        return
    key = Key.parse(event.key)
    here = going.of(key.step)
    if here.status is StepStatus.WAITING and here.attempt == key.attempt:
        going.succeed(key.step, event.data)


def look(going: Progress, step: Step) -> None:
    """End a wait whose time has come, or whose signal."""
    until = going.of(step.id).until
    if until is not None and until <= going.now:
        if step.wait is not None and step.wait.event is None:
            going.succeed(step.id, None)
        else:
            withdraw(going, step)
            going.fail(step.id, "Nobody decided in time." if step.approval else "No such event came in time.")
        return
    if step.wait is None or step.wait.signal is None:
        return
    for place, (name, data) in enumerate(going.state.signals):
        if name == step.wait.signal:
            left = going.state.signals[:place] + going.state.signals[place + 1 :]
            going.state = replace(going.state, signals=left)
            going.succeed(step.id, data)
            return


def withdraw(going: Progress, step: Step) -> None:
    """Have the task of an approval cancelled that nobody waits for any more."""
    here = going.of(step.id)
    if step.approval is not None and here.status is StepStatus.WAITING:
        going.commands.append(_cancel(going.key(step.id), here.task_id))


def take_back(definition: Definition, state: State, event: ActionEnded) -> tuple[TakeAction, ...]:
    """What cancels the task of an approval that had ended when its task came to be; nothing for whatever else ended."""
    key = Key.parse(event.key)
    here = state.steps[key.step]
    asked = definition.steps[key.step].approval is not None and key.part is Part.STEP and event.error is None
    if not asked or (here.attempt == key.attempt and here.status is not StepStatus.CANCELLED):
        return ()
    return (_cancel(key, event.output["task_id"]),)


def may_take(definition: Definition, state: State, signal: Signalled) -> bool:
    """Whether a run can take a signal: a step waits for it, or there is room to keep it."""
    if len(state.signals) < MAX_SIGNALS:
        return True
    return state.status is RunStatus.RUNNING and any(
        step.wait is not None and step.wait.signal == signal.name
        for step in definition.steps.values()
        if state.steps[step.id].status is StepStatus.WAITING
    )


def waiters(definition: Definition, state: State) -> Iterator[Waiter]:
    """The steps that events may concern."""
    for name, here in state.steps.items():
        step, key = definition.steps[name], str(Key(name, here.attempt))
        if step.approval is not None and here.status in {StepStatus.RUNNING, StepStatus.WAITING}:
            yield Waiter(key=key, event_type=DECISIONS, subject=here.task_id)
        elif step.wait is not None and step.wait.event is not None and here.status is StepStatus.WAITING:
            where, since = here.where or "", here.started_at
            yield Waiter(key=key, event_type=step.wait.event.type, where=where, since=since)


def _decided(going: Progress, event: Decided) -> None:
    """End the approval whose task has been decided; keep it for one that does not know its task yet."""
    for step in going.definition.steps.values():
        here = going.of(step.id)
        if step.approval is None:
            continue
        if here.status is StepStatus.RUNNING:
            going.set(step.id, decisions={**(here.decisions or {}), event.task_id: event.output})
        elif here.status is StepStatus.WAITING and here.task_id == event.task_id:
            _decide(going, step, step.approval, event.output)


def _decide(going: Progress, step: Step, approval: Approval, output: Mapping[str, Any]) -> None:
    if output["approved"] or not approval.fails:
        going.succeed(step.id, dict(output))
    else:
        going.fail(step.id, f"It was refused by {output['by']}.")


def _cancel(key: Key, task_id: str | None) -> TakeAction:
    cancel = {"task": {"transition": {"task_id": task_id, "status": "cancelled"}}}
    return TakeAction(str(replace(key, part=Part.WITHDRAW)), cancel)


def _until(going: Progress, seconds: int | None) -> datetime | None:
    return None if seconds is None else going.now + timedelta(seconds=seconds)
