"""Tasks that begin to recur in one call: the scheduler is asked once for all of them, before anything is written."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rota_chassis.errors import InvalidArgument, RotaError, Violation

from rota_tasks.batch import store
from rota_tasks.batch.domain import Create, Edit
from rota_tasks.series import planning
from rota_tasks.tasks.domain import Task
from rota_tasks.tasks.queries import no_such_task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal

    from rota_tasks.batch.domain import Operation
    from rota_tasks.tasks.dependencies import Tasks


async def planned(
    tasks: Tasks, user: UserPrincipal, workspace_id: UUID, operations: Sequence[Operation | RotaError]
) -> Sequence[Operation | RotaError]:
    """The operations with the series that they begin.

    Raises:
        Unavailable: some begin one, and the scheduler cannot be asked now.
    """
    named = [each.task_id for each in operations if isinstance(each, Edit) and _recurs(each.changes)]
    if not named and not any(isinstance(each, Create) and _recurs(each.fields) for each in operations):
        return operations
    seen = await store.tasks_of(tasks.database, user_id=user.user_id, workspace_id=workspace_id, task_ids=named)
    plan = _Plan(tasks, user, workspace_id, {each.id: each for each in seen})
    settled = [plan.read(index, each) for index, each in enumerate(operations)]
    answers = await planning.begun_together(tasks, list(plan.asked.values()))
    for index, answer in zip(plan.asked, answers, strict=True):
        settled[index] = _with(settled[index], answer)
    return settled


class _Plan:
    """What is to be asked about the operations of a call, in their order.

    Attributes:
        asked: What the beginning of a series depends on, by the operation that begins it.
    """

    def __init__(self, tasks: Tasks, user: UserPrincipal, workspace_id: UUID, seen: Mapping[UUID, Task]) -> None:
        self.asked: dict[int, Mapping[str, Any]] = {}
        now = tasks.clock.now()
        self._made: dict[str, Any] = {
            "workspace_id": workspace_id,
            "created_by": user.user_id,
            "created_at": now,
            "updated_at": now,
        }
        self._tasks = dict(seen)
        self._begun: set[UUID] = set()

    def read(self, index: int, operation: Operation | RotaError) -> Operation | RotaError:
        """The operation, or what is wrong with it; later ones find the dates that it gives its task."""
        match operation:
            case Create(task_id=task_id, fields=fields):
                self._tasks[task_id] = Task(id=task_id, **self._made, **fields)
                if _recurs(fields):
                    self._ask(index, task_id, fields)
            case Edit(task_id=task_id, changes=changes) if _recurs(changes):
                return self._restarted(index, operation)
            case Edit(task_id=task_id, changes=changes) if task_id in self._tasks:
                self._follow(task_id, changes)
        return operation

    def _restarted(self, index: int, edit: Edit) -> Operation | RotaError:
        task = self._tasks.get(edit.task_id)
        if task is None:
            return no_such_task()
        if edit.task_id in self._begun:
            return InvalidArgument(
                "A task can begin to recur once in a call; say the last rule alone.",
                code="INVALID_FIELDS",
                violations=[Violation("recurrence", "is set by an earlier operation of the call", "set_before")],
            )
        changes = planning.wanted(task, edit.changes)
        if "recurrence" in changes:
            self._ask(index, edit.task_id, planning.after(task, changes))
        self._follow(edit.task_id, changes)
        return replace(edit, changes=changes)

    def _ask(self, index: int, task_id: UUID, fields: Mapping[str, Any]) -> None:
        self.asked[index] = fields
        self._begun.add(task_id)

    def _follow(self, task_id: UUID, changes: Mapping[str, Any]) -> None:
        task = self._tasks[task_id]
        self._tasks[task_id] = replace(task, **planning.after(task, changes))


def _recurs(fields: Mapping[str, Any]) -> bool:
    return fields.get("recurrence") is not None


def _with(operation: Operation | RotaError, answer: dict[str, Any] | InvalidArgument) -> Operation | RotaError:
    match operation:
        case _ if isinstance(answer, InvalidArgument):
            return answer
        case Create():
            return replace(operation, fields=answer)
        case Edit(changes=changes):
            return replace(operation, changes=planning.settled(changes, answer))
    return operation
