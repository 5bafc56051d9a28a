"""What reads projects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.errors import NotFound
from rota_chassis.memberships import require_role

from rota_tasks.projects import store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal

    from rota_tasks.projects.dependencies import Projects
    from rota_tasks.projects.domain import Project


async def get_project(
    projects: Projects, user: UserPrincipal, *, project_id: UUID, roles: frozenset[str] | None = None
) -> Project:
    """One project, for a user in one of the roles, if any are given.

    Raises:
        NotFound: it does not exist, or not for the user.
        PermissionDenied: the user's role in it is another.
    """
    project = await store.get(projects.database, user_id=user.user_id, project_id=project_id)
    if project is None:
        await projects.memberships.refresh(user.user_id)
        project = await store.get(projects.database, user_id=user.user_id, project_id=project_id)
    if project is None:
        raise no_such_project()
    if roles is not None:
        scope = {"workspace_id": project.workspace_id, "project_id": project_id}
        role = await store.role(projects.database, user_id=user.user_id, **scope)
        if role is None:
            raise no_such_project()
        require_role(role, roles)
    return project


async def list_projects(
    projects: Projects, user: UserPrincipal, *, limit: int, before: UUID | None, workspace_id: UUID | None
) -> Sequence[Project]:
    """The newest projects that the user may see (see `store.page`).

    Raises:
        NotFound: the user does not belong to the workspace.
    """
    if workspace_id is not None:
        await projects.memberships.require(user.user_id, workspace_id)
    return await store.page(
        projects.database, user_id=user.user_id, limit=limit, before=before, workspace_id=workspace_id
    )


def no_such_project() -> NotFound:
    """The answer for a project that does not exist, or that the caller may not see."""
    return NotFound("There is no such project.", code="PROJECT_NOT_FOUND")
