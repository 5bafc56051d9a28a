"""Who belongs to a private project, as tests say and ask it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import asyncpg
from google.protobuf.field_mask_pb2 import FieldMask
from rota.tasks.v1 import (
    project_members_pb2,
    projects_pb2,
    tasks_pb2,
)
from rota_chassis.testing.services import User

if TYPE_CHECKING:
    from integration.private_projects.conftest import World
    from rota_chassis.testing.tokens import TokenIssuer


ADMIN, MEMBER, VIEWER = (
    project_members_pb2.ProjectRole.Value(f"PROJECT_ROLE_{name}") for name in ("ADMIN", "MEMBER", "VIEWER")
)
PRIVATE, WORKSPACE = projects_pb2.PROJECT_VISIBILITY_PRIVATE, projects_pb2.PROJECT_VISIBILITY_WORKSPACE


def joined(world: World, issuer: TokenIssuer, role: str = "member") -> User:
    """Somebody else in the workspace."""
    user = User(issuer)
    user.workspace_id = world.owner.workspace_id
    user.token = issuer.access_token(user.id, user.workspace_id, session_id=user.session_id)
    world.stage.auth.add_member(user.workspace_id, user.id, role=role)
    return user


async def add(world: World, by: User, user_id: Any, role: int = MEMBER, **fields: Any) -> Any:
    request = project_members_pb2.AddProjectMemberRequest(
        **{"project_id": world.project, "user_id": str(user_id), "role": role} | fields
    )
    return (await world.call("ProjectMemberService.AddProjectMember", request, by)).member


async def remove(world: World, by: User, user_id: Any) -> None:
    request = project_members_pb2.RemoveProjectMemberRequest(project_id=world.project, user_id=str(user_id))
    await world.call("ProjectMemberService.RemoveProjectMember", request, by)


async def change(world: World, by: User, user_id: Any, role: int) -> Any:
    request = project_members_pb2.UpdateProjectMemberRequest(
        project_id=world.project, user_id=str(user_id), role=role, update_mask=FieldMask(paths=["role"])
    )
    return (await world.call("ProjectMemberService.UpdateProjectMember", request, by)).member


async def members(world: World, by: User, size: int = 50) -> list[tuple[str, int]]:
    found, token = [], ""
    while True:
        request = project_members_pb2.ListProjectMembersRequest(
            project_id=world.project, page_size=size, page_token=token
        )
        answer = await world.call("ProjectMemberService.ListProjectMembers", request, by)
        found += [(each.user_id, each.role) for each in answer.members]
        token = answer.next_page_token
        if not token:
            return found


async def see(world: World, by: User, visibility: int) -> Any:
    request = projects_pb2.UpdateProjectRequest(
        id=world.project, visibility=visibility, update_mask=FieldMask(paths=["visibility"])
    )
    return (await world.call("ProjectService.UpdateProject", request, by)).project


async def project(world: World, by: User) -> Any:
    return (await world.call("ProjectService.GetProject", projects_pb2.GetProjectRequest(id=world.project), by)).project


async def create(world: World, by: User, **fields: Any) -> Any:
    request = tasks_pb2.CreateTaskRequest(**{"title": "Sign"} | fields)
    return (await world.call("TaskService.CreateTask", request, by)).task


async def update(world: World, by: User, task_id: str, **fields: Any) -> Any:
    request = tasks_pb2.UpdateTaskRequest(id=task_id, update_mask=FieldMask(paths=list(fields)), **fields)
    return (await world.call("TaskService.UpdateTask", request, by)).task


async def fetch(world: World, query: str, *arguments: Any) -> list[Any]:
    connection = await asyncpg.connect(world.stage.database_url)
    try:
        return await connection.fetch(query, *arguments)
    finally:
        await connection.close()
