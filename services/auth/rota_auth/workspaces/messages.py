"""Workspaces, members and their events as the contract writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf import timestamp_pb2
from rota.auth.v1 import workspaces_pb2
from rota.events.v1 import events_pb2
from rota_chassis.events.log import NewEvent

from rota_auth.workspaces.domain import (
    MemberAdded,
    MemberChanged,
    MemberRemoved,
    Membership,
    Workspace,
    WorkspaceCreated,
    WorkspaceEvent,
    WorkspaceRole,
)

if TYPE_CHECKING:
    from datetime import datetime

    from google.protobuf.message import Message

    from rota_auth.workspaces.store import Member

ROLE_NUMBERS = {role: workspaces_pb2.WorkspaceRole.Value(f"WORKSPACE_ROLE_{role.name}") for role in WorkspaceRole}
ROLES = {number: role for role, number in ROLE_NUMBERS.items()}


def workspace_message(workspace: Workspace, role: WorkspaceRole | None = None) -> workspaces_pb2.Workspace:
    """The workspace as the API shows it to a member with this role."""
    return workspaces_pb2.Workspace(
        id=str(workspace.id),
        name=workspace.name,
        owner_id=str(workspace.owner_id),
        role=ROLE_NUMBERS[role] if role else workspaces_pb2.WORKSPACE_ROLE_UNSPECIFIED,
        created_at=_timestamp(workspace.created_at),
    )


def member_message(member: Member) -> workspaces_pb2.Member:
    """The member as the API shows them."""
    membership = member.membership
    return workspaces_pb2.Member(
        workspace_id=str(membership.workspace_id),
        user_id=str(membership.user_id),
        role=ROLE_NUMBERS[membership.role],
        name=member.name,
        email=member.email,
        joined_at=_timestamp(membership.joined_at),
    )


def membership_message(membership: Membership) -> workspaces_pb2.Membership:
    """The membership as the other services copy it."""
    return workspaces_pb2.Membership(
        workspace_id=str(membership.workspace_id),
        user_id=str(membership.user_id),
        role=ROLE_NUMBERS[membership.role],
        version=membership.version,
    )


def event_message(event: WorkspaceEvent) -> NewEvent:
    """The event as the log keeps it."""
    workspace = event.workspace
    return NewEvent(
        workspace_id=workspace.id,
        aggregate_id=workspace.id,
        aggregate_version=workspace.version,
        data=_data(event),
        time=_time(event),
    )


def _data(event: WorkspaceEvent) -> Message:
    match event:
        case WorkspaceCreated():
            return events_pb2.WorkspaceCreated(workspace=workspace_message(event.workspace))
        case MemberAdded():
            return events_pb2.WorkspaceMemberAdded(membership=membership_message(event.membership))
        case MemberChanged():
            return events_pb2.WorkspaceMemberChanged(membership=membership_message(event.membership))
        case MemberRemoved():
            return events_pb2.WorkspaceMemberRemoved(membership=membership_message(event.membership))


def _time(event: WorkspaceEvent) -> datetime:
    if isinstance(event, WorkspaceCreated):
        return event.workspace.created_at
    if isinstance(event, MemberChanged):
        return event.time
    return event.membership.removed_at or event.membership.joined_at


def _timestamp(value: datetime) -> timestamp_pb2.Timestamp:
    stamp = timestamp_pb2.Timestamp()
    stamp.FromDatetime(value)
    return stamp
