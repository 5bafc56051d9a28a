"""Which workspaces a user belongs to, kept true by the events that pass while the user is connected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson
from rota.auth.v1 import workspaces_pb2, workspaces_pb2_grpc
from rota_chassis.private_projects import SEES_ALL

if TYPE_CHECKING:
    from uuid import UUID

    import grpc
    from nats.aio.msg import Msg

REMOVED = "workspace.member_removed"
CHANGES = frozenset({"workspace.member_added", "workspace.member_changed", REMOVED})
_TIMEOUT_S = 3.0
_MANAGERS = frozenset({workspaces_pb2.WORKSPACE_ROLE_OWNER, workspaces_pb2.WORKSPACE_ROLE_ADMIN})


@dataclass(frozen=True, slots=True)
class Membership:
    """A user's place in a workspace.

    Attributes:
        version: of the workspace at which it last changed; tells newer from older.
        sees_all: whether no project is hidden from its owner and admins.
    """

    version: int
    sees_all: bool


@dataclass(frozen=True, slots=True)
class Change:
    """A user joined or left a workspace, or has another role in it.

    Attributes:
        version: of the workspace at which it happened; tells newer from older.
    """

    user_id: str
    workspace_id: str
    version: int
    joined: bool
    sees_all: bool


def parse_change(message: Msg, event_type: str) -> Change:
    """The change that an event tells of.

    Raises:
        KeyError: the message is no such event; as are
        ValueError: and
        TypeError: for the same reason.
    """
    membership = orjson.loads(message.data)["membership"]
    return Change(
        membership["user_id"],
        membership["workspace_id"],
        membership["version"],
        event_type != REMOVED,
        membership["role"] in SEES_ALL,
    )


class Memberships:
    """Asks auth.

    Args:
        channel: to auth, with the gateway's own identity.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = workspaces_pb2_grpc.WorkspaceServiceStub(channel)

    async def of(self, user_id: UUID) -> dict[str, Membership]:
        """The user's workspaces.

        Raises:
            RotaError: auth does not answer.
        """
        request = workspaces_pb2.ListMembershipsRequest(user_id=str(user_id))
        answer = await self._stub.ListMemberships(request, timeout=_TIMEOUT_S)
        return {each.workspace_id: Membership(each.version, each.role in _MANAGERS) for each in answer.memberships}
