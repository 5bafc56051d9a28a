"""What reads links, and what is read through them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.errors import NotFound

from rota_tasks.comments import store as comments
from rota_tasks.sharing import store
from rota_tasks.sharing.domain import digest
from rota_tasks.tasks import tree
from rota_tasks.tasks.queries import no_such_task

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal

    from rota_tasks.comments.domain import Comment
    from rota_tasks.projects.domain import Project
    from rota_tasks.sharing.domain import ShareLink
    from rota_tasks.tasks.dependencies import Tasks
    from rota_tasks.tasks.domain import Task


async def get_link(tasks: Tasks, user: UserPrincipal, *, link_id: UUID) -> ShareLink:
    """One link that the user made, or whose workspace or project they manage (see `store.get`).

    Raises:
        NotFound: there is none.
    """
    link = await store.get(tasks.database, user_id=user.user_id, link_id=link_id)
    if link is None:
        raise no_such_link()
    return link


async def list_links(
    tasks: Tasks, user: UserPrincipal, *, workspace_id: UUID, limit: int, before: UUID | None
) -> Sequence[ShareLink]:
    """The newest links of a workspace (see `store.page`).

    Raises:
        NotFound: the user does not belong to the workspace.
    """
    await tasks.memberships.require(user.user_id, workspace_id)
    return await store.page(tasks.database, user_id=user.user_id, workspace_id=workspace_id, limit=limit, before=before)


async def open_link(tasks: Tasks, token: str) -> ShareLink:
    """The link with this secret.

    Raises:
        NotFound: there is none, or it has expired.
    """
    link = await store.opened(tasks.database, digest=digest(token), now=tasks.clock.now())
    if link is None:
        raise no_such_link()
    return link


async def get_shared(tasks: Tasks, link: ShareLink) -> Task | Project:
    """What a link shows.

    Raises:
        NotFound: it has been deleted.
    """
    found: Task | Project | None = None
    if link.task_id is not None:
        found = await store.task(tasks.database, link, task_id=link.task_id)
    elif link.project_id is not None:
        found = await store.project(tasks.database, link, project_id=link.project_id)
    if found is None:
        raise no_such_link()
    return found


async def get_shared_task(tasks: Tasks, link: ShareLink, *, task_id: UUID) -> Task:
    """A task, if the link shows it.

    Raises:
        NotFound: it does not.
    """
    task = await store.task(tasks.database, link, task_id=task_id)
    if task is None:
        raise no_such_task()
    above = await tree.path(tasks.database, workspace_id=link.workspace_id, task_id=task_id) if link.task_id else ()
    if link.task_id not in above and (link.project_id is None or task.project_id != link.project_id):
        raise no_such_task()
    return task


async def list_shared_tasks(tasks: Tasks, link: ShareLink, *, limit: int, after: UUID | None) -> Sequence[Task]:
    """The oldest tasks that a link shows (see `store.tasks`).

    Raises:
        NotFound: what it shows has been deleted.
    """
    found = await store.tasks(tasks.database, link, limit=limit, after=after)
    if not found:
        await get_shared(tasks, link)
    return found


async def list_shared_comments(
    tasks: Tasks, link: ShareLink, *, task_id: UUID, limit: int, after: UUID | None
) -> Sequence[Comment]:
    """What is said about a task that a link shows, oldest first.

    Raises:
        NotFound: the link does not show the task.
    """
    await get_shared_task(tasks, link, task_id=task_id)
    return await comments.page(
        tasks.database, user_id=None, workspace_id=link.workspace_id, task_id=task_id, limit=limit, after=after
    )


def no_such_link() -> NotFound:
    """The answer for a link that does not exist, has ended, or is not the caller's to see."""
    return NotFound("There is no such link, or it has expired or been revoked.", code="SHARE_LINK_NOT_FOUND")
