"""Undoes what one call did to many tasks, as far as nobody has changed them since, in one transaction.

Two at once: both hold the structure of the workspace, so that the second finds everything changed since. Dying before
the commit leaves nothing. A repeated call changes nothing, for the same reason.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from rota.events.v1 import events_pb2
from rota_chassis.errors import Conflict, NotFound, PermissionDenied, RotaError
from rota_chassis.memberships import WRITERS, require_role

from rota_tasks import locks
from rota_tasks.batch import domain, store
from rota_tasks.batch.commands import UNDOABLE_FOR
from rota_tasks.history import store as history
from rota_tasks.history.commands import give_back
from rota_tasks.relations import commands as relation_commands
from rota_tasks.relations import store as relations
from rota_tasks.relations.messages import relation_of
from rota_tasks.tasks import requirements, tree
from rota_tasks.tasks import store as task_store
from rota_tasks.tasks.messages import task_of
from rota_tasks.tasks.queries import no_such_task
from rota_tasks.trash import commands as trash
from rota_tasks.trash import store as trash_store

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal
    from rota_chassis.postgres.work import UnitOfWork

    from rota_tasks.batch.domain import Done, Touched
    from rota_tasks.tasks.dependencies import Tasks
    from rota_tasks.tasks.domain import Task


async def undo_batch(
    tasks: Tasks, user: UserPrincipal, *, batch_id: UUID
) -> tuple[Mapping[UUID, Task | RotaError | None], UUID | None]:
    """Undo what a call of the user did.

    Returns:
        What came of it by task (the task as it is again, None when it is in the trash, or why it was left as it is),
        and the name of what this call did.

    Raises:
        NotFound: the user made no such call, or more than `UNDOABLE_FOR` ago (code BATCH_NOT_FOUND).
        PermissionDenied: the user's role does not allow writing.
    """
    found = await store.find(tasks.database, user_id=user.user_id, batch_id=batch_id)
    if found is None:
        raise NotFound("You made no such call, or it is too long ago to be undone.", code="BATCH_NOT_FOUND")
    workspace_id, done = found
    await requirements.require_some_writing(tasks, user, workspace_id)
    touched = domain.touched(done)
    versions = [(each.task_id, each.before) for each in touched if each.before]
    rows = await history.at_versions(tasks.database, workspace_id=workspace_id, versions=versions)
    before = {
        task_id: task_of(data.task) for task_id, data in rows.items() if not isinstance(data, events_pb2.TaskDeleted)
    }
    people = list(dict.fromkeys(each for task in before.values() for each in task.assignee_ids))
    strangers = frozenset(await tasks.memberships.strangers(workspace_id, people))

    async def undo(work: UnitOfWork) -> tuple[Mapping[UUID, Task | RotaError | None], UUID | None]:
        undoing = _Undoing(work, tasks, user, touched=touched, before=before, strangers=strangers)
        await undoing.end_relations(workspace_id, done)
        outcomes = {each.task_id: await undoing.outcome(each) for each in undoing.order}
        noted = await store.note(
            work, workspace_id=workspace_id, user_id=user.user_id, oldest=tasks.clock.now() - UNDOABLE_FOR
        )
        return outcomes, noted

    projects = await store.projects_of(
        tasks.database, workspace_id=workspace_id, task_ids=[each.task_id for each in touched]
    )
    boards = {*projects, *(task.project_id for task in before.values() if task.project_id is not None)}
    return await tasks.database.ordered(
        undo, *(locks.board(each) for each in boards), locks.structure(workspace_id, alone=True)
    )


class _Undoing:
    """The undoing of one call, in its transaction."""

    def __init__(
        self,
        work: UnitOfWork,
        tasks: Tasks,
        user: UserPrincipal,
        *,
        touched: Sequence[Touched],
        before: Mapping[UUID, Task],
        strangers: frozenset[UUID],
    ) -> None:
        self._work = work
        self._tasks = tasks
        self._user = user
        # The call made them, or brought them back.
        self._new = frozenset(each.task_id for each in touched if each.task_id not in before)
        # What was left last comes first, so that a whole is restored before its parts find their place. What is new
        # goes at the end, when nothing older is a part of it any more, and wholes take their parts along.
        self.order = [
            *(each for each in reversed(touched) if each.task_id not in self._new),
            *(each for each in touched if each.task_id in self._new),
        ]
        self._versions = {each.task_id: each.after for each in touched}
        self._before = before
        self._strangers = strangers
        self._now = tasks.clock.now()

    async def end_relations(self, workspace_id: UUID, done: Sequence[Done]) -> None:
        """End the relations that the call added and that are still there."""
        versions = [(each.id, each.version) for each in done if each.aggregate == "relation"]
        found = await history.at_versions(self._work, workspace_id=workspace_id, versions=versions)
        for data in found.values():
            added = relation_of(data.relation)
            living = await relations.get(
                self._work,
                workspace_id=added.workspace_id,
                source_id=added.source_id,
                kind=added.type,
                task_id=added.task_id,
            )
            if living is not None and living.id == added.id:
                # One whose tasks the user no longer writes to stays.
                with suppress(NotFound, PermissionDenied):
                    await relation_commands.end(self._work, self._user, added, now=self._now)

    async def outcome(self, touched: Touched) -> Task | RotaError | None:
        """Undo what was done to one task, or say why not."""
        try:
            async with self._work.savepoint():
                return await self._undo(touched)
        except RotaError as error:
            return error

    async def _undo(self, touched: Touched) -> Task | None:
        found = await task_store.lock(self._work, user_id=self._user.user_id, task_id=touched.task_id)
        if found is not None:
            task, role = found
            require_role(role, WRITERS)
            self._require_unchanged(task)
        elif self._moved(touched.task_id):
            # It went along with one above it, which is new as well.
            return None
        else:
            trashed = await self._trashed(touched.task_id)
            if trashed.id in self._new:
                return None
            task = await self._restored(trashed)
        if task.id in self._new:
            await self._remove(task)
            return None
        before = self._before[task.id]
        newcomers = [each for each in before.assignee_ids if each not in task.assignee_ids]
        blind = await requirements.blind_to(self._work, task.workspace_id, before.project_id, newcomers)
        requirements.refuse_strangers(newcomers, {*self._strangers, *blind})
        await give_back(self._work, self._tasks, self._user, task, before)
        return await task_store.get(self._work, user_id=self._user.user_id, task_id=task.id)

    async def _trashed(self, task_id: UUID) -> Task:
        found = await trash_store.find(self._work, user_id=self._user.user_id, task_id=task_id)
        if found is None:
            raise no_such_task()
        self._require_unchanged(found[0].task)
        return found[0].task

    async def _restored(self, task: Task) -> Task:
        await trash.restore(self._work, self._user, task.id, now=self._now)
        living = await task_store.lock(self._work, user_id=self._user.user_id, task_id=task.id)
        if living is None:
            raise no_such_task()
        return living[0]

    async def _remove(self, task: Task) -> None:
        below = await tree.lock_below(
            self._work, workspace_id=task.workspace_id, task_id=task.id, user_id=self._user.user_id
        )
        for part in below.parts:
            if part.id not in self._new:
                raise Conflict("The task has got parts since; move them first.", code="CHANGED_SINCE")
            self._require_unchanged(part)
        await trash.remove(self._work, task, by=self._user.user_id, now=self._now)

    def _require_unchanged(self, task: Task) -> None:
        """Return if nobody has changed the task since, besides this undoing when it moved one above."""
        if task.version not in (self._versions[task.id], self._moved(task.id)):
            raise Conflict("The task has been changed since; look at it, and edit it instead.", code="CHANGED_SINCE")

    def _moved(self, task_id: UUID) -> int:
        """The version of the task that this undoing has made; 0 when it has made none yet."""
        return max((each.aggregate_version for each in self._work.events if each.aggregate_id == task_id), default=0)
