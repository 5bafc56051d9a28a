"""Projects and their events as the contract writes them."""

from __future__ import annotations

from datetime import UTC
from uuid import UUID

from rota.events.v1 import events_pb2
from rota.tasks.v1 import projects_pb2
from rota_chassis.events.log import NewEvent

from rota_tasks.projects.domain import Project, ProjectCreated, ProjectDeleted, ProjectEvent, ProjectUpdated
from rota_tasks.timestamps import timestamp

_DATA = {
    ProjectCreated: events_pb2.ProjectCreated,
    ProjectUpdated: events_pb2.ProjectUpdated,
    ProjectDeleted: events_pb2.ProjectDeleted,
}


def project_message(project: Project) -> projects_pb2.Project:
    """The project as the API shows it."""
    return projects_pb2.Project(
        id=str(project.id),
        workspace_id=str(project.workspace_id),
        name=project.name,
        description=project.description,
        color=project.color,
        archived=project.archived,
        key=project.key,
        created_by=str(project.created_by),
        created_at=timestamp(project.created_at),
        updated_at=timestamp(project.updated_at),
        version=project.version,
        etag=project.etag,
    )


def project_of(message: projects_pb2.Project) -> Project:
    """The project in a message; the inverse of `project_message`."""
    return Project(
        id=UUID(message.id),
        workspace_id=UUID(message.workspace_id),
        name=message.name,
        description=message.description,
        color=message.color,
        archived=message.archived,
        key=message.key,
        created_by=UUID(message.created_by),
        created_at=message.created_at.ToDatetime(UTC),
        updated_at=message.updated_at.ToDatetime(UTC),
        version=message.version,
    )


def event_message(event: ProjectEvent) -> NewEvent:
    """The event as the log keeps it."""
    project = event.project
    return NewEvent(
        workspace_id=project.workspace_id,
        aggregate_id=project.id,
        aggregate_version=project.version,
        data=_DATA[type(event)](project=project_message(project)),
        time=project.updated_at,
    )
