"""The action `create_task`: a task in the schedule's workspace, on behalf of the schedule's creator."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota.tasks.v1 import tasks_pb2, tasks_pb2_grpc
from rota_chassis import codec
from rota_chassis.errors import Conflict, RotaError
from rota_chassis.rpc.channel import acting_for

from rota_scheduler.runs.domain import Failed, Succeeded

if TYPE_CHECKING:
    import grpc
    from rota_chassis.tokens import ServiceTokens

    from rota_scheduler.runs.domain import Outcome, Run

TIMEOUT_S = 10.0
_RETRYABLE_HTTP = frozenset({408, 429})
_SERVER_ERRORS = 500
_decode = codec.decoder(tasks_pb2.CreateTaskRequest)


class CreateTask:
    """Creates the tasks."""

    def __init__(self, tasks: grpc.aio.Channel, tokens: ServiceTokens) -> None:
        self._stub = tasks_pb2_grpc.TaskServiceStub(tasks)
        self._tokens = tokens

    async def __call__(self, run: Run) -> Outcome:
        """Make one attempt; each carries the id of the run, so that a repeated one finds the task of the first."""
        # The fields of the action are named as those of the request.
        request = _decode({**run.parameters, "workspace_id": str(run.workspace_id), "request_id": str(run.id)})
        try:
            answer = await self._stub.CreateTask(
                request, metadata=acting_for(self._tokens, run.acts_for, run.workspace_id), timeout=TIMEOUT_S
            )
        except RotaError as error:
            retryable = error.http_status >= _SERVER_ERRORS or error.http_status in _RETRYABLE_HTTP
            return Failed(f"{error.code}: {error.detail}", retryable=retryable or isinstance(error, Conflict))
        return Succeeded(task_id=answer.task.id)
