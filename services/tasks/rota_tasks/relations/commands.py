"""What changes relations: one function a use case, one transaction each.

Two at once take turns on the structure of the workspace (`tasks.tree.lock`), so that no two relations together close
a circle that neither closes alone. A call that is delivered twice finds the relation that the first has made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.errors import Conflict, NotFound, Violation
from rota_chassis.ids import uuid7
from rota_chassis.memberships import WRITERS

from rota_tasks.executions import unblocking
from rota_tasks.relations import domain, store
from rota_tasks.relations.domain import MAX_RELATIONS, Relation, RelationType
from rota_tasks.relations.messages import event_message
from rota_tasks.tasks import queries, tree

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal
    from rota_chassis.postgres.database import UnitOfWork

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
    workspace_id = await _workspace(tasks, user, source_id)
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
        return await add(work, relation)


async def add(work: UnitOfWork, relation: Relation) -> Relation:
    """Relate tasks in a transaction that holds the structure of the workspace alone (see `create_relation`)."""
    if relation.source_id == relation.task_id:
        raise Conflict(
            "A task cannot be related to itself.",
            code="SELF_RELATION",
            violations=[Violation("task_id", "is the task itself", "self_relation")],
        )
    existing = await store.get(
        work,
        workspace_id=relation.workspace_id,
        source_id=relation.source_id,
        kind=relation.type,
        task_id=relation.task_id,
    )
    if existing is not None:
        return existing
    await _require_tasks(work, relation)
    await _require_room(work, relation)
    walk = domain.closing_walk(relation)
    if walk is not None and await store.leads(work, workspace_id=relation.workspace_id, walk=walk):
        raise Conflict(
            "This relation would close a circle of tasks.",
            code="RELATION_CYCLE",
            violations=[Violation("task_id", "leads back to the task", "cycle")],
        )
    added = domain.add(relation)
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
    workspace_id = await _workspace(tasks, user, source_id)
    async with tasks.database.transaction() as work:
        await tree.lock(work, workspace_id, exclusive=True)
        relation = await store.get(work, workspace_id=workspace_id, source_id=source_id, kind=kind, task_id=task_id)
        if relation is None:
            raise NotFound("There is no such relation.", code="RELATION_NOT_FOUND")
        await end(work, relation, now=tasks.clock.now())


async def end(work: UnitOfWork, relation: Relation, *, now: datetime) -> None:
    """End a relation that is there, in a transaction that holds the structure of the workspace alone."""
    removed = domain.remove(relation, now=now)
    await store.project(work, removed)
    work.append(event_message(removed))
    await _follow(work, relation)


async def _follow(work: UnitOfWork, relation: Relation) -> None:
    if RelationType.BLOCKS in (relation.type, relation.inverse.type):
        pair = (relation.source_id, relation.task_id)
        await unblocking.follow_relation(work, workspace_id=relation.workspace_id, task_ids=pair)


async def _workspace(tasks: Tasks, user: UserPrincipal, task_id: UUID) -> UUID:
    """The workspace of a task that the user may change."""
    workspace_id = (await queries.get_task(tasks, user, task_id=task_id)).workspace_id
    await tasks.memberships.require(user.user_id, workspace_id, WRITERS)
    return workspace_id


async def _require_tasks(work: UnitOfWork, relation: Relation) -> None:
    if not await tree.path(work, workspace_id=relation.workspace_id, task_id=relation.source_id):
        raise queries.no_such_task()
    if not await tree.path(work, workspace_id=relation.workspace_id, task_id=relation.task_id):
        raise NotFound(
            "There is no such task in the workspace to relate to.",
            code="RELATED_TASK_NOT_FOUND",
            violations=[Violation("task_id", "is not a task of the workspace", "not_found")],
        )


async def _require_room(work: UnitOfWork, relation: Relation) -> None:
    for task_id in (relation.source_id, relation.task_id):
        if await store.count(work, workspace_id=relation.workspace_id, source_id=task_id) >= MAX_RELATIONS:
            raise Conflict(f"A task has at most {MAX_RELATIONS} relations.", code="TOO_MANY_RELATIONS")
