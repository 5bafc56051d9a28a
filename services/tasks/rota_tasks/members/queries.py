"""What reads who is named in projects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.errors import NotFound

from rota_tasks.projects import store
from rota_tasks.projects.queries import get_project

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal

    from rota_tasks.projects.dependencies import Projects
    from rota_tasks.projects.domain import Member


async def get_member(projects: Projects, user: UserPrincipal, *, project_id: UUID, user_id: UUID) -> Member:
    """One member.

    Raises:
        NotFound: the project does not exist for the user, or has no such member.
    """
    project = await get_project(projects, user, project_id=project_id)
    member = await store.member(projects.database, project, user_id=user_id)
    if member is None:
        raise no_such_member()
    return member


async def list_members(
    projects: Projects, user: UserPrincipal, *, project_id: UUID, limit: int, after: UUID | None
) -> Sequence[Member]:
    """The members of a project (see `store.members`).

    Raises:
        NotFound: the project does not exist for the user.
    """
    project = await get_project(projects, user, project_id=project_id)
    return await store.members(projects.database, project, limit=limit, after=after)


async def private_projects(projects: Projects, *, workspace_id: UUID) -> Sequence[tuple[UUID, int, Sequence[UUID]]]:
    """The private projects of a workspace, for the other services (see `store.private`)."""
    return await store.private(projects.database, workspace_id=workspace_id)


def no_such_member() -> NotFound:
    """The answer for a user who is not named in a project."""
    return NotFound("The project has no such member.", code="PROJECT_MEMBER_NOT_FOUND")
