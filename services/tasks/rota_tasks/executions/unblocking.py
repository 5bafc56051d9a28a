"""Finding out when nothing blocks a task any more that waits for that.

Whoever closes or opens a task, relates it, deletes or restores it notes, in the same transaction, which tasks may be
concerned. This looks at each of them afterwards, in a transaction of its own that locks the one task: so two that are
done at once are both seen by whoever looks last, and no path has to lock the tasks that others wait for. A process that
dies leaves its note; two that look at one task take turns, and the second finds nothing to change.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from rota_chassis.batches import handle_batch

from rota_tasks.executions import domain, store
from rota_tasks.executions.execution import RunWhen
from rota_tasks.polling import work_off
from rota_tasks.tasks import store as tasks_store
from rota_tasks.tasks.domain import (
    OPEN,
    TaskCompleted,
    TaskCreated,
    TaskDeleted,
    TaskReopened,
    TaskRestored,
    TaskUpdated,
)
from rota_tasks.tasks.messages import event_message

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from rota_chassis.batches import Fault
    from rota_chassis.postgres.work import UnitOfWork

    from rota_tasks.tasks.dependencies import Tasks
    from rota_tasks.tasks.domain import Task, TaskEvent

_CROSSING = (TaskCompleted, TaskReopened, TaskDeleted, TaskRestored)


async def follow(work: UnitOfWork, events: Sequence[TaskEvent]) -> None:
    """Note whom events of one workspace may unblock, or block: those that others wait for, or that wait themselves."""
    concerned = [event.task for event in events if _crosses(event) or _begins_to_wait(event)]
    if concerned:
        waiting = any(_waits(task) for task in concerned)
        await store.look_at(
            work,
            workspace_id=concerned[0].workspace_id,
            task_ids=list({task.id for task in concerned}),
            themselves=waiting,
        )


async def follow_relation(work: UnitOfWork, *, workspace_id: UUID, task_ids: Sequence[UUID]) -> None:
    """Note the two tasks of a relation that came or ended, as far as they wait."""
    await store.look_at(work, workspace_id=workspace_id, task_ids=task_ids, themselves=True)


async def run(tasks: Tasks) -> None:
    """Look at what is noted until cancelled; while the database is away, try again once a second."""
    await work_off(partial(look, tasks), "tasks that may be unblocked")


async def look(tasks: Tasks) -> bool:
    """Look at one task that is noted; whether there was one."""

    async def look_at(work: UnitOfWork, notes: Sequence[Mapping[str, Any]]) -> bool:
        for note in notes:
            await store.forget(work, note)
            task = await store.lock(work, workspace_id=note["workspace_id"], task_id=note["task_id"])
            if task is not None:
                await _look_at(work, tasks, task)
        return bool(notes)

    async def set_aside(work: UnitOfWork, note: Mapping[str, Any], _fault: Fault) -> None:
        await store.forget(work, note)

    found = await handle_batch(
        tasks.database,
        "unblocking",
        most=1,
        take=store.next_looked_at,
        handle=look_at,
        set_aside=set_aside,
        key=("workspace_id", "task_id"),
    )
    return found is not False


async def _look_at(work: UnitOfWork, tasks: Tasks, task: Task) -> None:
    is_unblocked = not (task.standing and task.standing.blocked_by) and await store.has_done_blocker(work, task)
    for event in domain.unblock(task, is_unblocked=is_unblocked, now=tasks.clock.now()):
        work.append(event_message(event))
        await tasks_store.project(work, event)


def _crosses(event: TaskEvent) -> bool:
    """Whether the task was closed or opened by it, or may have been."""
    if isinstance(event, TaskUpdated):
        return any(each.field == "status" and (each.old in OPEN) != (each.new in OPEN) for each in event.changes)
    return isinstance(event, _CROSSING)


def _begins_to_wait(event: TaskEvent) -> bool:
    if not _waits(event.task):
        return False
    if isinstance(event, TaskUpdated):
        return any(each.field in ("action", "run_when") for each in event.changes)
    return isinstance(event, TaskCreated)


def _waits(task: Task) -> bool:
    return task.execution is not None and task.execution.run_when is RunWhen.UNBLOCKED
