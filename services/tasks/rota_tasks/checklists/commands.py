"""What changes checklists: one function a use case, one transaction each.

Two at once: the row of the task is locked first, so that changes of one checklist take turns with one another, with
changes of the task, whose guards may count the items, and with its deletion. Dying before the commit leaves nothing.
A call that is repeated with the same request id returns the item of the first.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rota_chassis.errors import Conflict, NotFound, Violation
from rota_chassis.ids import uuid7

from rota_tasks.boards.domain import MAX_POSITION, between, spread
from rota_tasks.checklists import domain, queries, store
from rota_tasks.checklists.domain import MAX_ITEMS, ChecklistItem
from rota_tasks.checklists.messages import event_message
from rota_tasks.preconditions import require_version
from rota_tasks.tasks import requirements
from rota_tasks.tasks.commands import lock
from rota_tasks.tasks.queries import get_task, no_such_task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal
    from rota_chassis.postgres.work import UnitOfWork
    from rota_chassis.requests import Request

    from rota_tasks.checklists.domain import ChecklistItemEvent
    from rota_tasks.tasks.dependencies import Tasks
    from rota_tasks.tasks.domain import Task


async def create_item(
    tasks: Tasks,
    user: UserPrincipal,
    *,
    task_id: UUID,
    title: str,
    assignee_id: UUID | None,
    request: Request | None,
) -> ChecklistItem:
    """Add an item, as the last of its task.

    Raises:
        NotFound: the task does not exist for the user.
        PermissionDenied: the user's role does not allow writing.
        Conflict: the assignee is not a member, or the task has as many items as it may.
        Unprocessable: the request id was used for another content.
    """
    workspace_id = await _workspace_of(tasks, user, task_id, assignee_id)
    item_id = uuid7()
    async with tasks.database.transaction() as work:
        made = await store.REQUESTS.record(
            work, request, workspace_id=workspace_id, user_id=user.user_id, makes=item_id
        )
        if made is not None:
            return await _made_before(work, workspace_id, task_id, made)
        task = await _hold(work, user, task_id)
        items = await store.checklist(work, workspace_id=task.workspace_id, task_id=task_id)
        if len(items) >= MAX_ITEMS:
            raise Conflict(
                f"A checklist has at most {MAX_ITEMS} items; make subtasks of some.", code="TOO_MANY_CHECKLIST_ITEMS"
            )
        now = tasks.clock.now()
        item = ChecklistItem(
            id=item_id,
            workspace_id=workspace_id,
            task_id=task_id,
            title=title,
            assignee_id=assignee_id,
            position=between(items[-1].position if items else None, None),
            created_by=user.user_id,
            created_at=now,
            updated_at=now,
        )
        await _apply(work, task, domain.ChecklistItemCreated(item))
    return item


async def edit_item(
    tasks: Tasks, user: UserPrincipal, *, task_id: UUID, item_id: UUID, changes: Mapping[str, Any], if_match: str
) -> ChecklistItem:
    """Set title, is_done or assignee_id of an item; `before_id` or `after_id` among the changes moves it.

    Both are as in `domain.place`, but that an `after_id` of None alone puts it in front.

    Raises:
        NotFound: the task does not exist for the user, or has no such item or neighbor.
        PermissionDenied: the user's role does not allow writing.
        Conflict: the assignee is not a member.
        PreconditionFailed: the item's entity tag is another.
    """
    await _workspace_of(tasks, user, task_id, changes.get("assignee_id"))
    async with tasks.database.transaction() as work:
        task = await _hold(work, user, task_id)
        item = await _find(work, task, item_id, if_match)
        fields = {name: value for name, value in changes.items() if name not in ("before_id", "after_id")}
        now = tasks.clock.now()
        if len(fields) < len(changes):
            fields["position"] = await _position(work, task, item, changes, by=user.user_id, now=now)
        events = domain.edit(item, fields, by=user.user_id, now=now)
        for event in events:
            await _apply(work, task, event)
    return events[-1].item if events else item


async def delete_item(tasks: Tasks, user: UserPrincipal, *, task_id: UUID, item_id: UUID, if_match: str) -> None:
    """Delete an item.

    Raises:
        NotFound: the task does not exist for the user, or has no such item.
        PermissionDenied: the user's role does not allow writing.
        PreconditionFailed: the item's entity tag is another.
    """
    await get_task(tasks, user, task_id=task_id)
    async with tasks.database.transaction() as work:
        task = await _hold(work, user, task_id)
        item = await _find(work, task, item_id, if_match)
        await _apply(work, task, domain.delete(item, now=tasks.clock.now()))


async def _workspace_of(tasks: Tasks, user: UserPrincipal, task_id: UUID, assignee_id: UUID | None) -> UUID:
    """The workspace of a task that the user may see, if whoever is to be assigned belongs to it."""
    task = await get_task(tasks, user, task_id=task_id)
    if assignee_id is not None:
        await requirements.require_members(
            tasks, task.workspace_id, task.project_id, [assignee_id], field="assignee_id"
        )
    return task.workspace_id


async def _hold(work: UnitOfWork, user: UserPrincipal, task_id: UUID) -> Task:
    task = await lock(work, user, task_id, "")
    if task is None:
        raise no_such_task()
    return task


async def _find(work: UnitOfWork, task: Task, item_id: UUID, if_match: str) -> ChecklistItem:
    item = await store.get(work, workspace_id=task.workspace_id, task_id=task.id, item_id=item_id)
    if item is None:
        raise queries.no_such_item()
    require_version(if_match, version=item.version, etag=item.etag)
    return item


async def _position(
    work: UnitOfWork, task: Task, item: ChecklistItem, changes: Mapping[str, Any], *, by: UUID, now: datetime
) -> str:
    items = await store.checklist(work, workspace_id=item.workspace_id, task_id=item.task_id)
    position = _place(items, item, changes)
    if len(position) <= MAX_POSITION:
        return position
    positions = spread(items, item.id, position)
    for other in items:
        if other.id != item.id:
            for event in domain.edit(other, {"position": positions[other.id]}, by=by, now=now):
                await _apply(work, task, event)
    return positions[item.id]


def _place(items: Sequence[ChecklistItem], item: ChecklistItem, changes: Mapping[str, Any]) -> str:
    before_id, after_id = changes.get("before_id"), changes.get("after_id")
    if before_id is None and after_id is None and "after_id" in changes:
        return domain.first_place(items, item)
    try:
        return domain.place(items, item, before_id=before_id, after_id=after_id)
    except KeyError as error:
        field = "after_id" if before_id is None else "before_id"
        raise NotFound(
            "There is no such item in the checklist to stand beside.",
            code="NEIGHBOR_NOT_FOUND",
            violations=[Violation(field, "is not another item of the task", "not_found")],
        ) from error


async def _made_before(work: UnitOfWork, workspace_id: UUID, task_id: UUID, item_id: UUID) -> ChecklistItem:
    item = await store.get(work, workspace_id=workspace_id, task_id=task_id, item_id=item_id)
    if item is None:
        raise NotFound("The item that this call made has been deleted.", code="CHECKLIST_ITEM_NOT_FOUND")
    return item


async def _apply(work: UnitOfWork, task: Task, event: ChecklistItemEvent) -> None:
    work.append(event_message(replace(event, project_id=task.project_id)))
    await store.project(work, event)
