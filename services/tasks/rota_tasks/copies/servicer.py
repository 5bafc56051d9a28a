"""rota.tasks.v1.CopyService: messages in, use cases, messages out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota.tasks.v1 import copies_pb2, copies_pb2_grpc
from rota_chassis.identity import require_user
from rota_chassis.requests import request_of

from rota_tasks.copies import commands
from rota_tasks.copies.domain import Completed, Part, Wish
from rota_tasks.projects.messages import project_message
from rota_tasks.tasks.days import day

if TYPE_CHECKING:
    from rota_tasks.projects.dependencies import Projects
    from rota_tasks.projects.domain import Project

_PARTS = {copies_pb2.CopyPart.Value(f"COPY_PART_{each.name}"): each for each in Part}
_COMPLETED = {copies_pb2.CompletedTasks.Value(f"COMPLETED_TASKS_{each.name}"): each for each in Completed}


class CopyServicer(copies_pb2_grpc.CopyServiceServicer):
    """Serves copies."""

    def __init__(self, projects: Projects) -> None:
        self._projects = projects

    async def CopyProject(
        self, request: copies_pb2.CopyProjectRequest, _context: Any
    ) -> copies_pb2.CopyProjectResponse:
        answer = await commands.copy_project(
            self._projects,
            require_user(),
            project_id=UUID(request.id),
            wish=Wish(
                name=request.name if request.HasField("name") else None,
                include=frozenset(_PARTS[each] for each in request.include),
                completed=_COMPLETED.get(request.completed, Completed.KEEP),
                start_on=day(request, "start_on"),
            ),
            request=request_of(request),
            answer_of=_answer,
        )
        return copies_pb2.CopyProjectResponse.FromString(answer)


def _answer(project: Project) -> bytes:
    return copies_pb2.CopyProjectResponse(project=project_message(project)).SerializeToString()
