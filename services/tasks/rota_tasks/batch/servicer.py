"""rota.tasks.v1.BatchService: messages in, use cases, messages out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota.tasks.v1 import batch_pb2, batch_pb2_grpc
from rota_chassis.identity import require_user
from rota_chassis.requests import request_of

from rota_tasks.batch import commands
from rota_tasks.batch.messages import Operations, batch_answer, undone_answer
from rota_tasks.batch.undoing import undo_batch

if TYPE_CHECKING:
    from rota_tasks.tasks.dependencies import Tasks


class BatchServicer(batch_pb2_grpc.BatchServiceServicer):
    """Serves calls that do many things."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self._operations = Operations()

    async def BatchTasks(self, request: batch_pb2.BatchTasksRequest, _context: Any) -> batch_pb2.BatchTasksResponse:
        user = require_user()
        workspace_id = UUID(request.workspace_id) if request.HasField("workspace_id") else user.workspace_id
        answer = await commands.run_batch(
            self._tasks,
            user,
            workspace_id=workspace_id,
            operations=self._operations.read(request, workspace_id),
            atomic=request.atomic,
            request=request_of(request),
            answer_of=batch_answer,
        )
        return batch_pb2.BatchTasksResponse.FromString(answer)

    async def UndoBatch(self, request: batch_pb2.UndoBatchRequest, _context: Any) -> batch_pb2.UndoBatchResponse:
        return undone_answer(*await undo_batch(self._tasks, require_user(), batch_id=UUID(request.id)))
