"""rota.scheduler.v1.TaskActionService: actions in, whether they will do out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct
from rota.scheduler.v1 import task_actions_pb2, task_actions_pb2_grpc
from rota_chassis.codec.wellknown import struct_json
from rota_chassis.errors import InvalidArgument, Violation
from rota_chassis.ids import uuid7
from rota_chassis.memberships import WRITERS

from rota_scheduler.actions.contract import action_given, units_asked
from rota_scheduler.actions.secrets import masked
from rota_scheduler.executions import store
from rota_scheduler.resource_pools.checks import check_resources

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rota_scheduler.executions.firing import Executions

MAX_BYTES = 64_000


class TaskActionServicer(task_actions_pb2_grpc.TaskActionServiceServicer):
    """Serves what may be asked about actions of tasks."""

    def __init__(self, executions: Executions) -> None:
        self._executions = executions

    async def AcceptActions(
        self, request: task_actions_pb2.AcceptActionsRequest, _context: Any
    ) -> task_actions_pb2.AcceptActionsResponse:
        # Its time comes in a transaction, which asks the copy alone; so the copy is to know who gave it.
        await self._executions.memberships.require(UUID(request.user_id), UUID(request.workspace_id), WRITERS)
        answer = task_actions_pb2.AcceptActionsResponse()
        secret: dict[UUID, Mapping[str, Any]] = {}
        workspace_id = UUID(request.workspace_id)
        for struct in request.actions:
            content = struct_json(struct)
            try:
                await self._check(workspace_id, content)
            except InvalidArgument as error:
                answer.actions.append(task_actions_pb2.AcceptedAction(refusal=_refusal(error)))
                continue
            action_id, shown = uuid7(), masked(content)
            if shown != content:
                secret[action_id] = content
            answer.actions.append(
                task_actions_pb2.AcceptedAction(id=str(action_id), action=ParseDict(dict(shown), Struct()))
            )
        if secret:
            async with self._executions.database.transaction() as work:
                await store.keep_secrets(work, workspace_id, secret)
        return answer

    async def _check(self, workspace_id: UUID, content: Mapping[str, Any]) -> None:
        if len(orjson.dumps(content)) > MAX_BYTES:
            description = f"is larger than {MAX_BYTES} bytes"
            raise InvalidArgument(
                f"The action {description}.",
                code="INVALID_ACTION",
                violations=[Violation("action", description, "too_large")],
            )
        action_given(content, self._executions.egress)
        await check_resources(
            self._executions.database, workspace_id=workspace_id, resources=units_asked([content]), path="action."
        )


def _refusal(error: InvalidArgument) -> task_actions_pb2.ActionRefusal:
    return task_actions_pb2.ActionRefusal(
        code=error.code,
        detail=error.detail,
        violations=[
            task_actions_pb2.ActionViolation(field=each.field, description=each.description, reason=each.reason)
            for each in error.violations
        ],
    )
