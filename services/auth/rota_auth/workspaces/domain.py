"""A workspace and its members. Pure.

A workspace is one aggregate: each change of its members is its next version, and a membership carries the version at
which it last changed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID


class WorkspaceRole(StrEnum):
    """What a member may do in a workspace."""

    OWNER = "owner"
    ADMIN = "admin"
    MEMBER = "member"
    VIEWER = "viewer"


MANAGERS = frozenset({WorkspaceRole.OWNER, WorkspaceRole.ADMIN})


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """A tenant."""

    id: UUID
    name: str
    owner_id: UUID
    created_at: datetime
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """A user's place in a workspace; `removed_at` is set when it has ended."""

    workspace_id: UUID
    user_id: UUID
    role: WorkspaceRole
    version: int
    joined_at: datetime
    removed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class WorkspaceCreated:
    """A workspace was made."""

    workspace: Workspace


@dataclass(frozen=True, slots=True)
class MemberAdded:
    """A user joined; the workspace is as it is after it."""

    workspace: Workspace
    membership: Membership


@dataclass(frozen=True, slots=True)
class MemberChanged:
    """The role of a member changed at a time; the workspace is as it is after it."""

    workspace: Workspace
    membership: Membership
    time: datetime


@dataclass(frozen=True, slots=True)
class MemberRemoved:
    """A user left; the workspace is as it is after it."""

    workspace: Workspace
    membership: Membership


WorkspaceEvent = WorkspaceCreated | MemberAdded | MemberChanged | MemberRemoved


class ManagersOnly(Exception):
    """The caller's role does not allow it."""


class OwnerOnly(Exception):
    """Only the owner may do it."""


class OwnerStays(Exception):
    """The owner cannot be taken out, nor be anything else, before another member is the owner."""


def create(workspace_id: UUID, *, owner_id: UUID, owner_name: str, now: datetime) -> Sequence[WorkspaceEvent]:
    """A user's own workspace, with the user in it."""
    workspace = Workspace(id=workspace_id, name=f"{owner_name}'s workspace", owner_id=owner_id, created_at=now)
    return [WorkspaceCreated(workspace), add_member(workspace, owner_id, WorkspaceRole.OWNER, now=now)]


def add_member(workspace: Workspace, user_id: UUID, role: WorkspaceRole, *, now: datetime) -> MemberAdded:
    """Let a user in who is not a member."""
    workspace = replace(workspace, version=workspace.version + 1)
    return MemberAdded(
        workspace,
        Membership(workspace_id=workspace.id, user_id=user_id, role=role, version=workspace.version, joined_at=now),
    )


def change_member(
    workspace: Workspace, membership: Membership, role: WorkspaceRole, *, now: datetime
) -> Sequence[MemberChanged]:
    """Give a member another role; nothing when it is the one they have.

    Raises:
        OwnerStays: the member is the owner.
    """
    if membership.role is role:
        return []
    if membership.role is WorkspaceRole.OWNER:
        raise OwnerStays
    workspace = replace(workspace, version=workspace.version + 1)
    return [MemberChanged(workspace, replace(membership, role=role, version=workspace.version), now)]


def hand_over(workspace: Workspace, caller: Membership, heir: Membership, *, now: datetime) -> Sequence[MemberChanged]:
    """Make a member the owner, and the owner an admin; nothing when they are the owner.

    Whoever follows the events never sees two owners.

    Raises:
        OwnerOnly: the caller is not the owner.
    """
    if heir.role is WorkspaceRole.OWNER:
        return []
    if caller.role is not WorkspaceRole.OWNER:
        raise OwnerOnly
    events: list[MemberChanged] = []
    workspace = replace(workspace, owner_id=heir.user_id)
    for membership, role in ((caller, WorkspaceRole.ADMIN), (heir, WorkspaceRole.OWNER)):
        workspace = replace(workspace, version=workspace.version + 1)
        events.append(MemberChanged(workspace, replace(membership, role=role, version=workspace.version), now))
    return events


def remove_member(workspace: Workspace, membership: Membership, *, now: datetime) -> MemberRemoved:
    """Take a member out.

    Raises:
        OwnerStays: the member is the owner.
    """
    if membership.role is WorkspaceRole.OWNER:
        raise OwnerStays
    workspace = replace(workspace, version=workspace.version + 1)
    return MemberRemoved(workspace, replace(membership, version=workspace.version, removed_at=now))


def require_manager(role: WorkspaceRole) -> None:
    """Return if this role manages members.

    Raises:
        ManagersOnly: it does not.
    """
    if role not in MANAGERS:
        raise ManagersOnly
