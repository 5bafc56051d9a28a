"""How a task's action changes, and what becomes of it.

The task is authoritative for what is to be done and when; the scheduler follows its events, queues the run when the
time has come, and tells of its beginning and its end, which the task notes. An action has an id of its own: what is
told of another one, which the task had before, counts for nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rota_tasks.executions.execution import NAMES, Execution, RunStatus, RunWhen
from rota_tasks.tasks import domain as tasks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from rota_tasks.executions.execution import TaskRun
    from rota_tasks.tasks.domain import Task, TaskEvent


_PLACES = {
    RunStatus.PENDING: 0,
    RunStatus.RUNNING: 1,
    RunStatus.SUCCEEDED: 2,
    RunStatus.FAILED: 2,
    RunStatus.CANCELLED: 2,
}


def settle(task: Task, changes: Mapping[str, Any]) -> Mapping[str, Any]:
    """The changes with what the task will do, from what they say of its action.

    Args:
        task: As it is.
        changes: New values by field; `action` is a `Given`, or None for nothing.
    """
    if NAMES.isdisjoint(changes):
        return changes
    rest = {name: value for name, value in changes.items() if name not in NAMES}
    before = task.execution
    if "action" in changes:
        given = changes["action"]
        if given is None:
            return rest | {"execution": None}
        after = (before or Execution(action=given.action)).given(given)
    elif before is None:
        return rest
    else:
        after = before
    if "run_when" in changes:
        run_when = changes["run_when"] or RunWhen.DUE
        unblocked_at = after.unblocked_at if run_when is after.run_when else None
        after = replace(after, run_when=run_when, unblocked_at=unblocked_at)
    if "complete_on_success" in changes:
        after = replace(after, complete_on_success=changes["complete_on_success"] is not False)
    return rest | {"execution": after}


def unblock(task: Task, *, is_unblocked: bool, now: datetime) -> Sequence[TaskEvent]:
    """Note whether something blocks the task; nothing when that is known, or does not matter."""
    execution = task.execution
    if execution is None or execution.run_when is not RunWhen.UNBLOCKED or task.status not in tasks.OPEN:
        return []
    if is_unblocked == (execution.unblocked_at is not None):
        return []
    return tasks.execute(task, replace(execution, unblocked_at=now if is_unblocked else None), now=now)


def note_run(task: Task, action_id: UUID, run: TaskRun, *, now: datetime) -> Sequence[TaskEvent]:
    """Note where the run of an action stands; nothing when the action is another by now, or more is known already."""
    execution = task.execution
    if execution is None or execution.id != action_id:
        return []
    if execution.run is not None and not _is_news(execution.run, run):
        return []
    return tasks.execute(task, replace(execution, run=run), now=now)


def _is_news(known: TaskRun, told: TaskRun) -> bool:
    """Whether what is told is later than what is known; it may come late, and more than once."""
    if known.id == told.id:
        return _PLACES[told.status] > _PLACES[known.status]
    # That another run has begun says nothing of which is the later one, unless the known one had ended by then.
    if told.status is RunStatus.RUNNING:
        return known.finished_at is not None and told.started_at is not None and known.finished_at <= told.started_at
    return True


def completes(task: Task, run: TaskRun) -> bool:
    """Whether the task is to be completed after the end of a run that it has noted."""
    execution = task.execution
    return (
        run.status is RunStatus.SUCCEEDED
        and execution is not None
        and execution.complete_on_success
        and task.status in tasks.OPEN
    )
