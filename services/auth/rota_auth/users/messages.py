"""Users and their events as the contract writes them."""

from __future__ import annotations

from google.protobuf import timestamp_pb2
from rota.auth.v1 import users_pb2
from rota.events.v1 import events_pb2
from rota_chassis.errors import InvalidArgument, Violation
from rota_chassis.events.log import NewEvent

from rota_auth.users.domain import InvalidField, SystemRole, User, UserRegistered, UserUpdated

_ROLES = {role: users_pb2.SystemRole.Value(f"SYSTEM_ROLE_{role.name}") for role in SystemRole}


def user_message(user: User) -> users_pb2.User:
    """The user as the API shows them."""
    created_at, updated_at = timestamp_pb2.Timestamp(), timestamp_pb2.Timestamp()
    created_at.FromDatetime(user.created_at)
    updated_at.FromDatetime(user.updated_at)
    return users_pb2.User(
        id=str(user.id),
        email=user.email,
        name=user.name,
        role=_ROLES[user.role],
        time_zone=user.time_zone,
        locale=user.locale,
        workspace_id=str(user.workspace_id),
        created_at=created_at,
        updated_at=updated_at,
        version=user.version,
        etag=user.etag,
    )


def event_message(event: UserRegistered | UserUpdated) -> NewEvent:
    """The event as the log keeps it."""
    user = event.user
    message = events_pb2.UserRegistered if isinstance(event, UserRegistered) else events_pb2.UserUpdated
    return NewEvent(
        workspace_id=user.workspace_id,
        aggregate_id=user.id,
        aggregate_version=user.version,
        data=message(user=user_message(user)),
        time=user.updated_at,
    )


def invalid_argument(error: InvalidField) -> InvalidArgument:
    """The error that the caller sees."""
    return InvalidArgument(
        "Some fields are not valid.", code="INVALID_FIELDS", violations=[Violation(error.field, error.problem)]
    )
