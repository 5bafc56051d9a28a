"""What reads relations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_tasks.relations import store
from rota_tasks.tasks.queries import get_task

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal

    from rota_tasks.relations.domain import Relation
    from rota_tasks.tasks.dependencies import Tasks


async def list_relations(
    tasks: Tasks, user: UserPrincipal, *, task_id: UUID, limit: int, after: tuple[str, UUID] | None
) -> Sequence[Relation]:
    """The relations of a task, as it sees them (see `store.page`).

    Raises:
        NotFound: the task does not exist, or not for the user.
    """
    task = await get_task(tasks, user, task_id=task_id)
    return await store.page(
        tasks.database,
        user_id=user.user_id,
        workspace_id=task.workspace_id,
        source_id=task_id,
        limit=limit,
        after=after,
    )
