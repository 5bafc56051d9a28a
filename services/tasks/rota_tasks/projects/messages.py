"""Projects and their events as the contract writes them."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota.events.v1 import events_pb2
from rota.tasks.v1 import project_members_pb2, projects_pb2
from rota_chassis.events.log import NewEvent

from rota_tasks.projects.domain import (
    Member,
    MemberAdded,
    MemberChanged,
    MemberEvent,
    MemberRemoved,
    Project,
    ProjectCreated,
    ProjectDeleted,
    ProjectEvent,
    ProjectUpdated,
    Role,
    Visibility,
)
from rota_tasks.timestamps import timestamp

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

VISIBILITIES = {
    projects_pb2.PROJECT_VISIBILITY_WORKSPACE: Visibility.WORKSPACE,
    projects_pb2.PROJECT_VISIBILITY_PRIVATE: Visibility.PRIVATE,
}
ROLES = {
    project_members_pb2.PROJECT_ROLE_ADMIN: Role.ADMIN,
    project_members_pb2.PROJECT_ROLE_MEMBER: Role.MEMBER,
    project_members_pb2.PROJECT_ROLE_VIEWER: Role.VIEWER,
}
_VISIBILITY_NUMBERS = {each: number for number, each in VISIBILITIES.items()}
_ROLE_NUMBERS = {each: number for number, each in ROLES.items()}
_DATA: Mapping[type[ProjectEvent], Any] = {
    ProjectCreated: events_pb2.ProjectCreated,
    ProjectUpdated: events_pb2.ProjectUpdated,
    ProjectDeleted: events_pb2.ProjectDeleted,
    MemberAdded: events_pb2.ProjectMemberAdded,
    MemberChanged: events_pb2.ProjectMemberChanged,
    MemberRemoved: events_pb2.ProjectMemberRemoved,
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
        visibility=_VISIBILITY_NUMBERS[project.visibility],
        created_by=str(project.created_by),
        created_at=timestamp(project.created_at),
        updated_at=timestamp(project.updated_at),
        version=project.version,
        etag=project.etag,
    )


def project_of(message: projects_pb2.Project, members: Iterable[project_members_pb2.ProjectMember] = ()) -> Project:
    """The project in a message, and those named in it; the inverse of `project_message`."""
    return Project(
        id=UUID(message.id),
        workspace_id=UUID(message.workspace_id),
        name=message.name,
        description=message.description,
        color=message.color,
        archived=message.archived,
        key=message.key,
        # What was written before there were private projects says nothing.
        visibility=VISIBILITIES.get(message.visibility, Visibility.WORKSPACE),
        created_by=UUID(message.created_by),
        created_at=message.created_at.ToDatetime(UTC),
        updated_at=message.updated_at.ToDatetime(UTC),
        version=message.version,
        members=tuple(member_of(each) for each in members),
    )


def member_message(project_id: UUID, member: Member) -> project_members_pb2.ProjectMember:
    """A member as the API shows it."""
    return project_members_pb2.ProjectMember(
        project_id=str(project_id),
        user_id=str(member.user_id),
        role=_ROLE_NUMBERS[member.role],
        added_by=str(member.added_by),
        added_at=timestamp(member.added_at),
    )


def member_of(message: project_members_pb2.ProjectMember) -> Member:
    """The member in a message; the inverse of `member_message`."""
    return Member(
        user_id=UUID(message.user_id),
        role=ROLES[message.role],
        added_by=UUID(message.added_by),
        added_at=message.added_at.ToDatetime(UTC),
    )


def event_message(event: ProjectEvent) -> NewEvent:
    """The event as the log keeps it."""
    project = event.project
    data = _DATA[type(event)](
        project=project_message(project), members=[member_message(project.id, each) for each in project.members]
    )
    if isinstance(event, MemberEvent):
        data.member.CopyFrom(member_message(project.id, event.member))
    return NewEvent(
        workspace_id=project.workspace_id,
        aggregate_id=project.id,
        aggregate_version=project.version,
        data=data,
        time=project.updated_at,
    )
