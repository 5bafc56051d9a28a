"""rota.auth.v1.InvitationService."""

# The contract hands each method a request and a context, used or not.
# ruff: noqa: ARG002

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota.auth.v1 import invitations_pb2, invitations_pb2_grpc
from rota_chassis.identity import require_user
from rota_chassis.requests import request_of

from rota_auth.invitations import commands, queries
from rota_auth.invitations.messages import invitation_message
from rota_auth.workspaces.domain import WorkspaceRole
from rota_auth.workspaces.messages import ROLES, member_message

if TYPE_CHECKING:
    import grpc
    from rota_chassis.clock import Clock
    from rota_chassis.pagination import PageTokens
    from rota_chassis.postgres.database import Database


class InvitationServicer(invitations_pb2_grpc.InvitationServiceServicer):
    """Serves invitations."""

    def __init__(self, database: Database, page_tokens: PageTokens, clock: Clock) -> None:
        self._database = database
        self._page_tokens = page_tokens
        self._clock = clock

    async def CreateInvitation(
        self, request: invitations_pb2.CreateInvitationRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> invitations_pb2.CreateInvitationResponse:
        invitation = await commands.create_invitation(
            self._database,
            caller_id=require_user().user_id,
            workspace_id=UUID(request.workspace_id),
            email=request.email,
            role=ROLES.get(request.role, WorkspaceRole.MEMBER),
            now=self._clock.now(),
            request=request_of(request),
        )
        return invitations_pb2.CreateInvitationResponse(invitation=invitation_message(invitation))

    async def ListInvitations(
        self, request: invitations_pb2.ListInvitationsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> invitations_pb2.ListInvitationsResponse:
        caller_id, workspace_id = require_user().user_id, UUID(request.workspace_id)
        page = self._page_tokens.page(request, bound_to=["invitations", caller_id, workspace_id])
        found = await queries.list_invitations(
            self._database,
            caller_id=caller_id,
            workspace_id=workspace_id,
            limit=page.limit,
            before=page.cursor(UUID),
            now=self._clock.now(),
        )
        rows, token = page.cut(found, lambda last: [last.id])
        return invitations_pb2.ListInvitationsResponse(invitations=map(invitation_message, rows), next_page_token=token)

    async def RevokeInvitation(
        self, request: invitations_pb2.RevokeInvitationRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> invitations_pb2.RevokeInvitationResponse:
        await commands.revoke_invitation(
            self._database,
            caller_id=require_user().user_id,
            workspace_id=UUID(request.workspace_id),
            invitation_id=UUID(request.id),
            now=self._clock.now(),
        )
        return invitations_pb2.RevokeInvitationResponse()

    async def ResendInvitation(
        self, request: invitations_pb2.ResendInvitationRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> invitations_pb2.ResendInvitationResponse:
        invitation = await commands.resend_invitation(
            self._database,
            caller_id=require_user().user_id,
            workspace_id=UUID(request.workspace_id),
            invitation_id=UUID(request.id),
            now=self._clock.now(),
        )
        return invitations_pb2.ResendInvitationResponse(invitation=invitation_message(invitation))

    async def AcceptInvitation(
        self, request: invitations_pb2.AcceptInvitationRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> invitations_pb2.AcceptInvitationResponse:
        member = await commands.accept_invitation(
            self._database, caller_id=require_user().user_id, token=request.token, now=self._clock.now()
        )
        return invitations_pb2.AcceptInvitationResponse(member=member_message(member))

    async def IssueInvitationToken(
        self, request: invitations_pb2.IssueInvitationTokenRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> invitations_pb2.IssueInvitationTokenResponse:
        letter = await commands.issue_token(
            self._database,
            workspace_id=UUID(request.workspace_id),
            invitation_id=UUID(request.id),
            now=self._clock.now(),
        )
        return invitations_pb2.IssueInvitationTokenResponse(
            invitation=invitation_message(letter.invitation),
            token=letter.token,
            workspace_name=letter.workspace_name,
            inviter_name=letter.inviter_name,
        )
