"""What reads checklists."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.errors import NotFound

from rota_tasks.checklists import store
from rota_tasks.tasks.queries import get_task

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal

    from rota_tasks.checklists.domain import ChecklistItem
    from rota_tasks.tasks.dependencies import Tasks


async def get_item(tasks: Tasks, user: UserPrincipal, *, task_id: UUID, item_id: UUID) -> ChecklistItem:
    """One item.

    Raises:
        NotFound: the task does not exist for the user, or has no such item.
    """
    task = await get_task(tasks, user, task_id=task_id)
    item = await store.get(tasks.database, workspace_id=task.workspace_id, task_id=task_id, item_id=item_id)
    if item is None:
        raise no_such_item()
    return item


async def list_items(
    tasks: Tasks, user: UserPrincipal, *, task_id: UUID, limit: int, after: tuple[str, UUID] | None
) -> Sequence[ChecklistItem]:
    """The first items of a task in their order (see `store.page`).

    Raises:
        NotFound: the task does not exist, or not for the user.
    """
    task = await get_task(tasks, user, task_id=task_id)
    return await store.page(tasks.database, workspace_id=task.workspace_id, task_id=task_id, limit=limit, after=after)


def no_such_item() -> NotFound:
    """The answer for an item that the task does not have."""
    return NotFound("There is no such item in the checklist of this task.", code="CHECKLIST_ITEM_NOT_FOUND")
