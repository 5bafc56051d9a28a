"""What makes and revokes links, and what is done through them.

Two at once: links are counted under a lock of the workspace's, so that they do not become too many; of two who revoke
one link the second finds none. A call that dies before its commit has made no link, and its secret is nobody's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.errors import Conflict, PermissionDenied
from rota_chassis.ids import uuid7

from rota_tasks.comments import commands as comments
from rota_tasks.projects.queries import get_project
from rota_tasks.sharing import queries, store
from rota_tasks.sharing.domain import MAX_LINKS, Access, ShareLink, digest, new_token
from rota_tasks.sharing.messages import created_message, revoked_message
from rota_tasks.tasks import requirements, tree
from rota_tasks.tasks import store as task_store
from rota_tasks.tasks.queries import get_task

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal
    from rota_chassis.requests import Request

    from rota_tasks.comments.domain import Comment
    from rota_tasks.projects.dependencies import Projects
    from rota_tasks.tasks.dependencies import Tasks


async def create_link(
    tasks: Tasks,
    projects: Projects,
    user: UserPrincipal,
    *,
    task_id: UUID | None,
    project_id: UUID | None,
    access: Access,
    expires_at: datetime | None,
) -> tuple[ShareLink, str]:
    """Make a link to a task or a project; the link and its secret.

    Raises:
        NotFound: the task or project does not exist for the user.
        PermissionDenied: the user's role does not allow writing.
        Conflict: it would have expired already, or the workspace has as many links as it may.
    """
    now = tasks.clock.now()
    if expires_at is not None and expires_at <= now:
        raise Conflict("`expires_at` has passed; give a time to come.", code="EXPIRED_ALREADY")
    if task_id is not None:
        task = await get_task(tasks, user, task_id=task_id)
        workspace_id, shown_in = task.workspace_id, task.project_id
        await requirements.require_writer(tasks.database, user, workspace_id=workspace_id, task_ids=[task_id])
    elif project_id is not None:
        workspace_id = (await get_project(projects, user, project_id=project_id)).workspace_id
        shown_in = project_id
        await requirements.require_project(tasks.database, user, workspace_id, project_id)
    else:
        raise ValueError("a link shows a task or a project")
    link, token = (
        ShareLink(
            id=uuid7(),
            workspace_id=workspace_id,
            task_id=task_id,
            project_id=project_id,
            access=access,
            expires_at=expires_at,
            created_by=user.user_id,
            created_at=now,
        ),
        new_token(),
    )
    async with tasks.database.transaction() as work:
        await tree.lock(work, workspace_id, exclusive=True)
        if await store.count(work, workspace_id=workspace_id) >= MAX_LINKS:
            raise Conflict(f"A workspace has at most {MAX_LINKS} links; revoke one first.", code="TOO_MANY_SHARE_LINKS")
        await store.add(work, link, digest=digest(token))
        work.append(created_message(link, project_id=shown_in))
    return link, token


async def revoke_link(tasks: Tasks, user: UserPrincipal, *, link_id: UUID) -> None:
    """Revoke a link that the user made, or whose workspace or project they manage (see `store.get`).

    Raises:
        NotFound: there is none.
    """
    async with tasks.database.transaction() as work:
        link = await store.lock(work, user_id=user.user_id, link_id=link_id)
        if link is None:
            raise queries.no_such_link()
        await store.revoke(work, link)
        shown_in = link.project_id
        if link.task_id is not None:
            found = await task_store.projects_of(work, workspace_id=link.workspace_id, task_ids=[link.task_id])
            shown_in = found.get(link.task_id)
        work.append(revoked_message(link, project_id=shown_in, now=tasks.clock.now()))


async def comment_through(
    tasks: Tasks, user: UserPrincipal, link: ShareLink, *, task_id: UUID, text: str, request: Request | None
) -> Comment:
    """Say something about a task that a link shows, in the user's own name.

    Raises:
        PermissionDenied: the link lets people read only.
        NotFound: the link does not show the task.
        Unprocessable: the request id was used for another content.
    """
    if link.access is not Access.COMMENT:
        raise PermissionDenied("This link lets people read only.", code="SHARE_LINK_READ_ONLY")
    task = await queries.get_shared_task(tasks, link, task_id=task_id)
    return await comments.write(
        tasks,
        user,
        workspace_id=task.workspace_id,
        task_id=task_id,
        text=text,
        mentioned_ids=(),
        request=request,
        through_link=True,
    )
