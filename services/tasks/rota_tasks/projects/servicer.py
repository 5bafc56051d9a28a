"""rota.tasks.v1.ProjectService: messages in, use cases, messages out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota.tasks.v1 import projects_pb2, projects_pb2_grpc
from rota_chassis.errors import InvalidArgument, Violation
from rota_chassis.identity import require_user

from rota_tasks.projects import commands, queries
from rota_tasks.projects.domain import Visibility
from rota_tasks.projects.messages import VISIBILITIES, project_message

if TYPE_CHECKING:
    from rota_chassis.pagination import PageTokens

    from rota_tasks.projects.dependencies import Projects


_EDITABLE = ("name", "description", "color", "archived", "key")


class ProjectServicer(projects_pb2_grpc.ProjectServiceServicer):
    """Serves projects."""

    def __init__(self, projects: Projects, page_tokens: PageTokens) -> None:
        self._projects = projects
        self._page_tokens = page_tokens

    async def CreateProject(
        self, request: projects_pb2.CreateProjectRequest, _context: Any
    ) -> projects_pb2.CreateProjectResponse:
        user = require_user()
        workspace_id = UUID(request.workspace_id) if request.HasField("workspace_id") else user.workspace_id
        project = await commands.create_project(
            self._projects,
            user,
            workspace_id=workspace_id,
            name=request.name,
            description=request.description,
            color=request.color,
            key=request.key,
            visibility=VISIBILITIES.get(request.visibility, Visibility.WORKSPACE),
        )
        return projects_pb2.CreateProjectResponse(project=project_message(project))

    async def GetProject(
        self, request: projects_pb2.GetProjectRequest, _context: Any
    ) -> projects_pb2.GetProjectResponse:
        project = await queries.get_project(self._projects, require_user(), project_id=UUID(request.id))
        return projects_pb2.GetProjectResponse(project=project_message(project))

    async def ListProjects(
        self, request: projects_pb2.ListProjectsRequest, _context: Any
    ) -> projects_pb2.ListProjectsResponse:
        user = require_user()
        workspace_id = UUID(request.workspace_id) if request.HasField("workspace_id") else None
        page = self._page_tokens.page(request, bound_to=["projects", user.user_id, workspace_id])
        found = await queries.list_projects(
            self._projects, user, limit=page.limit, before=page.cursor(UUID), workspace_id=workspace_id
        )
        rows, token = page.cut(found, lambda last: [last.id])
        return projects_pb2.ListProjectsResponse(projects=map(project_message, rows), next_page_token=token)

    async def UpdateProject(
        self, request: projects_pb2.UpdateProjectRequest, _context: Any
    ) -> projects_pb2.UpdateProjectResponse:
        changes: dict[str, Any] = {
            field: getattr(request, field) for field in _EDITABLE if field in request.update_mask.paths
        }
        if "visibility" in request.update_mask.paths:
            changes["visibility"] = VISIBILITIES[request.visibility]
        for name in ("name", "key"):
            if changes.get(name) == "":
                raise InvalidArgument(
                    f"A project always has a {name}.",
                    code="INVALID_FIELDS",
                    violations=[Violation(name, "cannot be cleared", "required")],
                )
        project = await commands.edit_project(
            self._projects, require_user(), project_id=UUID(request.id), changes=changes, if_match=request.if_match
        )
        return projects_pb2.UpdateProjectResponse(project=project_message(project))

    async def DeleteProject(
        self, request: projects_pb2.DeleteProjectRequest, _context: Any
    ) -> projects_pb2.DeleteProjectResponse:
        await commands.delete_project(
            self._projects, require_user(), project_id=UUID(request.id), if_match=request.if_match
        )
        return projects_pb2.DeleteProjectResponse()
