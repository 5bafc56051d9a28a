"""A small auth: answers what the other services ask it, over real gRPC."""

from __future__ import annotations

import tempfile
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
from rota.auth.v1 import (
    invitations_pb2,
    invitations_pb2_grpc,
    users_pb2,
    users_pb2_grpc,
    workspaces_pb2,
    workspaces_pb2_grpc,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from rota_chassis.testing.services import User


class SmallAuth(
    workspaces_pb2_grpc.WorkspaceServiceServicer,
    users_pb2_grpc.UserServiceServicer,
    invitations_pb2_grpc.InvitationServiceServicer,
):
    """Knows the memberships, users and invitations that a test tells it.

    Attributes:
        address: Where it listens, for `auth_address`.
        asked: How many calls it has answered.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.asked = 0
        self._memberships: dict[str, list[workspaces_pb2.Membership]] = {}
        self._users: dict[str, users_pb2.User] = {}
        self._letters: dict[str, invitations_pb2.IssueInvitationTokenResponse] = {}

    def add_member(
        self, workspace_id: UUID, user_id: UUID, *, role: str = "member", version: int = 2
    ) -> workspaces_pb2.Membership:
        """Let the user belong to the workspace; returns the membership, for events."""
        membership = workspaces_pb2.Membership(
            workspace_id=str(workspace_id),
            user_id=str(user_id),
            role=workspaces_pb2.WorkspaceRole.Value(f"WORKSPACE_ROLE_{role.upper()}"),
            version=version,
        )
        self._memberships.setdefault(str(user_id), []).append(membership)
        return membership

    def add_user(self, user: User, *, name: str = "Ada", email: str = "") -> users_pb2.User:
        """Know the user, and let them own their workspace; returns the profile, for events."""
        self.add_member(user.workspace_id, user.id, role="owner")
        profile = users_pb2.User(
            id=str(user.id),
            email=email or f"{user.id}@example.com",
            name=name,
            time_zone="UTC",
            locale="en",
            workspace_id=str(user.workspace_id),
            version=1,
        )
        self._users[profile.id] = profile
        return profile

    def add_invitation(self, letter: invitations_pb2.IssueInvitationTokenResponse) -> None:
        """Know an open invitation, and what its mail says."""
        self._letters[letter.invitation.id] = letter

    async def IssueInvitationToken(  # noqa: N802 (named by the contract)
        self, request: invitations_pb2.IssueInvitationTokenRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> invitations_pb2.IssueInvitationTokenResponse:
        """What the mail of an invitation says."""
        self.asked += 1
        if request.id not in self._letters:
            await context.abort(grpc.StatusCode.NOT_FOUND, "There is no such invitation.")
        return self._letters[request.id]

    async def ListMemberships(  # noqa: N802 (named by the contract)
        self, request: workspaces_pb2.ListMembershipsRequest, _context: Any
    ) -> workspaces_pb2.ListMembershipsResponse:
        """Every membership of one user."""
        self.asked += 1
        return workspaces_pb2.ListMembershipsResponse(memberships=self._memberships.get(request.user_id, []))

    async def BatchGetUsers(  # noqa: N802 (named by the contract)
        self, request: users_pb2.BatchGetUsersRequest, _context: Any
    ) -> users_pb2.BatchGetUsersResponse:
        """The known ones among the users."""
        self.asked += 1
        return users_pb2.BatchGetUsersResponse(users=[self._users[each] for each in request.ids if each in self._users])


@asynccontextmanager
async def small_auth() -> AsyncIterator[SmallAuth]:
    """A `SmallAuth` that answers within the block."""
    with tempfile.TemporaryDirectory(prefix="rota-") as folder:
        # It answers some of the methods only; the generated base says UNIMPLEMENTED to the others.
        auth = SmallAuth(f"unix:{folder}/auth.sock")  # type: ignore[abstract]
        server = grpc.aio.server()
        workspaces_pb2_grpc.add_WorkspaceServiceServicer_to_server(auth, server)
        users_pb2_grpc.add_UserServiceServicer_to_server(auth, server)
        invitations_pb2_grpc.add_InvitationServiceServicer_to_server(auth, server)
        server.add_insecure_port(auth.address)
        await server.start()
        try:
            yield auth
        finally:
            await server.stop(None)
