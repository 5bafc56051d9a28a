"""Projects through gRPC, on real servers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from rota.tasks.v1 import projects_pb2
from rota_chassis.errors import InvalidArgument, NotFound, PermissionDenied

if TYPE_CHECKING:
    from conftest import Stage


async def a_project(stage: Stage, name: str = "House") -> projects_pb2.Project:
    answer = await stage.projects.CreateProject(
        projects_pb2.CreateProjectRequest(name=name), metadata=stage.ada.metadata
    )
    return answer.project


async def test_a_project_reads_as_it_was_made(stage: Stage) -> None:
    project = await a_project(stage)
    read = await stage.projects.GetProject(projects_pb2.GetProjectRequest(id=project.id), metadata=stage.ada.metadata)
    assert read.project == project
    assert (project.name, project.workspace_id) == ("House", str(stage.ada.workspace_id))


async def test_another_workspaces_project_does_not_exist(stage: Stage) -> None:
    project = await a_project(stage)
    with pytest.raises(NotFound) as caught:
        await stage.projects.GetProject(projects_pb2.GetProjectRequest(id=project.id), metadata=stage.grace.metadata)
    assert caught.value.code == "PROJECT_NOT_FOUND"
    with pytest.raises(NotFound) as caught:
        await stage.projects.ListProjects(
            projects_pb2.ListProjectsRequest(workspace_id=str(stage.ada.workspace_id)), metadata=stage.grace.metadata
        )
    assert caught.value.code == "WORKSPACE_NOT_FOUND"


async def test_a_viewer_reads_projects_but_makes_none(stage: Stage) -> None:
    project = await a_project(stage)
    stage.auth.add_member(stage.ada.workspace_id, stage.grace.id, role="viewer")
    read = await stage.projects.GetProject(projects_pb2.GetProjectRequest(id=project.id), metadata=stage.grace.metadata)
    assert read.project.id == project.id
    with pytest.raises(PermissionDenied):
        await stage.projects.CreateProject(
            projects_pb2.CreateProjectRequest(name="Hers", workspace_id=str(stage.ada.workspace_id)),
            metadata=stage.grace.metadata,
        )


async def test_pages_show_every_project_once_newest_first(stage: Stage) -> None:
    made = [(await a_project(stage, f"project {number}")).id for number in range(5)]
    seen: list[str] = []
    token = ""
    while True:
        answer = await stage.projects.ListProjects(
            projects_pb2.ListProjectsRequest(page_size=2, page_token=token, workspace_id=str(stage.ada.workspace_id)),
            metadata=stage.ada.metadata,
        )
        seen.extend(project.id for project in answer.projects)
        token = answer.next_page_token
        if not token:
            break
    assert seen == made[::-1]
    with pytest.raises(InvalidArgument):
        await stage.projects.ListProjects(
            projects_pb2.ListProjectsRequest(page_token="forged"), metadata=stage.ada.metadata
        )
