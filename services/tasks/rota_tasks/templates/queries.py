"""What reads templates, and what they are made from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota_chassis.errors import Conflict, NotFound
from rota_chassis.memberships import WRITERS
from rota_chassis.postgres.work import UnitOfWork

from rota_tasks.copies.domain import Part
from rota_tasks.copies.queries import content_of
from rota_tasks.fields import store as fields
from rota_tasks.projects.queries import get_project
from rota_tasks.tasks.queries import get_task
from rota_tasks.tasks.requirements import require_writer
from rota_tasks.templates import store
from rota_tasks.templates.content import MAX_TASKS
from rota_tasks.templates.extracting import extract

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rota_chassis.identity import UserPrincipal

    from rota_tasks.projects.dependencies import Projects
    from rota_tasks.tasks.dependencies import Tasks
    from rota_tasks.tasks.domain import Task
    from rota_tasks.templates.content import Content
    from rota_tasks.templates.domain import Template


async def get_template(tasks: Tasks, user: UserPrincipal, *, template_id: UUID) -> Template:
    """One template.

    Raises:
        NotFound: it does not exist, or not for the user.
    """
    template = await store.get(tasks.database, user_id=user.user_id, template_id=template_id)
    if template is None:
        await tasks.memberships.refresh(user.user_id)
        template = await store.get(tasks.database, user_id=user.user_id, template_id=template_id)
    if template is None:
        raise no_such_template()
    return template


async def list_templates(
    tasks: Tasks, user: UserPrincipal, *, limit: int, before: UUID | None, workspace_id: UUID | None
) -> Sequence[Template]:
    """The newest templates that the user may see (see `store.page`).

    Raises:
        NotFound: the user does not belong to the workspace.
    """
    if workspace_id is not None:
        await tasks.memberships.require(user.user_id, workspace_id)
    return await store.page(tasks.database, user_id=user.user_id, limit=limit, before=before, workspace_id=workspace_id)


async def content_of_project(
    projects: Projects, user: UserPrincipal, *, workspace_id: UUID, project_id: UUID, comments: bool
) -> Content:
    """What makes a project like this one, with the comments on its tasks if wanted.

    Raises:
        NotFound: it does not exist in the workspace, or not for the user.
        Conflict: it is too large.
    """
    project = await get_project(projects, user, project_id=project_id, roles=WRITERS)
    if project.workspace_id != workspace_id:
        raise NotFound("There is no such project in the workspace.", code="PROJECT_NOT_FOUND")
    include = [Part.COMMENTS] if comments else []
    try:
        found = await content_of(projects.database, user, project, include=include, max_tasks=MAX_TASKS)
    except Conflict as error:
        raise _too_large() from error
    labels = await store.label_names(projects.database, workspace_id=workspace_id, label_ids=_labels(found.tasks))
    return extract(found.tasks, found.items, found.relations, found.fields, labels, comments=found.comments, of=found)


async def content_of_task(
    tasks: Tasks, user: UserPrincipal, *, workspace_id: UUID, task_id: UUID, comments: bool
) -> tuple[Content, UUID | None]:
    """What makes a task like this one, with all below it that the user sees, and comments if wanted; and its project.

    Raises:
        NotFound: it does not exist in the workspace, or not for the user.
        Conflict: too many are below it.
    """
    task = await get_task(tasks, user, task_id=task_id)
    if task.workspace_id != workspace_id:
        raise NotFound("There is no such task in the workspace.", code="TASK_NOT_FOUND")
    await require_writer(tasks.database, user, workspace_id=workspace_id, task_ids=[task_id])
    scope: dict[str, Any] = {"workspace_id": workspace_id}
    async with (
        tasks.database.connection() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        reader = UnitOfWork.joining(connection)
        tree = await store.tree(reader, **scope, user_id=user.user_id, root_id=task_id, limit=MAX_TASKS + 1)
        if len(tree) > MAX_TASKS:
            raise _too_large()
        ids = [each.id for each in tree]
        named = [UUID(key) for key in {key for each in tree for key in each.fields}]
        content = extract(
            tree,
            await store.items_of(reader, **scope, task_ids=ids),
            await store.relations_among(reader, **scope, task_ids=ids),
            await fields.visible(reader, user_id=user.user_id, field_ids=named),
            await store.label_names(reader, **scope, label_ids=_labels(tree)),
            comments=await store.comments_of(reader, **scope, task_ids=ids) if comments else (),
        )
    return content, task.project_id


def no_such_template() -> NotFound:
    """The answer for a template that does not exist, or that the caller may not see."""
    return NotFound("There is no such template.", code="TEMPLATE_NOT_FOUND")


def _labels(tasks: Sequence[Task]) -> Sequence[UUID]:
    return list({each for task in tasks for each in task.label_ids})


def _too_large() -> Conflict:
    return Conflict(
        f"A template makes at most {MAX_TASKS:,} tasks; make it from a part of what there is.",
        code="TEMPLATE_TOO_LARGE",
    )
