"""Giving a task the checklist of another, with nothing done. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.ids import uuid7

from rota_tasks.checklists.domain import ChecklistItem

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rota_tasks.tasks.domain import Task


def unticked(items: Iterable[ChecklistItem], task: Task) -> Sequence[ChecklistItem]:
    """The items of another task for a new one, in their order and none of them done.

    An item keeps its assignee only if the task has the same.
    """
    return [
        ChecklistItem(
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
        for item in items
    ]
