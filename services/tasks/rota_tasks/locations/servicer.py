"""rota.tasks.v1.LocationService."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota.tasks.v1 import locations_pb2, locations_pb2_grpc

from rota_tasks.tasks import store as task_store

if TYPE_CHECKING:
    from rota_chassis.postgres.database import Database


class LocationServicer(locations_pb2_grpc.LocationServiceServicer):
    """Serves where tasks are."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def LocateTasks(
        self, request: locations_pb2.LocateTasksRequest, _context: Any
    ) -> locations_pb2.LocateTasksResponse:
        found = await task_store.projects_of(
            self._database,
            workspace_id=UUID(request.workspace_id),
            task_ids=[UUID(each) for each in request.task_ids],
        )
        return locations_pb2.LocateTasksResponse(
            locations=[
                locations_pb2.TaskLocation(task_id=str(task_id), project_id=str(project_id) if project_id else "")
                for task_id, project_id in found.items()
            ]
        )
