"""What moves tasks to the trash, back, and out of it: one transaction each.

Two at once: each holds the structure of the workspace first (see `locks`), so that deletions, restorations and purges
take turns; an edit and a deletion take turns on the task's row. Dying before the commit leaves nothing.

A restored task returns to its state although that be full: a limit must not keep it in the trash until it is purged.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rota_chassis.errors import Conflict, NotFound
from rota_chassis.memberships import WRITERS, require_role

from rota_tasks import locks
from rota_tasks.attachments import ledger
from rota_tasks.attachments import store as attachments
from rota_tasks.boards import store as boards
from rota_tasks.boards.domain import Section, State
from rota_tasks.executions import unblocking
from rota_tasks.keys import commands as keys
from rota_tasks.projects import store as projects
from rota_tasks.relations import domain as relation_domain
from rota_tasks.relations import store as relations
from rota_tasks.relations.messages import event_message as relation_message
from rota_tasks.series import following
from rota_tasks.tasks import domain as task_domain
from rota_tasks.tasks import store as task_store
from rota_tasks.tasks import tree, values
from rota_tasks.tasks.commands import lock
from rota_tasks.tasks.domain import MAX_LEVELS
from rota_tasks.tasks.messages import event_message
from rota_tasks.tasks.queries import get_task, no_such_task
from rota_tasks.trash import domain, queries, store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal
    from rota_chassis.postgres.work import UnitOfWork

    from rota_tasks.tasks.dependencies import Tasks
    from rota_tasks.tasks.domain import Task
    from rota_tasks.trash.domain import Trashed

_COLUMNS = ("state_id", "section_id", "state_id_before")
_PLACE = ("project_id", "position", *_COLUMNS)


async def delete_task(tasks: Tasks, user: UserPrincipal, *, task_id: UUID, if_match: str = "") -> None:
    """Move a task and everything below it to the trash, each with its event (see `remove`).

    Raises:
        NotFound: the task does not exist for the user.
        PermissionDenied: the user's role does not allow writing.
        PreconditionFailed: the task's entity tag is another.
    """
    workspace_id = (await get_task(tasks, user, task_id=task_id)).workspace_id

    async def delete(work: UnitOfWork) -> None:
        task = await lock(work, user, task_id, if_match)
        if task is None:
            raise no_such_task()
        await remove(work, task, by=user.user_id, now=tasks.clock.now())

    await tasks.database.ordered(delete, locks.structure(workspace_id, alone=True))


async def remove(work: UnitOfWork, task: Task, *, by: UUID, now: datetime) -> None:
    """Move a locked task and everything below it to the trash, in a transaction that holds the structure alone.

    What its user may not change, in a project that they read alone or do not see, stays with all that is below it, and
    is a part of nothing from then on.
    """
    below = await tree.lock_below(work, workspace_id=task.workspace_id, task_id=task.id, user_id=by)
    kept = [event for part in below.kept for event in task_domain.edit(part, {"parent_id": None}, by=by, now=now)]
    if kept:
        work.append(*(event_message(event) for event in kept))
        await task_store.save(work, [event.task for event in kept])
    # The deepest first, so that whoever follows the log never sees a part without its whole.
    deleted = [task_domain.delete(gone, by=by, root_id=task.id, now=now) for gone in (*below.parts, task)]
    work.append(*(event_message(event) for event in deleted))
    for event in deleted:
        await following.follow(work, event.task, gone=True)
    await unblocking.follow(work, deleted)
    await store.add(work, deleted)


async def restore_task(tasks: Tasks, user: UserPrincipal, *, task_id: UUID) -> Task:
    """Bring a deleted task back with all that was deleted along with it; the task as it is then, or lives already.

    Raises:
        NotFound: there is none, or not for the user.
        PermissionDenied: the user's role does not allow writing.
        Conflict: it went with a task above it (code DELETED_WITH_PARENT).
    """
    try:
        trashed, role = await queries.get_trashed(tasks, user, task_id=task_id)
    except NotFound:
        return await get_task(tasks, user, task_id=task_id)
    require_role(role, WRITERS)
    workspace_id, now = trashed.task.workspace_id, tasks.clock.now()

    async def bring_back(work: UnitOfWork) -> Task:
        await restore(work, user, task_id, now=now)
        living = await task_store.get(work, user_id=user.user_id, task_id=task_id)
        if living is None:
            raise no_such_task()
        return living

    return await tasks.database.ordered(bring_back, locks.structure(workspace_id, alone=True))


async def restore(work: UnitOfWork, user: UserPrincipal, task_id: UUID, *, now: datetime) -> None:
    """Bring a task back, unless it lives, in a transaction that holds the structure alone. Raises as `restore_task`."""
    trashed = await _found(work, user, task_id)
    if trashed is None:
        return
    workspace_id = trashed.task.workspace_id
    levels = domain.by_level(await store.together(work, workspace_id=workspace_id, root_id=task_id))
    events = [domain.restore(task, now=now) for level in levels for task in level]
    events[0] = replace(events[0], task=await _placed(work, events[0].task, levels=len(levels)))
    restored = await _placed_in_projects(work, [event.task for event in events])
    for each in restored:
        await following.follow(work, each)
    await store.put_back(work, restored)
    await _relate(work, workspace_id, [task.id for task in restored], now=now)
    told = [task_domain.TaskRestored(task) for task in restored]
    await unblocking.follow(work, told)
    work.append(*map(event_message, told))


async def purge_task(tasks: Tasks, user: UserPrincipal, *, task_id: UUID) -> None:
    """End a deleted task for good, with all that was deleted along with it.

    Raises:
        NotFound: there is none, or not for the user.
        PermissionDenied: the user's role does not allow writing.
        Conflict: it went with a task above it (code DELETED_WITH_PARENT), or the user may not change all that went with
            it (PARTS_NOT_WRITABLE).
    """
    trashed, role = await queries.get_trashed(tasks, user, task_id=task_id)
    require_role(role, WRITERS)
    workspace_id = trashed.task.workspace_id

    async def purge(work: UnitOfWork) -> None:
        if await _found(work, user, task_id) is None:
            raise no_such_task()
        foreign = await store.not_writable(work, user_id=user.user_id, workspace_id=workspace_id, root_id=task_id)
        if foreign:
            raise Conflict(
                f"{foreign} of its parts you may not change; leave it to who may, or to its time in the trash.",
                code="PARTS_NOT_WRITABLE",
            )
        gone = await store.together(work, workspace_id=workspace_id, root_id=task_id)
        await _purge(work, workspace_id, gone, now=tasks.clock.now())

    await tasks.database.ordered(purge, locks.structure(workspace_id, alone=True))


async def _found(work: UnitOfWork, user: UserPrincipal, task_id: UUID) -> Trashed | None:
    """The deleted task, which the user may change, at the head of its deletion; None when it is not in the trash."""
    found = await store.find(work, user_id=user.user_id, task_id=task_id)
    if found is None:
        return None
    trashed, role = found
    require_role(role, WRITERS)
    queries.require_root(trashed)
    return trashed


async def purge_trash(tasks: Tasks, *, before: datetime, limit: int) -> int:
    """End tasks deleted before a time for good, at most `limit`, all of one workspace; how many.

    Two at once take turns. Dying in between leaves nothing that can be restored in part.
    """
    workspace_id = await store.overdue_workspace(tasks.database, before=before)
    if workspace_id is None:
        return 0

    async def purge(work: UnitOfWork) -> int:
        gone = await store.overdue(work, workspace_id=workspace_id, before=before, limit=limit)
        await _purge(work, workspace_id, gone, now=tasks.clock.now())
        return len(gone)

    return await tasks.database.ordered(purge, locks.structure(workspace_id, alone=True))


async def _purge(work: UnitOfWork, workspace_id: UUID, gone: Sequence[Task], *, now: datetime) -> None:
    work.append(*(event_message(domain.purge(task, now=now)) for task in gone))
    task_ids = [task.id for task in gone]
    attached = await attachments.of_tasks(work, workspace_id=workspace_id, task_ids=task_ids)
    await store.remove(work, workspace_id=workspace_id, task_ids=task_ids)
    await ledger.release(work, workspace_id=workspace_id, uses=Counter(each.object_id for each in attached))


async def _placed(work: UnitOfWork, task: Task, *, levels: int) -> Task:
    """The root of a deletion where it was; at the top, when its parent is gone or has become too deep."""
    if task.parent_id is None:
        return task
    above = await tree.path(work, workspace_id=task.workspace_id, task_id=task.parent_id)
    if above and len(above) + levels <= MAX_LEVELS:
        return task
    return replace(task, parent_id=None)


async def _placed_in_projects(work: UnitOfWork, restored: Sequence[Task]) -> Sequence[Task]:
    """The tasks, without the projects, states and sections that are gone."""
    columns: dict[UUID | None, set[UUID]] = {}
    project_ids = {task.project_id for task in restored if task.project_id is not None}
    await boards.lock(work, *project_ids)
    for project_id in project_ids:
        among = {"workspace_id": restored[0].workspace_id, "project_id": project_id}
        if await projects.exists(work, **among):
            found = [*await boards.columns(work, State, **among), *await boards.columns(work, Section, **among)]
            columns[project_id] = {each.id for each in found}
    placed = []
    for task in restored:
        if task.project_id not in columns:
            changes: dict[str, Any] = dict.fromkeys((*_PLACE, "number", "key")) | {"fields": {}}
        else:
            changes = {name: None for name in _COLUMNS if getattr(task, name) not in columns[task.project_id]}
            changes["fields"] = await values.still_fitting(work, task.workspace_id, task.project_id, task.fields)
        placed.append(replace(task, **changes))
    return await keys.numbered(work, await keys.shown(work, placed))


async def _relate(work: UnitOfWork, workspace_id: UUID, task_ids: Sequence[UUID], *, now: datetime) -> None:
    """Bring back the relations whose tasks both live; one that would close a circle by now ends, with its event."""
    found = await store.relations_between_living(work, workspace_id=workspace_id, task_ids=task_ids)
    await store.forget_relation(work, *found)
    restored = set(task_ids)
    # Those among themselves closed no circle when they were deleted, and nothing leads past them yet.
    across = [each for each in found if not restored.issuperset((each.source_id, each.task_id))]
    await relations.save(work, [each for each in found if restored.issuperset((each.source_id, each.task_id))])
    ends = [task_id for each in across for task_id in (each.source_id, each.task_id)]
    projects_of = await task_store.projects_of(work, workspace_id=workspace_id, task_ids=ends) if ends else {}
    for relation in across:
        walk = relation_domain.closing_walk(relation)
        if walk is not None and await relations.leads(work, workspace_id=workspace_id, walk=walk):
            between = (projects_of.get(relation.source_id), projects_of.get(relation.task_id))
            work.append(relation_message(relation_domain.remove(relation, between, now=now)))
        else:
            await relations.project(work, relation_domain.add(relation))
