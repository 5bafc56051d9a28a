"""What changes projects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota.events.v1 import events_pb2
from rota_chassis.events.log import NewEvent
from rota_chassis.ids import uuid7
from rota_chassis.memberships import WRITERS

from rota_tasks.projects import store
from rota_tasks.projects.domain import Project
from rota_tasks.projects.messages import project_message

if TYPE_CHECKING:
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal

    from rota_tasks.projects.dependencies import Projects


async def create_project(projects: Projects, user: UserPrincipal, *, workspace_id: UUID, name: str) -> Project:
    """Create a project.

    Raises:
        NotFound: the workspace does not exist for the user.
        PermissionDenied: the user's role does not allow writing.
    """
    await projects.memberships.require(user.user_id, workspace_id, WRITERS)
    now = projects.clock.now()
    project = Project(
        id=uuid7(), workspace_id=workspace_id, name=name, created_by=user.user_id, created_at=now, updated_at=now
    )
    async with projects.database.transaction() as work:
        await store.add(work, project)
        work.append(
            NewEvent(
                workspace_id=workspace_id,
                aggregate_id=project.id,
                aggregate_version=project.version,
                data=events_pb2.ProjectCreated(project=project_message(project)),
                time=now,
            )
        )
    return project
