"""The actions on tasks, on behalf of the schedule's creator: `create_task`, and the members of `task`.

Delivered twice: what is created carries the id of the run as its request id, so that a repeated attempt finds what the
first has made; the other calls change nothing the second time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf.field_mask_pb2 import FieldMask
from rota.tasks.v1 import (
    comments_pb2,
    comments_pb2_grpc,
    tasks_pb2,
    tasks_pb2_grpc,
    templates_pb2,
    templates_pb2_grpc,
)
from rota_chassis import codec
from rota_chassis.errors import RotaError
from rota_chassis.rpc.channel import acting_for

from rota_scheduler import origins
from rota_scheduler.actions.failures import failed_call
from rota_scheduler.actions.retries import timeout_of
from rota_scheduler.runs.domain import Succeeded

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    import grpc
    from rota_chassis.postgres.database import Database
    from rota_chassis.tokens import ServiceTokens

    from rota_scheduler.runs.domain import Outcome, Run

_decode_create = codec.decoder(tasks_pb2.CreateTaskRequest)
_decode_update = codec.decoder(tasks_pb2.UpdateTaskRequest)
_decode_use = codec.decoder(templates_pb2.InstantiateTemplateRequest)


class ActOnTasks:
    """Makes the calls of the tasks service."""

    def __init__(self, tasks: grpc.aio.Channel, tokens: ServiceTokens, database: Database) -> None:
        self._database = database
        self._tasks = tasks_pb2_grpc.TaskServiceStub(tasks)
        self._templates = templates_pb2_grpc.TemplateServiceStub(tasks)
        self._comments = comments_pb2_grpc.CommentServiceStub(tasks)
        self._tokens = tokens

    async def create_task(self, run: Run) -> Outcome:
        """Make one attempt at the action `create_task`."""
        return await self._create(run, run.parameters)

    async def task(self, run: Run) -> Outcome:
        """Make one attempt at the action `task`."""
        kind, parameters = next((name, given) for name, given in run.parameters.items() if given is not None)
        if kind == "create":
            return await self._create(run, parameters)
        if kind == "instantiate":
            return await self._instantiate(run, parameters)
        call, request = self._change(run, kind, parameters)
        try:
            await self._made(call, request, run)
        except RotaError as error:
            return failed_call(error)
        return Succeeded(task_id=parameters["task_id"])

    def _change(self, run: Run, kind: str, parameters: Mapping[str, Any]) -> tuple[Callable[..., Awaitable[Any]], Any]:
        task_id = parameters["task_id"]
        match kind:
            case "transition":
                request = _decode_update({"id": task_id, "status": parameters["status"]})
                request.update_mask.CopyFrom(FieldMask(paths=["status"]))
                return self._tasks.UpdateTask, request
            case "complete":
                return self._tasks.CompleteTask, tasks_pb2.CompleteTaskRequest(id=task_id)
            case "assign":
                return self._tasks.AssignTask, tasks_pb2.AssignTaskRequest(
                    id=task_id, assignee_id=parameters["assignee_id"]
                )
            case "comment":
                return self._comments.CreateComment, comments_pb2.CreateCommentRequest(
                    task_id=task_id, text=parameters["body"], request_id=str(run.id)
                )
        raise ValueError(f"there is no {kind} of tasks")

    async def _create(self, run: Run, parameters: Mapping[str, Any]) -> Outcome:
        # The fields of the action are named as those of the request.
        request = _decode_create({**parameters, "workspace_id": str(run.workspace_id), "request_id": str(run.id)})
        try:
            answer = await self._made(self._tasks.CreateTask, request, run)
        except RotaError as error:
            return failed_call(error)
        return Succeeded(task_id=answer.task.id)

    async def _instantiate(self, run: Run, parameters: Mapping[str, Any]) -> Outcome:
        named = {name: value for name, value in parameters.items() if name != "template_id"}
        request = _decode_use({**named, "id": parameters["template_id"], "request_id": str(run.id)})
        try:
            answer = await self._made(self._templates.InstantiateTemplate, request, run)
        except RotaError as error:
            return failed_call(error)
        return Succeeded(task_id=answer.task.id or None)

    async def _made(self, call: Callable[..., Awaitable[Any]], request: Any, run: Run) -> Any:
        origin = await origins.of_run(self._database, run)
        return await call(
            request,
            metadata=acting_for(self._tokens, run.acts_for, run.workspace_id, causation_depth=origin.causation_depth),
            timeout=timeout_of(run.action),
        )
