"""Does many things to the tasks of a workspace, in one transaction.

Two at once: those that do more than create take turns on the structure of the workspace, which is held before any row
is locked, as the boards of all projects concerned are (see `locks`), so that their row locks cannot cross. Dying before
the commit leaves nothing. A repeated call with the same request id gets the answer of the first, which commits with
what it did.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from rota_chassis.errors import InvalidArgument, RotaError, Violation
from rota_chassis.ids import uuid7
from rota_chassis.memberships import WRITERS, require_role

from rota_tasks import answers, locks
from rota_tasks.batch import domain, recurring, store
from rota_tasks.batch.domain import Assign, Complete, Create, Delete, Edit, Relate, Reopen, Unassign
from rota_tasks.executions import accepting
from rota_tasks.relations import commands as relation_commands
from rota_tasks.relations.domain import Relation
from rota_tasks.series import following
from rota_tasks.tasks import commands, queries, requirements
from rota_tasks.tasks import domain as task_domain
from rota_tasks.tasks.domain import Standing, Status, Task
from rota_tasks.trash import commands as trash

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal
    from rota_chassis.postgres.work import UnitOfWork
    from rota_chassis.requests import Request

    from rota_tasks.batch.domain import Operation
    from rota_tasks.tasks.dependencies import Tasks
    from rota_tasks.tasks.domain import TaskEvent

UNDOABLE_FOR = timedelta(days=30)
"""How long what a call did can be undone."""

MAX_PEOPLE = 100
"""How many users one call may assign."""

Outcome = Task | Relation | RotaError | None


async def run_batch(
    tasks: Tasks,
    user: UserPrincipal,
    *,
    workspace_id: UUID,
    operations: Sequence[Operation | RotaError],
    atomic: bool,
    request: Request | None,
    answer_of: Callable[[Sequence[Outcome], UUID | None], bytes],
) -> bytes:
    """Do the operations in order; the answer.

    Args:
        tasks: What it needs.
        user: Who does them.
        workspace_id: Where all of them are done.
        operations: What to do, or what is wrong with it already.
        atomic: Whether one failure undoes all.
        request: Makes the call idempotent, if given.
        answer_of: Writes the answer from an outcome for each operation (the task after it, the relation, the error,
            or None for a deletion) and the name of what the call did.

    Raises:
        NotFound: the workspace does not exist for the user.
        PermissionDenied: the user's role does not allow writing.
        InvalidArgument: too many users are to be assigned.
        Unavailable: a task is to recur or to act, and the scheduler cannot be asked now.
        Unprocessable: the request id was used for another content.
        RotaError: when atomic, what the first failing operation raises, which its violations point at.
    """
    role = await requirements.require_some_writing(tasks, user, workspace_id)
    operations = await recurring.planned(tasks, user, workspace_id, operations)
    operations = await _accepted(tasks, user, workspace_id, operations)
    valid = [each for each in operations if not isinstance(each, RotaError)]
    people = list(dict.fromkeys(each for operation in valid for each in domain.people(operation)))
    if len(people) > MAX_PEOPLE:
        raise InvalidArgument(f"One call may assign at most {MAX_PEOPLE} users; make several.", code="INVALID_FIELDS")
    strangers = frozenset(await tasks.memberships.strangers(workspace_id, people))

    async def run(work: UnitOfWork) -> bytes:
        async def act() -> bytes:
            batch = _Batch(work, tasks, user, workspace_id, role=role, people=people, strangers=strangers)
            outcomes = [await _outcome(batch, index, each, atomic=atomic) for index, each in enumerate(operations)]
            oldest = tasks.clock.now() - UNDOABLE_FOR
            noted = await store.note(work, workspace_id=workspace_id, user_id=user.user_id, oldest=oldest)
            return answer_of(outcomes, noted)

        return await answers.once(work, request, act, workspace_id=workspace_id, user_id=user.user_id)

    held = [locks.board(each) for each in await _boards(tasks, workspace_id, valid)]
    if any(domain.needs_structure(each) for each in valid):
        alone = not all(isinstance(each, Create) for each in valid)
        held.append(locks.structure(workspace_id, alone=alone))
    return await tasks.database.ordered(run, *held)


async def _accepted(
    tasks: Tasks, user: UserPrincipal, workspace_id: UUID, operations: Sequence[Operation | RotaError]
) -> Sequence[Operation | RotaError]:
    """The operations with the actions that they give to tasks as the scheduler accepts them, asked once for all."""
    asked = {
        index: action
        for index, each in enumerate(operations)
        if not isinstance(each, RotaError) and (action := domain.action_of(each)) is not None
    }
    answers = await accepting.accepted(tasks, user, workspace_id, list(asked.values()))
    settled = list(operations)
    for index, answer in zip(asked, answers, strict=True):
        operation = operations[index]
        if isinstance(answer, RotaError):
            settled[index] = answer
        elif not isinstance(operation, RotaError):
            settled[index] = domain.with_action(operation, answer)
    return settled


async def _boards(tasks: Tasks, workspace_id: UUID, operations: Sequence[Operation]) -> set[UUID]:
    """The projects on whose boards the operations put tasks, as far as is known before."""
    named = {each for operation in operations for each in domain.projects(operation)}
    task_ids = [each.task_id for each in operations if domain.places(each)]
    of_tasks = await store.projects_of(tasks.database, workspace_id=workspace_id, task_ids=task_ids) if task_ids else []
    return named | set(of_tasks)


class _Batch:
    """The operations of one call, in its transaction."""

    def __init__(
        self,
        work: UnitOfWork,
        tasks: Tasks,
        user: UserPrincipal,
        workspace_id: UUID,
        *,
        role: str,
        people: Sequence[UUID],
        strangers: frozenset[UUID],
    ) -> None:
        self.work = work
        self._tasks = tasks
        self._user = user
        self._workspace_id = workspace_id
        self._role = role
        self._people = people
        self._strangers: dict[UUID | None, frozenset[UUID]] = {None: strangers}
        self._now = tasks.clock.now()

    async def perform(self, operation: Operation) -> Task | Relation | None:
        """Do one; raises as the use case that does it alone."""
        match operation:
            case Create():
                return await self._create(operation)
            case Relate():
                return await relation_commands.add(
                    self.work,
                    self._user,
                    Relation(
                        id=uuid7(),
                        workspace_id=self._workspace_id,
                        source_id=operation.source_id,
                        type=operation.type,
                        task_id=operation.task_id,
                        created_by=self._user.user_id,
                        created_at=self._now,
                    ),
                )
        task = await commands.lock(self.work, self._user, operation.task_id, operation.if_match)
        if task is None or task.workspace_id != self._workspace_id:
            raise queries.no_such_task()
        if isinstance(operation, Delete):
            await trash.remove(self.work, task, by=self._user.user_id, now=self._now)
            return None
        events = await commands.apply(self.work, await self._decide(operation, task))
        return events[-1].task if events else task

    async def _create(self, operation: Create) -> Task:
        fields = operation.fields
        project_id = fields.get("project_id")
        if project_id is None:
            require_role(self._role, WRITERS)
        await self._refuse_strangers(fields.get("assignee_ids", ()), project_id)
        task = Task(
            id=operation.task_id,
            workspace_id=self._workspace_id,
            created_by=self._user.user_id,
            created_at=self._now,
            updated_at=self._now,
            standing=Standing(),
            **fields,
        )
        return await commands.add(self.work, self._user, task)

    async def _decide(self, operation: Edit | Complete | Reopen | Assign | Unassign, task: Task) -> Sequence[TaskEvent]:
        match operation:
            case Edit(changes=changes):
                newcomers = [each for each in changes.get("assignee_ids", ()) if each not in task.assignee_ids]
                await self._refuse_strangers(newcomers, changes.get("project_id", task.project_id))
                events = await commands.edit(self.work, self._tasks, self._user, task, changes)
                if "series_id" in changes:
                    await following.leave(self.work, task, now=self._now)
                return events
            case Complete():
                return await commands.edit(self.work, self._tasks, self._user, task, {"status": Status.DONE})
            case Reopen():
                return await commands.reopen(self.work, self._tasks, self._user, task)
            case Assign(assignee_id=assignee_id):
                await self._refuse_strangers([assignee_id], task.project_id, field="assignee_id")
                return commands.assign(task, assignee_id, now=self._now)
            case Unassign(assignee_id=assignee_id):
                return task_domain.unassign(task, assignee_id, now=self._now)

    async def _refuse_strangers(
        self, user_ids: Sequence[UUID], project_id: UUID | None, *, field: str = "assignee_ids"
    ) -> None:
        """Return if all of them see the project, about which one question is asked in a call."""
        if user_ids and project_id not in self._strangers:
            blind = await requirements.blind_to(self.work, self._workspace_id, project_id, self._people)
            self._strangers[project_id] = self._strangers[None] | frozenset(blind)
        if user_ids:
            requirements.refuse_strangers(user_ids, self._strangers[project_id], field=field)


async def _outcome(batch: _Batch, index: int, operation: Operation | RotaError, *, atomic: bool) -> Outcome:
    try:
        if isinstance(operation, RotaError):
            raise operation
        if atomic:
            return await batch.perform(operation)
        async with batch.work.savepoint():
            return await batch.perform(operation)
    except RotaError as error:
        if not atomic:
            return error
        raise _pointing_at(index, error) from error


def _pointing_at(index: int, error: RotaError) -> RotaError:
    place = f"operations[{index}]"
    violations = [Violation(f"{place}.{each.field}", each.description, each.reason) for each in error.violations]
    return type(error)(
        f"Operation {index}: {error.detail} Nothing was changed.",
        code=error.code,
        metadata=error.metadata | {"operation": str(index)},
        violations=violations or [Violation(place, error.detail, error.code.lower())],
    )
