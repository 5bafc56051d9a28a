"""What takes changes back. Two at once: the task's row is locked first, so that each undoes what it saw, or nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rota_chassis.errors import Conflict, NotFound
from rota_chassis.memberships import WRITERS, require_role

from rota_tasks import locks
from rota_tasks.history import store
from rota_tasks.preconditions import require_version
from rota_tasks.tasks import domain, requirements, values, workflow
from rota_tasks.tasks import store as task_store
from rota_tasks.tasks.commands import apply, require_way
from rota_tasks.tasks.messages import task_message, task_of
from rota_tasks.tasks.queries import get_task, no_such_task
from rota_tasks.trash.commands import restore_task
from rota_tasks.trash.queries import get_trashed

if TYPE_CHECKING:
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal
    from rota_chassis.postgres.work import Reader, UnitOfWork

    from rota_tasks.tasks.dependencies import Tasks
    from rota_tasks.tasks.domain import Task

_UNDOABLE = frozenset({"task.updated", "task.assigned", "task.completed", "task.reopened"})


# What the project of a task has a say in.
_PLACE = ("project_id", "status", "state_id", "section_id")


async def undo_task(
    tasks: Tasks, user: UserPrincipal, *, task_id: UUID, if_match: str, version: int | None = None
) -> Task:
    """Undo the last change of a task, or all since a version, if the user made them; the task as it then is.

    Undoing that makes them again: a change that gives old values back is one like any other.

    Raises:
        NotFound: the task does not exist, not even in the trash, or not for the user; or what it named before is gone.
        PermissionDenied: the user's role does not allow writing.
        Conflict: a change was another's (code CHANGED_BY_ANOTHER), there is none or it cannot be undone (code
            NOT_UNDOABLE), or the old values do not fit any more.
        PreconditionFailed: the task's entity tag is another.
    """
    try:
        seen = await get_task(tasks, user, task_id=task_id)
    except NotFound:
        return await _undo_deletion(tasks, user, task_id, if_match)
    to = seen.version - 1 if version is None else version
    earlier = await _at(tasks.database, seen, to)
    if earlier is not None:
        newcomers = [each for each in earlier.assignee_ids if each not in seen.assignee_ids]
        await requirements.require_members(tasks, seen.workspace_id, earlier.project_id, newcomers)

    async def undo(work: UnitOfWork) -> Task:
        found = await task_store.lock(work, user_id=user.user_id, task_id=task_id)
        if found is None:
            raise no_such_task()
        task, role = found
        require_role(role, WRITERS)
        require_version(if_match, version=task.version, etag=task.etag, current=lambda: task_message(task))
        if task.version != seen.version:
            raise _changed_by_another()
        await give_back(work, tasks, user, task, await _undoable(work, user, task, to))
        return await task_store.get(work, user_id=user.user_id, task_id=task_id) or task

    return await tasks.database.ordered(undo, locks.structure(seen.workspace_id, alone=True))


async def give_back(work: UnitOfWork, tasks: Tasks, user: UserPrincipal, task: Task, before: Task) -> None:
    """Give a locked task the values of an earlier version again, in a transaction that holds the structure alone.

    Raises:
        NotFound: what it named then is gone.
        Conflict: the old values do not fit any more.
    """
    before = replace(
        before, fields=await values.still_fitting(work, task.workspace_id, before.project_id, before.fields)
    )
    if before.project_id != task.project_id:
        await require_way(work, tasks, user, task, {"project_id": before.project_id})
    if before.parent_id != task.parent_id:
        await requirements.require_place(work, user, task.workspace_id, task.id, before.parent_id)
    placed = {name: getattr(before, name) for name in _PLACE if getattr(before, name) != getattr(task, name)}
    if placed:
        before = replace(before, **await workflow.settle(work, tasks, user, task, placed))
    await apply(work, domain.undo(before, task, now=tasks.clock.now()))


async def _undo_deletion(tasks: Tasks, user: UserPrincipal, task_id: UUID, if_match: str) -> Task:
    trashed, _role = await get_trashed(tasks, user, task_id=task_id)
    require_version(if_match, version=trashed.task.version, etag=trashed.task.etag)
    if trashed.deleted_by != user.user_id:
        raise _changed_by_another()
    return await restore_task(tasks, user, task_id=task_id)


async def _undoable(work: UnitOfWork, user: UserPrincipal, task: Task, to: int) -> Task:
    """The task as it was at a version, since which the user alone has changed it."""
    since = await store.since(work, workspace_id=task.workspace_id, task_id=task.id, version=to)
    if not since:
        raise Conflict("Nothing has happened to this task since; there is nothing to undo.", code="NOT_UNDOABLE")
    if any(kind not in _UNDOABLE for kind, _ in since):
        raise Conflict(
            "What made or restored this task cannot be undone; name a later version, or delete the task.",
            code="NOT_UNDOABLE",
        )
    if any(actor != f"user:{user.user_id}" for _, actor in since):
        raise _changed_by_another()
    before = await _at(work, task, to)
    if before is None:
        raise Conflict("What this task was before is not known any more.", code="NOT_UNDOABLE")
    return before


async def _at(reader: Reader, task: Task, version: int) -> Task | None:
    found = await store.at_versions(reader, workspace_id=task.workspace_id, versions=[(task.id, version)])
    return task_of(found[task.id].task) if found else None


def _changed_by_another() -> Conflict:
    return Conflict(
        "The last change of this task is another one by now, or not yours; look at it, and edit it instead.",
        code="CHANGED_BY_ANOTHER",
    )
