"""Projects through gRPC, on real servers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from rota.tasks.v1 import boards_pb2, projects_pb2, tasks_pb2
from rota_chassis.errors import Conflict, InvalidArgument, NotFound, PermissionDenied, PreconditionFailed
from rota_chassis.postgres.database import Database
from rota_tasks.rebuild import rebuild

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


async def edited(stage: Stage, project: projects_pb2.Project, *named: str, **fields: Any) -> projects_pb2.Project:
    request = projects_pb2.UpdateProjectRequest(
        id=project.id, update_mask=FieldMask(paths=[*named, *(name for name in fields if name != "if_match")]), **fields
    )
    return (await stage.projects.UpdateProject(request, metadata=stage.ada.metadata)).project


async def test_a_project_is_changed_archived_and_deleted(stage: Stage) -> None:
    project = await a_project(stage)
    changed = await edited(stage, project, name="Home", description="all", color="#00aa00", archived=True)
    assert (changed.name, changed.description, changed.color, changed.archived) == ("Home", "all", "#00aa00", True)
    assert changed.version == 2
    assert await edited(stage, project, name="Home") == changed
    with pytest.raises(PreconditionFailed):
        await edited(stage, project, name="Late", if_match='"v1"')
    for fields in ({"name": " "}, {"color": "green"}, {"description": "x" * 10_001}):
        with pytest.raises(InvalidArgument):
            await edited(stage, project, **fields)
    with pytest.raises(InvalidArgument):
        await edited(stage, project, "name")
    delete = projects_pb2.DeleteProjectRequest(id=project.id)
    with pytest.raises(NotFound):
        await stage.projects.DeleteProject(delete, metadata=stage.grace.metadata)
    task = await stage.create(project_id=project.id)
    with pytest.raises(Conflict) as caught:
        await stage.projects.DeleteProject(delete, metadata=stage.ada.metadata)
    assert caught.value.code == "PROJECT_IN_USE"
    await stage.tasks.DeleteTask(tasks_pb2.DeleteTaskRequest(id=task.id), metadata=stage.ada.metadata)
    await stage.boards.CreateSection(
        boards_pb2.CreateSectionRequest(project_id=project.id, name="one"), metadata=stage.ada.metadata
    )
    await a_project(stage, "other")
    await stage.projects.DeleteProject(delete, metadata=stage.ada.metadata)
    with pytest.raises(NotFound):
        await stage.projects.DeleteProject(delete, metadata=stage.ada.metadata)
    database = await Database.connect(stage.database_url, size=1)
    rebuilt = await rebuild(database)
    await database.close()
    assert (rebuilt.differences, rebuilt.rows) == (0, 3)  # the other project with its key, and the task in the trash


async def test_a_viewer_changes_no_project_and_two_at_once_take_turns(stage: Stage) -> None:
    project = await a_project(stage)
    changes = [edited(stage, project, name=f"name {number}") for number in range(10)]
    assert {each.version for each in await asyncio.gather(*changes)} == set(range(2, 12))
    stage.auth.add_member(stage.ada.workspace_id, stage.grace.id, role="viewer")
    request = projects_pb2.UpdateProjectRequest(id=project.id, name="hers", update_mask=FieldMask(paths=["name"]))
    with pytest.raises(PermissionDenied):
        await stage.projects.UpdateProject(request, metadata=stage.grace.metadata)
    with pytest.raises(PermissionDenied):
        await stage.projects.DeleteProject(
            projects_pb2.DeleteProjectRequest(id=project.id), metadata=stage.grace.metadata
        )
