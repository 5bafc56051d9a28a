"""A small tasks service: answers what the other services ask it about projects, over real gRPC."""

from __future__ import annotations

import tempfile
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
from rota.tasks.v1 import (
    locations_pb2,
    locations_pb2_grpc,
    project_members_pb2,
    project_members_pb2_grpc,
    projects_pb2,
)

from rota_chassis.ids import uuid7

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID


class SmallTasks(project_members_pb2_grpc.ProjectMemberServiceServicer, locations_pb2_grpc.LocationServiceServicer):
    """Knows the private projects and the tasks that a test tells it.

    Attributes:
        address: Where it listens, for `tasks_address`.
        asked: How many calls it has answered.
        locates: Whether it says where tasks are; releases without private projects do not.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.asked = 0
        self.locates = True
        self._projects: dict[str, dict[str, project_members_pb2.PrivateProject]] = {}
        self._places: dict[str, str] = {}

    def add_private(self, workspace_id: UUID | str, *member_ids: UUID, project_id: str = "", version: int = 1) -> str:
        """Have a private project with these members; returns its id."""
        project = project_members_pb2.PrivateProject(
            project_id=project_id or str(uuid7()), version=version, member_ids=[str(each) for each in member_ids]
        )
        self._projects.setdefault(str(workspace_id), {})[project.project_id] = project
        return project.project_id

    def add_task(self, project_id: str = "", *, task_id: str = "") -> str:
        """Have a task, in a project or in none; returns its id."""
        task_id = task_id or str(uuid7())
        self._places[task_id] = project_id
        return task_id

    async def ListPrivateProjects(  # noqa: N802 (named by the contract)
        self, request: project_members_pb2.ListPrivateProjectsRequest, _context: Any
    ) -> project_members_pb2.ListPrivateProjectsResponse:
        """The private projects of a workspace."""
        self.asked += 1
        return project_members_pb2.ListPrivateProjectsResponse(
            projects=self._projects.get(request.workspace_id, {}).values()
        )

    async def LocateTasks(  # noqa: N802 (named by the contract)
        self, request: locations_pb2.LocateTasksRequest, context: Any
    ) -> locations_pb2.LocateTasksResponse:
        """Where tasks are."""
        self.asked += 1
        if not self.locates:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED)
        return locations_pb2.LocateTasksResponse(
            locations=[
                locations_pb2.TaskLocation(task_id=each, project_id=self._places[each])
                for each in request.task_ids
                if each in self._places
            ]
        )


def a_project(
    workspace_id: UUID | str, *member_ids: UUID, project_id: str, version: int = 1, private: bool = True
) -> tuple[projects_pb2.Project, list[project_members_pb2.ProjectMember]]:
    """A project and its members, as events of it have them."""
    return projects_pb2.Project(
        id=project_id,
        workspace_id=str(workspace_id),
        name="Secret",
        visibility=projects_pb2.PROJECT_VISIBILITY_PRIVATE if private else projects_pb2.PROJECT_VISIBILITY_WORKSPACE,
        version=version,
    ), [
        project_members_pb2.ProjectMember(
            project_id=project_id, user_id=str(each), role=project_members_pb2.PROJECT_ROLE_MEMBER
        )
        for each in member_ids
    ]


@asynccontextmanager
async def small_tasks() -> AsyncIterator[SmallTasks]:
    """A `SmallTasks` that answers within the block."""
    with tempfile.TemporaryDirectory(prefix="rota-") as folder:
        # It answers some of the methods only; the generated base says UNIMPLEMENTED to the others.
        tasks = SmallTasks(f"unix:{folder}/tasks.sock")  # type: ignore[abstract]
        server = grpc.aio.server()
        project_members_pb2_grpc.add_ProjectMemberServiceServicer_to_server(tasks, server)
        locations_pb2_grpc.add_LocationServiceServicer_to_server(tasks, server)
        server.add_insecure_port(tasks.address)
        await server.start()
        try:
            yield tasks
        finally:
            await server.stop(None)
