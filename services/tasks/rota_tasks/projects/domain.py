"""A project: a named group of tasks.

Pure: functions take a project and return the events that follow; the last event holds the project as it then is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A group of tasks; the fields are those of rota.tasks.v1.Project."""

    id: UUID
    workspace_id: UUID
    name: str
    description: str = ""
    color: str = ""
    archived: bool = False
    key: str = ""
    created_by: UUID
    created_at: datetime
    updated_at: datetime
    version: int = 1

    @property
    def etag(self) -> str:
        """Strong entity tag of this version, quotes included."""
        return f'"v{self.version}"'


@dataclass(frozen=True, slots=True)
class ProjectEvent:
    """Something happened to a project; `project` is the project after it."""

    project: Project


class ProjectCreated(ProjectEvent):
    """It was created."""


class ProjectUpdated(ProjectEvent):
    """It changed."""


class ProjectDeleted(ProjectEvent):
    """It was deleted; `project` is as it last was, one version on."""


def edit(project: Project, changes: Mapping[str, Any], *, now: datetime) -> Sequence[ProjectEvent]:
    """Set the named fields; nothing follows when nothing differs."""
    fields = {name: value for name, value in changes.items() if getattr(project, name) != value}
    if not fields:
        return []
    return [ProjectUpdated(replace(project, **fields, updated_at=now, version=project.version + 1))]


def delete(project: Project, *, now: datetime) -> Sequence[ProjectEvent]:
    """End it."""
    return [ProjectDeleted(replace(project, updated_at=now, version=project.version + 1))]
