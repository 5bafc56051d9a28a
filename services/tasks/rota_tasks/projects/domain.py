"""A project: a named group of tasks, and who is named in it.

Pure: functions take a project and return the events that follow; the last event holds the project as it then is.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID


MAX_MEMBERS = 1_000


class Visibility(StrEnum):
    """Who sees a project, besides the owner and the admins of its workspace."""

    WORKSPACE = "workspace"
    PRIVATE = "private"


class Role(StrEnum):
    """What a member may do in a project; a member of the workspace in the same role may as much in all of it."""

    ADMIN = "admin"
    MEMBER = "member"
    VIEWER = "viewer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A user named in a project; the fields are those of rota.tasks.v1.ProjectMember."""

    user_id: UUID
    role: Role
    added_by: UUID
    added_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A group of tasks; the fields are those of rota.tasks.v1.Project.

    Attributes:
        members: Those named in it, by their ids, where it was read to be changed; empty elsewhere.
    """

    id: UUID
    workspace_id: UUID
    name: str
    description: str = ""
    color: str = ""
    archived: bool = False
    key: str = ""
    visibility: Visibility = Visibility.WORKSPACE
    created_by: UUID
    created_at: datetime
    updated_at: datetime
    version: int = 1
    members: tuple[Member, ...] = field(default=(), compare=False)

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


@dataclass(frozen=True, slots=True)
class MemberEvent(ProjectEvent):
    """Something happened to a member; `member` is it after that, or as it last was."""

    member: Member


class MemberAdded(MemberEvent):
    """A user was named in it."""


class MemberChanged(MemberEvent):
    """A member got another role."""


class MemberRemoved(MemberEvent):
    """A user is named in it no longer."""


def create(project: Project) -> ProjectCreated:
    """Begin it; a private one with whoever creates it as its admin."""
    if project.visibility is Visibility.PRIVATE:
        admin = Member(
            user_id=project.created_by, role=Role.ADMIN, added_by=project.created_by, added_at=project.created_at
        )
        project = replace(project, members=(admin,))
    return ProjectCreated(project)


def edit(project: Project, changes: Mapping[str, Any], *, now: datetime) -> Sequence[ProjectEvent]:
    """Set the named fields; nothing follows when nothing differs."""
    fields = {name: value for name, value in changes.items() if getattr(project, name) != value}
    if not fields:
        return []
    return [ProjectUpdated(replace(project, **fields, updated_at=now, version=project.version + 1))]


def delete(project: Project, *, now: datetime) -> Sequence[ProjectEvent]:
    """End it."""
    return [ProjectDeleted(replace(project, updated_at=now, version=project.version + 1))]


def member_of(project: Project, user_id: UUID) -> Member | None:
    """The member who is this user, if one is."""
    return next((each for each in project.members if each.user_id == user_id), None)


def add_member(project: Project, member: Member, *, now: datetime) -> MemberAdded:
    """Name a user in it who is not.

    Raises:
        OverflowError: it has `MAX_MEMBERS` members.
    """
    if len(project.members) >= MAX_MEMBERS:
        raise OverflowError(f"a project has at most {MAX_MEMBERS:,} members")
    return MemberAdded(_with(project, (*project.members, member), now), member)


def change_member(project: Project, member: Member, role: Role, *, now: datetime) -> Sequence[MemberChanged]:
    """Give a member another role; nothing follows when it is the one they have."""
    if member.role is role:
        return []
    changed = replace(member, role=role)
    others = (each for each in project.members if each.user_id != member.user_id)
    return [MemberChanged(_with(project, (*others, changed), now), changed)]


def remove_member(project: Project, member: Member, *, now: datetime) -> MemberRemoved:
    """Take a member out."""
    others = tuple(each for each in project.members if each.user_id != member.user_id)
    return MemberRemoved(_with(project, others, now), member)


def _with(project: Project, members: tuple[Member, ...], now: datetime) -> Project:
    in_order = tuple(sorted(members, key=lambda each: each.user_id))
    return replace(project, members=in_order, updated_at=now, version=project.version + 1)
