"""What takes changes back. Two at once: the task's row is locked first, so that each undoes what it saw, or nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rota_chassis.errors import Conflict, NotFound
from rota_chassis.events.log import data_of
from rota_chassis.memberships import WRITERS, require_role

from rota_tasks import locks
from rota_tasks.executions import unblocking
from rota_tasks.history import store
from rota_tasks.keys import commands as keys
from rota_tasks.preconditions import require_version
from rota_tasks.series import following
from rota_tasks.tasks import domain, requirements, values, workflow
from rota_tasks.tasks import store as task_store
from rota_tasks.tasks.messages import event_message, task_message, task_of
from rota_tasks.tasks.queries import get_task, no_such_task
from rota_tasks.trash.commands import restore_task
from rota_tasks.trash.queries import get_trashed

if TYPE_CHECKING:
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal
    from rota_chassis.postgres.database import Reader, UnitOfWork

    from rota_tasks.tasks.dependencies import Tasks
    from rota_tasks.tasks.domain import Task

_UNDOABLE = frozenset({"task.updated", "task.assigned", "task.completed", "task.reopened"})


# What the project of a task has a say in.
_PLACE = ("project_id", "status", "state_id", "section_id")


async def undo_task(tasks: Tasks, user: UserPrincipal, *, task_id: UUID, if_match: str) -> Task:
    """Undo the last change of a task, if the user made it; the task as it then is.

    Raises:
        NotFound: the task does not exist, not even in the trash, or not for the user; or what it named before is gone.
        PermissionDenied: the user's role does not allow writing.
        Conflict: the last change was another's (code CHANGED_BY_ANOTHER), cannot be undone (code NOT_UNDOABLE), or its
            old values do not fit any more.
        PreconditionFailed: the task's entity tag is another.
    """
    try:
        seen = await get_task(tasks, user, task_id=task_id)
    except NotFound:
        return await _undo_deletion(tasks, user, task_id, if_match)
    earlier = await _before(tasks.database, seen)
    if earlier is not None:
        newcomers = [each for each in earlier.assignee_ids if each not in seen.assignee_ids]
        await requirements.require_members(tasks, seen.workspace_id, newcomers)

    async def undo(work: UnitOfWork) -> Task:
        found = await task_store.lock(work, user_id=user.user_id, task_id=task_id)
        if found is None:
            raise no_such_task()
        task, role = found
        require_role(role, WRITERS)
        require_version(if_match, version=task.version, etag=task.etag, current=lambda: task_message(task))
        if task.version != seen.version:
            raise _changed_by_another()
        before = await _undoable(work, user, task)
        if before.project_id != task.project_id:
            await requirements.require_project(work, task.workspace_id, before.project_id)
        if before.parent_id != task.parent_id:
            await requirements.require_place(work, task.workspace_id, task.id, before.parent_id)
        placed = {name: getattr(before, name) for name in _PLACE if getattr(before, name) != getattr(task, name)}
        if placed:
            before = replace(before, **await workflow.settle(work, tasks, user, task, placed))
        events = await keys.numbered_events(work, domain.undo(before, task, now=tasks.clock.now()))
        for event in events:
            work.append(event_message(event))
            await following.follow(work, event.task)
            await task_store.project(work, event)
            await unblocking.follow(work, [event])
        return await task_store.get(work, user_id=user.user_id, task_id=task_id) or task

    return await tasks.database.ordered(undo, locks.structure(seen.workspace_id, alone=True))


async def _undo_deletion(tasks: Tasks, user: UserPrincipal, task_id: UUID, if_match: str) -> Task:
    trashed, _role = await get_trashed(tasks, user, task_id=task_id)
    require_version(if_match, version=trashed.task.version, etag=trashed.task.etag)
    if trashed.deleted_by != user.user_id:
        raise _changed_by_another()
    return await restore_task(tasks, user, task_id=task_id)


async def _undoable(work: UnitOfWork, user: UserPrincipal, task: Task) -> Task:
    """The task as it was before its last change, which the user made."""
    last = await store.at_version(work, workspace_id=task.workspace_id, task_id=task.id, version=task.version)
    if last is None or last["type"] not in _UNDOABLE:
        raise Conflict("The last thing that happened to this task cannot be undone.", code="NOT_UNDOABLE")
    if last["actor"] != f"user:{user.user_id}":
        raise _changed_by_another()
    before = await _before(work, task)
    if before is None:
        raise Conflict("What this task was before is not known any more.", code="NOT_UNDOABLE")
    left = await values.still_fitting(work, task.workspace_id, before.project_id, before.fields)
    return replace(before, fields=left)


async def _before(reader: Reader, task: Task) -> Task | None:
    row = await store.at_version(
        reader,
        workspace_id=task.workspace_id,
        task_id=task.id,
        version=task.version - 1,
    )
    return None if row is None else task_of(data_of(row).task)


def _changed_by_another() -> Conflict:
    return Conflict(
        "The last change of this task is another one by now, or not yours; look at it, and edit it instead.",
        code="CHANGED_BY_ANOTHER",
    )
