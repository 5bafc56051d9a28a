"""rota.tasks.v1.ProjectMemberService: messages in, use cases, messages out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota.tasks.v1 import project_members_pb2, project_members_pb2_grpc
from rota_chassis.identity import require_user
from rota_chassis.requests import request_of

from rota_tasks.members import commands, queries
from rota_tasks.projects.domain import Member, Role
from rota_tasks.projects.messages import ROLES, member_message

if TYPE_CHECKING:
    from rota_chassis.pagination import PageTokens

    from rota_tasks.projects.dependencies import Projects


class ProjectMemberServicer(project_members_pb2_grpc.ProjectMemberServiceServicer):
    """Serves who is named in projects."""

    def __init__(self, projects: Projects, page_tokens: PageTokens) -> None:
        self._projects = projects
        self._page_tokens = page_tokens

    async def AddProjectMember(
        self, request: project_members_pb2.AddProjectMemberRequest, _context: Any
    ) -> project_members_pb2.AddProjectMemberResponse:
        project_id = UUID(request.project_id)

        def answer_of(member: Member) -> bytes:
            message = member_message(project_id, member)
            return project_members_pb2.AddProjectMemberResponse(member=message).SerializeToString()

        answer = await commands.add_member(
            self._projects,
            require_user(),
            project_id=project_id,
            user_id=UUID(request.user_id),
            role=ROLES.get(request.role, Role.MEMBER),
            request=request_of(request),
            answer_of=answer_of,
        )
        return project_members_pb2.AddProjectMemberResponse.FromString(answer)

    async def ListProjectMembers(
        self, request: project_members_pb2.ListProjectMembersRequest, _context: Any
    ) -> project_members_pb2.ListProjectMembersResponse:
        user, project_id = require_user(), UUID(request.project_id)
        page = self._page_tokens.page(request, bound_to=["project members", user.user_id, project_id])
        found = await queries.list_members(
            self._projects, user, project_id=project_id, limit=page.limit, after=page.cursor(UUID)
        )
        rows, token = page.cut(found, lambda last: [last.user_id])
        return project_members_pb2.ListProjectMembersResponse(
            members=[member_message(project_id, each) for each in rows], next_page_token=token
        )

    async def GetProjectMember(
        self, request: project_members_pb2.GetProjectMemberRequest, _context: Any
    ) -> project_members_pb2.GetProjectMemberResponse:
        place = _place(request)
        member = await queries.get_member(self._projects, require_user(), **place)
        return project_members_pb2.GetProjectMemberResponse(member=member_message(place["project_id"], member))

    async def UpdateProjectMember(
        self, request: project_members_pb2.UpdateProjectMemberRequest, _context: Any
    ) -> project_members_pb2.UpdateProjectMemberResponse:
        place = _place(request)
        role = ROLES[request.role] if "role" in request.update_mask.paths else None
        member = await commands.change_member(self._projects, require_user(), **place, role=role)
        return project_members_pb2.UpdateProjectMemberResponse(member=member_message(place["project_id"], member))

    async def RemoveProjectMember(
        self, request: project_members_pb2.RemoveProjectMemberRequest, _context: Any
    ) -> project_members_pb2.RemoveProjectMemberResponse:
        await commands.remove_member(self._projects, require_user(), **_place(request))
        return project_members_pb2.RemoveProjectMemberResponse()

    async def ListPrivateProjects(
        self, request: project_members_pb2.ListPrivateProjectsRequest, _context: Any
    ) -> project_members_pb2.ListPrivateProjectsResponse:
        found = await queries.private_projects(self._projects, workspace_id=UUID(request.workspace_id))
        return project_members_pb2.ListPrivateProjectsResponse(
            projects=[
                project_members_pb2.PrivateProject(
                    project_id=str(project_id), version=version, member_ids=[str(each) for each in member_ids]
                )
                for project_id, version, member_ids in found
            ]
        )


def _place(request: Any) -> dict[str, UUID]:
    return {"project_id": UUID(request.project_id), "user_id": UUID(request.user_id)}
