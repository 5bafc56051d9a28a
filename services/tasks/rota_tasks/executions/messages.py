"""Actions of tasks as the contract and the read table write them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct
from rota.tasks.v1 import executions_pb2, tasks_pb2
from rota_chassis.codec.wellknown import struct_json

from rota_tasks.executions.execution import Execution, RunStatus, RunWhen, TaskRun
from rota_tasks.timestamps import moment, timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping

_WHENS = {each: executions_pb2.RunWhen.Value(f"RUN_WHEN_{each.name}") for each in RunWhen}
_STATUSES = {each: executions_pb2.TaskRunStatus.Value(f"TASK_RUN_STATUS_{each.name}") for each in RunStatus}
_STATUS_OF = {number: each for each, number in _STATUSES.items()}
WHENS = {number: each for each, number in _WHENS.items()}


def execution_given(request: Any) -> Execution | None:
    """What a request for a new task asks for, not accepted yet."""
    if not request.HasField("action"):
        return None
    return Execution(
        action=struct_json(request.action),
        run_when=WHENS.get(request.run_when, RunWhen.DUE),
        complete_on_success=not request.HasField("complete_on_success") or request.complete_on_success,
    )


def fill(message: tasks_pb2.Task, execution: Execution) -> None:
    """Write it into the message of its task."""
    ParseDict(dict(execution.action), message.action)
    message.run_when = _WHENS[execution.run_when]
    message.complete_on_success = execution.complete_on_success
    if execution.run is not None:
        message.run.CopyFrom(run_message(execution.run))
    message.action_state.CopyFrom(
        executions_pb2.TaskActionState(
            id=str(execution.id), given_by=str(execution.given_by), unblocked_at=timestamp(execution.unblocked_at)
        )
    )


def execution_of(message: tasks_pb2.Task) -> Execution | None:
    """What the task in a message does; the inverse of `fill`."""
    if not message.HasField("action"):
        return None
    return Execution(
        action=struct_json(message.action),
        run_when=WHENS[message.run_when],
        complete_on_success=message.complete_on_success,
        id=UUID(message.action_state.id),
        given_by=UUID(message.action_state.given_by),
        unblocked_at=moment(message.action_state, "unblocked_at"),
        run=run_of(message.run) if message.HasField("run") else None,
    )


def run_message(run: TaskRun) -> executions_pb2.TaskRun:
    """The run as the API shows it."""
    return executions_pb2.TaskRun(
        id=str(run.id),
        status=_STATUSES[run.status],
        started_at=timestamp(run.started_at),
        finished_at=timestamp(run.finished_at),
        error=run.error,
    )


def run_of(message: executions_pb2.TaskRun) -> TaskRun:
    """The run in a message; the inverse of `run_message`."""
    return TaskRun(
        id=UUID(message.id),
        status=_STATUS_OF[message.status],
        started_at=moment(message, "started_at"),
        finished_at=moment(message, "finished_at"),
        error=message.error if message.HasField("error") else None,
    )


def action_struct(action: Mapping[str, Any]) -> Struct:
    """An action as it travels."""
    return ParseDict(dict(action), Struct())


def run_json(run: TaskRun) -> dict[str, Any]:
    """The run in the JSON form of the REST API."""
    return {
        "id": str(run.id),
        "status": run.status.value,
        "started_at": _text(run.started_at),
        "finished_at": _text(run.finished_at),
        "error": run.error,
    }


def execution_json(execution: Execution | None) -> dict[str, Any] | None:
    """What the read table keeps."""
    if execution is None:
        return None
    return {
        "action": dict(execution.action),
        "run_when": execution.run_when.value,
        "complete_on_success": execution.complete_on_success,
        "id": str(execution.id),
        "given_by": str(execution.given_by),
        "unblocked_at": _text(execution.unblocked_at),
        "run": None if execution.run is None else run_json(execution.run),
    }


def execution_of_json(data: Mapping[str, Any] | None) -> Execution | None:
    """The inverse of `execution_json`."""
    if data is None:
        return None
    run = data["run"]
    return Execution(
        action=data["action"],
        run_when=RunWhen(data["run_when"]),
        complete_on_success=data["complete_on_success"],
        id=UUID(data["id"]),
        given_by=UUID(data["given_by"]),
        unblocked_at=_instant(data["unblocked_at"]),
        run=None
        if run is None
        else TaskRun(
            id=UUID(run["id"]),
            status=RunStatus(run["status"]),
            started_at=_instant(run["started_at"]),
            finished_at=_instant(run["finished_at"]),
            error=run["error"],
        ),
    )


def _text(value: datetime | None) -> str | None:
    return None if value is None else value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _instant(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)
