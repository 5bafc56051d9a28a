"""Asking the scheduler whether it would take an action, before anything is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota.scheduler.v1 import task_actions_pb2
from rota_chassis.codec.wellknown import struct_json
from rota_chassis.errors import InvalidArgument, Violation

from rota_tasks.executions.execution import Given
from rota_tasks.executions.messages import action_struct

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rota_chassis.identity import UserPrincipal

    from rota_tasks.executions.execution import Execution
    from rota_tasks.tasks.dependencies import Tasks
    from rota_tasks.tasks.domain import Task


async def begun(tasks: Tasks, user: UserPrincipal, workspace_id: UUID, execution: Execution) -> Execution:
    """What a new task does, from what is asked for.

    Raises:
        InvalidArgument: the action is none, or will not do (code INVALID_ACTION or ADDRESS_NOT_ALLOWED).
        Unavailable: the scheduler cannot be asked now.
    """
    (answer,) = await accepted(tasks, user, workspace_id, [execution.action])
    if isinstance(answer, InvalidArgument):
        raise answer
    return execution.given(answer)


async def asked(tasks: Tasks, user: UserPrincipal, task: Task, changes: Mapping[str, Any]) -> Mapping[str, Any]:
    """The changes of a task that name an action: nothing of it, when the task shows that, or else as it was accepted.

    Raises:
        InvalidArgument: as `begun`.
        Unavailable: the scheduler cannot be asked now.
    """
    action = changes["action"]
    if task.execution is not None and task.execution.action == action:
        return {name: value for name, value in changes.items() if name != "action"}
    (answer,) = await accepted(tasks, user, task.workspace_id, [action])
    if isinstance(answer, InvalidArgument):
        raise answer
    return {**changes, "action": answer}


async def accepted(
    tasks: Tasks, user: UserPrincipal, workspace_id: UUID, actions: Sequence[Mapping[str, Any]]
) -> Sequence[Given | InvalidArgument]:
    """What the scheduler says of each action, in one call.

    Raises:
        Unavailable: it cannot be asked now.
    """
    if not actions:
        return []
    answer = await tasks.actions.AcceptActions(
        task_actions_pb2.AcceptActionsRequest(
            workspace_id=str(workspace_id),
            user_id=str(user.user_id),
            actions=[action_struct(each) for each in actions],
        )
    )
    return [_outcome(each, user) for each in answer.actions]


def _outcome(answer: task_actions_pb2.AcceptedAction, user: UserPrincipal) -> Given | InvalidArgument:
    if answer.HasField("refusal"):
        return InvalidArgument(
            answer.refusal.detail,
            code=answer.refusal.code,
            violations=[Violation(each.field, each.description, each.reason) for each in answer.refusal.violations],
        )
    return Given(action=struct_json(answer.action), id=UUID(answer.id), given_by=user.user_id)
