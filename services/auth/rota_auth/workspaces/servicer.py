"""rota.auth.v1.WorkspaceService."""

# The contract hands each method a request and a context, used or not.
# ruff: noqa: ARG002

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota.auth.v1 import workspaces_pb2, workspaces_pb2_grpc
from rota_chassis.identity import require_user

from rota_auth.workspaces import commands, queries
from rota_auth.workspaces.domain import WorkspaceRole
from rota_auth.workspaces.messages import ROLES, member_message, membership_message, workspace_message

if TYPE_CHECKING:
    import grpc
    from rota_chassis.clock import Clock
    from rota_chassis.pagination import PageTokens
    from rota_chassis.postgres.database import Database


class WorkspaceServicer(workspaces_pb2_grpc.WorkspaceServiceServicer):
    """Serves workspaces and their members."""

    def __init__(self, database: Database, page_tokens: PageTokens, clock: Clock) -> None:
        self._database = database
        self._page_tokens = page_tokens
        self._clock = clock

    async def ListWorkspaces(
        self, request: workspaces_pb2.ListWorkspacesRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> workspaces_pb2.ListWorkspacesResponse:
        caller_id = require_user().user_id
        page = self._page_tokens.page(request, bound_to=["workspaces", caller_id])
        found = await queries.list_workspaces(
            self._database, caller_id=caller_id, limit=page.limit, after=page.cursor(_place)
        )
        rows, token = page.cut(found, lambda last: [last[0].created_at, last[0].id])
        return workspaces_pb2.ListWorkspacesResponse(
            workspaces=[workspace_message(workspace, role) for workspace, role in rows], next_page_token=token
        )

    async def AddMember(
        self, request: workspaces_pb2.AddMemberRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> workspaces_pb2.AddMemberResponse:
        member = await commands.add_member(
            self._database,
            caller_id=require_user().user_id,
            workspace_id=UUID(request.workspace_id),
            email=request.email,
            role=ROLES.get(request.role, WorkspaceRole.MEMBER),
            now=self._clock.now(),
        )
        return workspaces_pb2.AddMemberResponse(member=member_message(member))

    async def ListMembers(
        self, request: workspaces_pb2.ListMembersRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> workspaces_pb2.ListMembersResponse:
        caller_id, workspace_id = require_user().user_id, UUID(request.workspace_id)
        page = self._page_tokens.page(request, bound_to=["members", caller_id, workspace_id])
        found = await queries.list_members(
            self._database,
            caller_id=caller_id,
            workspace_id=workspace_id,
            limit=page.limit,
            after=page.cursor(_place),
        )
        rows, token = page.cut(found, lambda last: [last.membership.joined_at, last.membership.user_id])
        return workspaces_pb2.ListMembersResponse(members=map(member_message, rows), next_page_token=token)

    async def RemoveMember(
        self, request: workspaces_pb2.RemoveMemberRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> workspaces_pb2.RemoveMemberResponse:
        await commands.remove_member(
            self._database,
            caller_id=require_user().user_id,
            workspace_id=UUID(request.workspace_id),
            user_id=UUID(request.user_id),
            now=self._clock.now(),
        )
        return workspaces_pb2.RemoveMemberResponse()

    async def UpdateMember(
        self, request: workspaces_pb2.UpdateMemberRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> workspaces_pb2.UpdateMemberResponse:
        member = await commands.update_member(
            self._database,
            caller_id=require_user().user_id,
            workspace_id=UUID(request.workspace_id),
            user_id=UUID(request.user_id),
            role=ROLES[request.role] if "role" in request.update_mask.paths else None,
            now=self._clock.now(),
        )
        return workspaces_pb2.UpdateMemberResponse(member=member_message(member))

    async def ListMemberships(
        self, request: workspaces_pb2.ListMembershipsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> workspaces_pb2.ListMembershipsResponse:
        found = await queries.list_memberships(self._database, UUID(request.user_id))
        return workspaces_pb2.ListMembershipsResponse(memberships=map(membership_message, found))


def _place(time: str, last_id: str) -> tuple[datetime, UUID]:
    return datetime.fromisoformat(time), UUID(last_id)
