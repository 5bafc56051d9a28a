"""rota.auth.v1.AuthService."""

# The contract hands each method a request and a context, used or not.
# ruff: noqa: ARG002

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota.auth.v1 import auth_pb2, auth_pb2_grpc
from rota_chassis.identity import require_user

from rota_auth.sessions import commands
from rota_auth.users.messages import user_message
from rota_auth.workspaces.messages import workspace_message

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import grpc

    from rota_auth.sessions.commands import Grant, Sessions

TOKEN_TYPE = "Bearer"  # noqa: S105 (RFC 6750)
_PURGED = 1_000


class AuthServicer(auth_pb2_grpc.AuthServiceServicer):
    """Serves sessions, and the public keys that verify their access tokens.

    Args:
        sessions: What the commands need.
        jwks: The public keys, newest first.
    """

    def __init__(self, sessions: Sessions, jwks: Sequence[Mapping[str, str]]) -> None:
        self._sessions = sessions
        self._jwks = jwks

    async def Register(
        self, request: auth_pb2.RegisterRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> auth_pb2.RegisterResponse:
        grant = await commands.register(
            self._sessions,
            email=request.email,
            password=request.password,
            name=request.name,
            invitation_token=request.invitation_token if request.HasField("invitation_token") else None,
        )
        return auth_pb2.RegisterResponse(**_fields(grant))

    async def Login(
        self, request: auth_pb2.LoginRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> auth_pb2.LoginResponse:
        grant = await commands.login(self._sessions, email=request.email, password=request.password)
        return auth_pb2.LoginResponse(**_fields(grant))

    async def Refresh(
        self, request: auth_pb2.RefreshRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> auth_pb2.RefreshResponse:
        grant = await commands.refresh(self._sessions, refresh_token=request.refresh_token)
        return auth_pb2.RefreshResponse(**_fields(grant))

    async def Logout(
        self, request: auth_pb2.LogoutRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> auth_pb2.LogoutResponse:
        caller = require_user()
        # A service that acts for a user has no session to end.
        if caller.session_id is not None:
            await commands.logout(self._sessions.database, user_id=caller.user_id, session_id=caller.session_id)
        return auth_pb2.LogoutResponse()

    async def GetJwks(
        self, request: auth_pb2.GetJwksRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> auth_pb2.GetJwksResponse:
        return auth_pb2.GetJwksResponse(keys=[auth_pb2.Jwk(**key) for key in self._jwks])

    async def PurgeSessions(
        self, request: auth_pb2.PurgeSessionsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> auth_pb2.PurgeSessionsResponse:
        purged = await commands.purge(self._sessions, limit=request.limit or _PURGED)
        return auth_pb2.PurgeSessionsResponse(purged=purged)


def _fields(grant: Grant) -> dict[str, Any]:
    return {
        "user": user_message(grant.account.user),
        "workspace": workspace_message(grant.account.workspace, grant.account.role),
        "access_token": grant.access_token,
        "refresh_token": grant.refresh_token,
        "token_type": TOKEN_TYPE,
        "expires_in": grant.expires_in_s,
    }
