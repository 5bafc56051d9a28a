"""Giving a task the checklist of another, with nothing done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.ids import uuid7

from rota_tasks.checklists import store
from rota_tasks.checklists.domain import ChecklistItem, ChecklistItemCreated
from rota_tasks.checklists.messages import event_message

if TYPE_CHECKING:
    from uuid import UUID

    from rota_chassis.postgres.database import UnitOfWork

    from rota_tasks.tasks.domain import Task


async def carry(work: UnitOfWork, *, source_id: UUID, task: Task) -> None:
    """Give a new task the items of another of its workspace, in their order and none of them done.

    An item keeps its assignee only if the task has the same.
    """
    for item in await store.checklist(work, workspace_id=task.workspace_id, task_id=source_id):
        copy = ChecklistItem(
            id=uuid7(),
            workspace_id=task.workspace_id,
            task_id=task.id,
            title=item.title,
            assignee_id=item.assignee_id if item.assignee_id in task.assignee_ids else None,
            position=item.position,
            created_by=item.created_by,
            created_at=task.created_at,
            updated_at=task.created_at,
        )
        event = ChecklistItemCreated(copy)
        work.append(event_message(event))
        await store.project(work, event)
