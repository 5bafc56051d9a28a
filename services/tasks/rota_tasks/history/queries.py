"""What reads the history of tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_tasks.history import store
from rota_tasks.tasks.queries import get_task
from rota_tasks.trash import store as trash

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal

    from rota_tasks.history.domain import Entry
    from rota_tasks.tasks.dependencies import Tasks


async def list_history(
    tasks: Tasks, user: UserPrincipal, *, task_id: UUID, limit: int, before: int | None
) -> Sequence[Entry]:
    """What happened last to a task, which may be in the trash (see `store.page`).

    Raises:
        NotFound: the task does not exist, not even in the trash, or not for the user.
    """
    trashed = await trash.find(tasks.database, user_id=user.user_id, task_id=task_id)
    task = trashed[0].task if trashed is not None else await get_task(tasks, user, task_id=task_id)
    return await store.page(
        tasks.database,
        user_id=user.user_id,
        workspace_id=task.workspace_id,
        task_id=task_id,
        limit=limit,
        before=before,
    )
