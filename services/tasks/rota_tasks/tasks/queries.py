"""What reads tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota_chassis.errors import NotFound

from rota_tasks.labels import store as labels
from rota_tasks.tasks import filtering, listing, rare, store

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from rota_chassis.filters.ast import Filter
    from rota_chassis.identity import UserPrincipal

    from rota_tasks.tasks.dependencies import Tasks
    from rota_tasks.tasks.domain import Task
    from rota_tasks.tasks.listing import Cursor
    from rota_tasks.tasks.ordering import Order


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


async def get_task_by_key(tasks: Tasks, user: UserPrincipal, *, workspace_id: UUID, key: str) -> Task:
    """The task that has a key, or had it before.

    Raises:
        NotFound: there is none, or not for the user.
    """
    task = await store.get_by_key(tasks.database, user_id=user.user_id, workspace_id=workspace_id, key=key)
    if task is None:
        await tasks.memberships.refresh(user.user_id)
        task = await store.get_by_key(tasks.database, user_id=user.user_id, workspace_id=workspace_id, key=key)
    if task is None:
        raise no_such_task()
    return task


async def get_task_as_of(tasks: Tasks, user: UserPrincipal, *, task_id: UUID, time: datetime) -> Task:
    """One task as it was at a time.

    Raises:
        NotFound: it did not exist then, or has been purged, or does not exist for the user.
    """
    task = await store.get_as_of(tasks.database, user_id=user.user_id, task_id=task_id, time=time)
    if task is None:
        await tasks.memberships.refresh(user.user_id)
        task = await store.get_as_of(tasks.database, user_id=user.user_id, task_id=task_id, time=time)
    if task is None:
        raise NotFound("There was no such task at that time; ask for a time of its life.", code="TASK_NOT_FOUND")
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


async def find_tasks(
    tasks: Tasks,
    user: UserPrincipal,
    *,
    limit: int,
    after: Cursor | None,
    order: Order,
    where: Filter | None,
    favourite: bool,
    workspace_id: UUID | None,
) -> Sequence[tuple[Task, Cursor]]:
    """The first tasks that a filter lets through, in an order (see `listing.page`).

    Raises:
        NotFound: the user does not belong to the workspace.
    """
    if workspace_id is not None:
        await tasks.memberships.require(user.user_id, workspace_id)
    return await listing.page(
        tasks.database,
        user_id=user.user_id,
        limit=limit,
        after=after,
        order=order,
        where=await looked_up(tasks, user, where, workspace_id),
        favourite=favourite,
        workspace_id=workspace_id,
    )


async def list_all_tasks(
    tasks: Tasks, *, workspace_id: UUID | None, limit: int, after: tuple[UUID, UUID] | None
) -> Sequence[Task]:
    """Tasks whoever may see them, for an administrator of the installation (see `store.all_tasks`)."""
    return await store.all_tasks(tasks.database, workspace_id=workspace_id, limit=limit, after=after)


async def list_subtasks(
    tasks: Tasks, user: UserPrincipal, *, task_id: UUID, limit: int, after: UUID | None
) -> Sequence[Task]:
    """The oldest tasks directly below a task (see `store.subtasks`).

    Raises:
        NotFound: the task does not exist, or not for the user.
    """
    task = await get_task(tasks, user, task_id=task_id)
    return await store.subtasks(tasks.database, task, user_id=user.user_id, limit=limit, after=after)


async def looked_up(
    tasks: Tasks, user: UserPrincipal, where: Filter | None, workspace_id: UUID | None
) -> Filter | None:
    """The filter with its labels and what hardly any task passes looked up; for each a query more, if there is any."""
    if where is None:
        return None
    where = await _with_labels(tasks, user, where)
    parts = await rare.parts(tasks.database, where, user_id=user.user_id, workspace_id=workspace_id)
    return rare.with_rare(where, parts)


async def _with_labels(tasks: Tasks, user: UserPrincipal, where: Filter) -> Filter:
    named = filtering.labels_named(where)
    if not named:
        return where
    values = {value for each in named for value in each.values}
    found = await labels.living(
        tasks.database,
        user_id=user.user_id,
        names=[value for value in values if isinstance(value, str)],
        ids=[value for value in values if isinstance(value, UUID)],
    )
    ids = {each: [key for key, name in found if key in each.values or name in each.values] for each in named}
    return filtering.with_labels(where, ids)


def no_such_task() -> NotFound:
    """The answer for a task that does not exist, or that the caller may not see."""
    return NotFound("There is no such task.", code="TASK_NOT_FOUND")
