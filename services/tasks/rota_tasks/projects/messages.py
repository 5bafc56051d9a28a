"""Projects as the contract writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf import timestamp_pb2
from rota.tasks.v1 import projects_pb2

if TYPE_CHECKING:
    from datetime import datetime

    from rota_tasks.projects.domain import Project


def project_message(project: Project) -> projects_pb2.Project:
    """The project as the API shows it."""
    return projects_pb2.Project(
        id=str(project.id),
        workspace_id=str(project.workspace_id),
        name=project.name,
        created_by=str(project.created_by),
        created_at=_timestamp(project.created_at),
        updated_at=_timestamp(project.updated_at),
        version=project.version,
        etag=project.etag,
    )


def _timestamp(value: datetime) -> timestamp_pb2.Timestamp:
    stamp = timestamp_pb2.Timestamp()
    stamp.FromDatetime(value)
    return stamp
