"""Projects as the contract writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota.tasks.v1 import projects_pb2

from rota_tasks.timestamps import timestamp

if TYPE_CHECKING:
    from rota_tasks.projects.domain import Project


def project_message(project: Project) -> projects_pb2.Project:
    """The project as the API shows it."""
    return projects_pb2.Project(
        id=str(project.id),
        workspace_id=str(project.workspace_id),
        name=project.name,
        created_by=str(project.created_by),
        created_at=timestamp(project.created_at),
        updated_at=timestamp(project.updated_at),
        version=project.version,
        etag=project.etag,
    )
