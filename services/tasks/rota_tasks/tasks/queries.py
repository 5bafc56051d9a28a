"""What reads tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota_chassis.errors import NotFound

from rota_tasks.tasks import store

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal

    from rota_tasks.tasks.dependencies import Tasks
    from rota_tasks.tasks.domain import Task


async def get_task(tasks: Tasks, user: UserPrincipal, *, task_id: UUID) -> Task:
    """One task.

    Raises:
        NotFound: it does not exist, or not for the user.
    """
    task = await store.get(tasks.database, user_id=user.user_id, task_id=task_id)
    if task is None:
        await tasks.memberships.refresh(user.user_id)
        task = await store.get(tasks.database, user_id=user.user_id, task_id=task_id)
    if task is None:
        raise no_such_task()
    return task


async def list_tasks(
    tasks: Tasks, user: UserPrincipal, *, limit: int, before: UUID | None, filters: Mapping[str, Any]
) -> Sequence[Task]:
    """The newest tasks that the user may see (see `store.page`).

    Raises:
        NotFound: the filter names a workspace that the user does not belong to.
    """
    if filters["workspace_id"] is not None:
        await tasks.memberships.require(user.user_id, filters["workspace_id"])
    return await store.page(tasks.database, user_id=user.user_id, limit=limit, before=before, filters=filters)


async def list_subtasks(
    tasks: Tasks, user: UserPrincipal, *, task_id: UUID, limit: int, after: UUID | None
) -> Sequence[Task]:
    """The oldest tasks directly below a task (see `store.subtasks`).

    Raises:
        NotFound: the task does not exist, or not for the user.
    """
    task = await get_task(tasks, user, task_id=task_id)
    return await store.subtasks(tasks.database, task, user_id=user.user_id, limit=limit, after=after)


def no_such_task() -> NotFound:
    """The answer for a task that does not exist, or that the caller may not see."""
    return NotFound("There is no such task.", code="TASK_NOT_FOUND")
