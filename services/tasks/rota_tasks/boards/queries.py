"""What reads boards, states and sections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.errors import NotFound

from rota_tasks.boards import store
from rota_tasks.projects import queries as projects_queries

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal

    from rota_tasks.boards.store import AnyColumn
    from rota_tasks.projects.dependencies import Projects


async def workspace_of(
    projects: Projects, user: UserPrincipal, project_id: UUID, roles: frozenset[str] | None = None
) -> UUID:
    """The workspace of a project that the user may see, in one of the roles if any are given.

    Raises:
        NotFound: the project does not exist for the user.
        PermissionDenied: the user's role is another.
    """
    return (await projects_queries.get_project(projects, user, project_id=project_id, roles=roles)).workspace_id


async def list_columns(
    projects: Projects, user: UserPrincipal, kind: type[AnyColumn], *, project_id: UUID
) -> Sequence[AnyColumn]:
    """The states, or the sections, of a project in their order: `domain.MAX_COLUMNS` at most.

    Raises:
        NotFound: the project does not exist for the user.
    """
    workspace_id = await workspace_of(projects, user, project_id)
    return await store.columns(projects.database, kind, workspace_id=workspace_id, project_id=project_id)


async def get_column(
    projects: Projects, user: UserPrincipal, kind: type[AnyColumn], *, project_id: UUID, column_id: UUID
) -> AnyColumn:
    """One state or section.

    Raises:
        NotFound: it, or the project, does not exist for the user.
    """
    return one_of(await list_columns(projects, user, kind, project_id=project_id), kind, column_id)


def one_of(columns: Sequence[AnyColumn], kind: type[AnyColumn], column_id: UUID) -> AnyColumn:
    """The one with this id.

    Raises:
        NotFound: there is none (code STATE_NOT_FOUND or SECTION_NOT_FOUND).
    """
    for column in columns:
        if column.id == column_id:
            return column
    named = kind.__name__
    raise NotFound(f"There is no such {named.lower()} in the project.", code=f"{named.upper()}_NOT_FOUND")
