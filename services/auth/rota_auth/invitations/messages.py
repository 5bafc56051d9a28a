"""Invitations and their events as the contract writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf import timestamp_pb2
from rota.auth.v1 import invitations_pb2
from rota.events.v1 import events_pb2
from rota_chassis.events.log import NewEvent

from rota_auth.invitations.domain import (
    Invitation,
    InvitationAccepted,
    InvitationCreated,
    InvitationEvent,
    InvitationResent,
    InvitationRevoked,
)
from rota_auth.workspaces.messages import ROLE_NUMBERS

if TYPE_CHECKING:
    from datetime import datetime

    from google.protobuf.message import Message

_DATA = {
    InvitationCreated: events_pb2.InvitationCreated,
    InvitationResent: events_pb2.InvitationResent,
    InvitationRevoked: events_pb2.InvitationRevoked,
}


def invitation_message(invitation: Invitation) -> invitations_pb2.Invitation:
    """The invitation as the API shows it."""
    return invitations_pb2.Invitation(
        id=str(invitation.id),
        workspace_id=str(invitation.workspace_id),
        email=invitation.email,
        role=ROLE_NUMBERS[invitation.role],
        invited_by=str(invitation.invited_by),
        created_at=_timestamp(invitation.created_at),
        sent_at=_timestamp(invitation.sent_at),
        expires_at=_timestamp(invitation.expires_at),
    )


def event_message(event: InvitationEvent) -> NewEvent:
    """The event as the log keeps it."""
    invitation = event.invitation
    return NewEvent(
        workspace_id=invitation.workspace_id,
        aggregate_id=invitation.id,
        aggregate_version=invitation.version,
        data=_data(event),
        time=event.time,
    )


def _data(event: InvitationEvent) -> Message:
    invitation = invitation_message(event.invitation)
    if isinstance(event, InvitationAccepted):
        return events_pb2.InvitationAccepted(invitation=invitation, user_id=str(event.invitation.accepted_by))
    message: Message = _DATA[type(event)](invitation=invitation)
    return message


def _timestamp(value: datetime) -> timestamp_pb2.Timestamp:
    stamp = timestamp_pb2.Timestamp()
    stamp.FromDatetime(value)
    return stamp
