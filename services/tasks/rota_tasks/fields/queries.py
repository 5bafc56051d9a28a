"""What reads custom fields."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.errors import NotFound

from rota_tasks.boards.queries import workspace_of
from rota_tasks.fields import store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal

    from rota_tasks.fields.domain import CustomField
    from rota_tasks.projects.dependencies import Projects


async def list_fields(projects: Projects, user: UserPrincipal, *, project_id: UUID) -> Sequence[CustomField]:
    """The custom fields of a project in their order: `domain.MAX_FIELDS` at most.

    Raises:
        NotFound: the project does not exist for the user.
    """
    workspace_id = await workspace_of(projects, user, project_id)
    return await store.fields_of(projects.database, workspace_id=workspace_id, project_id=project_id)


async def get_field(projects: Projects, user: UserPrincipal, *, project_id: UUID, field_id: UUID) -> CustomField:
    """One custom field.

    Raises:
        NotFound: it, or the project, does not exist for the user.
    """
    return one_of(await list_fields(projects, user, project_id=project_id), field_id)


def one_of(fields: Sequence[CustomField], field_id: UUID) -> CustomField:
    """The one with this id.

    Raises:
        NotFound: there is none (code FIELD_NOT_FOUND).
    """
    for field in fields:
        if field.id == field_id:
            return field
    raise NotFound("There is no such custom field in the project.", code="FIELD_NOT_FOUND")
