"""Other services ask which projects tasks are in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota.tasks.v1 import locations_pb2, projects_pb2, tasks_pb2
from rota_chassis.ids import uuid7
from rota_chassis.postgres.database import Database
from rota_tasks.locations.servicer import LocationServicer

if TYPE_CHECKING:
    from conftest import Stage


async def test_tasks_of_the_workspace_are_found_with_their_projects_and_no_others(stage: Stage) -> None:
    request = projects_pb2.CreateProjectRequest(name="Garden")
    project = (await stage.projects.CreateProject(request, metadata=stage.ada.metadata)).project
    inside, outside = await stage.create(project_id=project.id), await stage.create()
    gone = await stage.create()
    await stage.tasks.DeleteTask(tasks_pb2.DeleteTaskRequest(id=gone.id), metadata=stage.ada.metadata)
    foreign = await stage.create(user=stage.grace)
    database = await Database.connect(stage.database_url, size=1)
    try:
        answer = await LocationServicer(database).LocateTasks(
            locations_pb2.LocateTasksRequest(
                workspace_id=str(stage.ada.workspace_id),
                task_ids=[inside.id, outside.id, gone.id, foreign.id, str(uuid7())],
            ),
            None,
        )
    finally:
        await database.close()
    assert {each.task_id: each.project_id for each in answer.locations} == {inside.id: project.id, outside.id: ""}
