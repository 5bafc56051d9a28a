"""What reads the trash."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.errors import Conflict

from rota_tasks.tasks.queries import no_such_task
from rota_tasks.trash import store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal

    from rota_tasks.tasks.dependencies import Tasks
    from rota_tasks.trash.domain import Trashed


async def get_trashed(tasks: Tasks, user: UserPrincipal, *, task_id: UUID) -> tuple[Trashed, str]:
    """A deleted task, and the user's role in its workspace.

    Raises:
        NotFound: it is not in the trash, or not for the user.
        Conflict: it went with a task above it.
    """
    found = await store.find(tasks.database, user_id=user.user_id, task_id=task_id)
    if found is None:
        await tasks.memberships.refresh(user.user_id)
        found = await store.find(tasks.database, user_id=user.user_id, task_id=task_id)
    if found is None:
        raise no_such_task()
    require_root(found[0])
    return found


def require_root(trashed: Trashed) -> None:
    """Return if the task was deleted by itself.

    Raises:
        Conflict: it went with a task above it (code DELETED_WITH_PARENT).
    """
    if trashed.root_id != trashed.task.id:
        raise Conflict(
            f"The task was deleted along with task {trashed.root_id}; restore or purge that one.",
            code="DELETED_WITH_PARENT",
            metadata={"root_id": str(trashed.root_id)},
        )


async def list_trash(
    tasks: Tasks,
    user: UserPrincipal,
    *,
    limit: int,
    before: tuple[datetime, UUID] | None,
    workspace_id: UUID | None,
) -> Sequence[Trashed]:
    """The last deletions that the user may see (see `store.page`).

    Raises:
        NotFound: the user does not belong to the workspace.
    """
    if workspace_id is not None:
        await tasks.memberships.require(user.user_id, workspace_id)
    return await store.page(tasks.database, user_id=user.user_id, limit=limit, before=before, workspace_id=workspace_id)
