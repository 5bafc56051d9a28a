"""What changes relations: one function a use case, one transaction each.

Two at once take turns on the structure of the workspace (`tasks.tree.lock`), so that no two relations together close
a circle that neither closes alone. A call that is delivered twice finds the relation that the first has made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.errors import Conflict, NotFound, Violation
from rota_chassis.ids import uuid7

from rota_tasks.executions import unblocking
from rota_tasks.relations import domain, store
from rota_tasks.relations.domain import MAX_RELATIONS, Relation, RelationType
from rota_tasks.relations.messages import event_message
from rota_tasks.tasks import queries, requirements, tree

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal
    from rota_chassis.postgres.work import UnitOfWork

    from rota_tasks.relations.domain import Projects
    from rota_tasks.tasks.dependencies import Tasks


async def create_relation(
    tasks: Tasks, user: UserPrincipal, *, source_id: UUID, kind: RelationType, task_id: UUID, lag_s: int = 0
) -> Relation:
    """Relate a task to another; the relation there is, when they are so related already.

    Raises:
        NotFound: one of the tasks does not exist in the workspace, or not for the user.
        PermissionDenied: the user's role does not allow writing.
        Conflict: both are the same task, it would close a circle, or a task has as many relations as it may.
    """
    workspace_id = (await queries.get_task(tasks, user, task_id=source_id)).workspace_id
    relation = Relation(
        id=uuid7(),
        workspace_id=workspace_id,
        source_id=source_id,
        type=kind,
        task_id=task_id,
        created_by=user.user_id,
        created_at=tasks.clock.now(),
        lag_s=lag_s,
    )
    async with tasks.database.transaction() as work:
        await tree.lock(work, workspace_id, exclusive=True)
        return await add(work, user, relation)


async def add(work: UnitOfWork, user: UserPrincipal, relation: Relation) -> Relation:
    """Relate tasks in a transaction that holds the structure of the workspace alone (see `create_relation`)."""
    if relation.source_id == relation.task_id:
        raise Conflict(
            "A task cannot be related to itself.",
            code="SELF_RELATION",
            violations=[Violation("task_id", "is the task itself", "self_relation")],
        )
    projects = await _projects(work, user, relation)
    existing = await store.get(
        work,
        workspace_id=relation.workspace_id,
        source_id=relation.source_id,
        kind=relation.type,
        task_id=relation.task_id,
    )
    if existing is not None:
        return existing
    await _require_room(work, relation)
    walk = domain.closing_walk(relation)
    if walk is not None and await store.leads(work, workspace_id=relation.workspace_id, walk=walk):
        raise Conflict(
            "This relation would close a circle of tasks.",
            code="RELATION_CYCLE",
            violations=[Violation("task_id", "leads back to the task", "cycle")],
        )
    added = domain.add(relation, projects)
    await store.project(work, added)
    work.append(event_message(added))
    await _follow(work, relation)
    return relation


async def delete_relation(
    tasks: Tasks, user: UserPrincipal, *, source_id: UUID, kind: RelationType, task_id: UUID
) -> None:
    """End a relation.

    Raises:
        NotFound: the task or the relation does not exist, or not for the user.
        PermissionDenied: the user's role does not allow writing.
    """
    workspace_id = (await queries.get_task(tasks, user, task_id=source_id)).workspace_id
    async with tasks.database.transaction() as work:
        await tree.lock(work, workspace_id, exclusive=True)
        relation = await store.get(work, workspace_id=workspace_id, source_id=source_id, kind=kind, task_id=task_id)
        if relation is None:
            await requirements.require_writer(work, user, workspace_id=workspace_id, task_ids=[source_id])
            raise no_such_relation()
        await end(work, user, relation, now=tasks.clock.now())


async def end(work: UnitOfWork, user: UserPrincipal, relation: Relation, *, now: datetime) -> None:
    """End a relation that is there, in a transaction that holds the structure of the workspace alone.

    Raises:
        NotFound: one of its tasks is hidden from the user, and so is the relation.
        PermissionDenied: the user may not write where one of the tasks is.
    """
    try:
        projects = await _projects(work, user, relation)
    except NotFound as error:
        raise no_such_relation() from error
    removed = domain.remove(relation, projects, now=now)
    await store.project(work, removed)
    work.append(event_message(removed))
    await _follow(work, relation)


async def _follow(work: UnitOfWork, relation: Relation) -> None:
    if RelationType.BLOCKS in (relation.type, relation.inverse.type):
        pair = (relation.source_id, relation.task_id)
        await unblocking.follow_relation(work, workspace_id=relation.workspace_id, task_ids=pair)


async def _projects(work: UnitOfWork, user: UserPrincipal, relation: Relation) -> Projects:
    """The projects of the two tasks, if the user may write in both."""
    ends = [relation.source_id, relation.task_id]
    found = await requirements.require_writer(work, user, workspace_id=relation.workspace_id, task_ids=ends)
    if relation.source_id not in found:
        raise queries.no_such_task()
    if relation.task_id not in found:
        raise NotFound(
            "There is no such task in the workspace to relate to.",
            code="RELATED_TASK_NOT_FOUND",
            violations=[Violation("task_id", "is not a task of the workspace", "not_found")],
        )
    return found[relation.source_id], found[relation.task_id]


async def _require_room(work: UnitOfWork, relation: Relation) -> None:
    for task_id in (relation.source_id, relation.task_id):
        if await store.count(work, workspace_id=relation.workspace_id, source_id=task_id) >= MAX_RELATIONS:
            raise Conflict(f"A task has at most {MAX_RELATIONS} relations.", code="TOO_MANY_RELATIONS")


def no_such_relation() -> NotFound:
    """The answer for a relation that does not exist, or that the caller may not see."""
    return NotFound("There is no such relation.", code="RELATION_NOT_FOUND")
