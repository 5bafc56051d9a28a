"""Operations and their results as the contract writes them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from uuid import UUID

from protovalidate import Validator
from rota.tasks.v1 import batch_pb2, tasks_pb2
from rota_chassis.errors import InvalidArgument, RotaError, Violation
from rota_chassis.ids import uuid7
from rota_chassis.rpc.pipeline import violations_of

from rota_tasks.batch.domain import (
    Assign,
    Complete,
    Create,
    Delete,
    Edit,
    Operation,
    Relate,
    Reopen,
    Unassign,
)
from rota_tasks.relations.domain import Relation
from rota_tasks.relations.messages import TYPES, relation_message
from rota_tasks.tasks.domain import Task
from rota_tasks.tasks.messages import task_message
from rota_tasks.tasks.servicer import VALUES, changes_of, new_fields
from rota_tasks.tasks.values import NAMED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from google.protobuf.message import Message

_NAMES_A_TASK = ("id", "parent_id", "task_id")
# No UUID looks like this: those are longer.
_TEMP_ID = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")


class Operations:
    """Reads the operations of calls."""

    def __init__(self) -> None:
        self._validator = Validator()

    def read(self, request: batch_pb2.BatchTasksRequest, workspace_id: UUID) -> list[Operation | RotaError]:
        """What each operation asks, or what is wrong with it."""
        made: dict[str, UUID] = {}
        return [self._operation(each, workspace_id, made) for each in request.operations]

    def _operation(
        self, message: batch_pb2.BatchOperation, workspace_id: UUID, made: dict[str, UUID]
    ) -> Operation | RotaError:
        kind = message.WhichOneof("kind")
        try:
            if kind is None:
                raise _invalid([Violation("", "names nothing to do", "required")])
            asked: Any = type(getattr(message, kind))()
            asked.CopyFrom(getattr(message, kind))
            self._require(asked, _resolve(asked, made))
            if kind == "create":
                return _create(asked, workspace_id, message.temp_id, made)
            if message.temp_id:
                raise _invalid([Violation("temp_id", "is only for what is created", "not_a_create")])
            return _OF_A_TASK[kind](UUID(asked.id), asked)
        except RotaError as error:
            return error

    def _require(self, asked: Message, unknown: Sequence[Violation]) -> None:
        named = {each.field for each in unknown}
        violations = [*unknown, *(each for each in violations_of(self._validator, asked) if each.field not in named)]
        if violations:
            raise _invalid(violations)


def batch_answer(outcomes: Sequence[Task | Relation | RotaError | None], batch_id: UUID | None) -> bytes:
    """The serialized BatchTasksResponse."""
    return batch_pb2.BatchTasksResponse(
        results=[_result(each) for each in outcomes], batch_id=str(batch_id or "")
    ).SerializeToString()


def undone_answer(
    outcomes: Mapping[UUID, Task | RotaError | None], batch_id: UUID | None
) -> batch_pb2.UndoBatchResponse:
    """What came of undoing, by task."""
    return batch_pb2.UndoBatchResponse(
        results=[_undone(task_id, outcome) for task_id, outcome in outcomes.items()], batch_id=str(batch_id or "")
    )


def _undone(task_id: UUID, outcome: Task | RotaError | None) -> batch_pb2.UndoResult:
    if isinstance(outcome, RotaError):
        return batch_pb2.UndoResult(task_id=str(task_id), problem=_problem(outcome))
    return batch_pb2.UndoResult(task_id=str(task_id), task=task_message(outcome) if outcome else None)


def _resolve(asked: Message, made: Mapping[str, UUID]) -> list[Violation]:
    """Put ids where temporary ones stand; those that nothing earlier in the call has."""
    unknown = []
    for field in _NAMES_A_TASK:
        value = getattr(asked, field, "")
        if value in made:
            setattr(asked, field, str(made[value]))
        elif _TEMP_ID.fullmatch(value):
            unknown.append(Violation(field, "names nothing that is created earlier in the call", "unknown_temp_id"))
    return unknown


def _create(asked: Any, workspace_id: UUID, temp_id: str, made: dict[str, UUID]) -> Create:
    if asked.HasField("workspace_id") and UUID(asked.workspace_id) != workspace_id:
        raise _invalid([Violation("workspace_id", "is not that of the call", "other_workspace")])
    if asked.request_id:
        raise _invalid([Violation("request_id", "is for the call, not for one operation", "not_here")])
    if temp_id in made:
        raise _invalid([Violation("temp_id", "is taken by an earlier operation", "duplicate")])
    create = Create(uuid7(), new_fields(asked))
    if temp_id:
        made[temp_id] = create.task_id
    return create


def _delete(task_id: UUID, asked: Any) -> Delete:
    if asked.scope > tasks_pb2.OCCURRENCE_SCOPE_THIS:
        raise _invalid([Violation("scope", "is only for a call of its own", "not_here")])
    return Delete(task_id, asked.if_match)


def _edit(task_id: UUID, asked: Any) -> Edit:
    if asked.scope > tasks_pb2.OCCURRENCE_SCOPE_THIS:
        raise _invalid([Violation("scope", "is only for a call of its own", "not_here")])
    given = [field.name for field, _value in asked.ListFields() if field.name in VALUES and field.name != "fields"]
    given += [NAMED + key for key in asked.fields]
    return Edit(task_id, changes_of(asked, asked.update_mask.paths or given), asked.if_match)


# How each kind of operation on a task that exists reads from its request.
_OF_A_TASK: dict[str, Callable[[UUID, Any], Operation]] = {
    "update": _edit,
    "delete": _delete,
    "complete": lambda task_id, asked: Complete(task_id, asked.if_match),
    "reopen": lambda task_id, asked: Reopen(task_id, asked.if_match),
    "assign": lambda task_id, asked: Assign(task_id, UUID(asked.assignee_id)),
    "unassign": lambda task_id, asked: Unassign(task_id, UUID(asked.assignee_id)),
    "relate": lambda task_id, asked: Relate(task_id, TYPES[asked.type], UUID(asked.task_id)),
}


def _result(outcome: Task | Relation | RotaError | None) -> batch_pb2.BatchResult:
    match outcome:
        case Task():
            return batch_pb2.BatchResult(task=task_message(outcome))
        case Relation():
            return batch_pb2.BatchResult(relation=relation_message(outcome))
        case RotaError():
            return batch_pb2.BatchResult(problem=_problem(outcome))
    return batch_pb2.BatchResult()


def _problem(error: RotaError) -> batch_pb2.BatchProblem:
    return batch_pb2.BatchProblem(
        status=error.http_status,
        code=error.code,
        detail=error.detail,
        errors=[
            batch_pb2.BatchFieldError(field=each.field, detail=each.description, code=each.reason)
            for each in error.violations
        ],
    )


def _invalid(violations: Sequence[Violation]) -> InvalidArgument:
    return InvalidArgument("Some fields are not valid.", code="INVALID_FIELDS", violations=violations)
