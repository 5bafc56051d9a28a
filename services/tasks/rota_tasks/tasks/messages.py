"""Tasks and their events as the contract writes them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from google.protobuf import struct_pb2
from rota.events.v1 import events_pb2
from rota.tasks.v1 import tasks_pb2
from rota_chassis.events.log import NewEvent

from rota_tasks.executions.execution import TaskRun
from rota_tasks.executions.messages import execution_of, fill, run_json
from rota_tasks.fields.messages import value_of
from rota_tasks.series.recurrence import Recurrence
from rota_tasks.series.recurrence_messages import recurrence_json, recurrence_message, recurrence_of
from rota_tasks.tasks.domain import (
    FieldChange,
    Priority,
    Standing,
    Status,
    Task,
    TaskAssigned,
    TaskCompleted,
    TaskCreated,
    TaskDeleted,
    TaskEvent,
    TaskPurged,
    TaskReopened,
    TaskRestored,
    TaskUpdated,
)
from rota_tasks.timestamps import moment, timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from google.protobuf.message import Message

_STATUS_PREFIX, _PRIORITY_PREFIX = "TASK_STATUS_", "TASK_PRIORITY_"
STATUS_NUMBERS = {status: tasks_pb2.TaskStatus.Value(_STATUS_PREFIX + status.name) for status in Status}
PRIORITY_NUMBERS = {each: tasks_pb2.TaskPriority.Value(_PRIORITY_PREFIX + each.name) for each in Priority}
STATUSES = {number: status for status, number in STATUS_NUMBERS.items()}
PRIORITIES = {number: priority for priority, number in PRIORITY_NUMBERS.items()}

# What a task may be without, and how it is written: what is not set takes no time.
_OPTIONAL: tuple[tuple[str, Callable[[Any], Any]], ...] = (
    *((name, str) for name in ("project_id", "completed_by", "parent_id", "state_id", "section_id", "series_id")),
    *((name, str) for name in ("state_id_before", "position", "occurrence", "key")),
    *((name, int) for name in ("estimate_s", "number")),
    *((name, timestamp) for name in ("due_at", "remind_at", "completed_at", "start_at", "deadline_at")),
    *((name, date.isoformat) for name in ("due_on", "start_on")),
    ("status_before", STATUS_NUMBERS.__getitem__),
    ("recurrence", recurrence_message),
)


def task_message(task: Task) -> tasks_pb2.Task:
    """The task as the API shows it."""
    message = tasks_pb2.Task(
        id=str(task.id),
        workspace_id=str(task.workspace_id),
        title=task.title,
        description=task.description,
        status=STATUS_NUMBERS[task.status],
        priority=PRIORITY_NUMBERS[task.priority],
        assignee_ids=map(str, task.assignee_ids),
        created_by=str(task.created_by),
        created_at=timestamp(task.created_at),
        updated_at=timestamp(task.updated_at),
        version=task.version,
        etag=task.etag,
        label_ids=map(str, task.label_ids),
        progress=task.progress,
        category=task.category,
        time_zone=task.time_zone,
        watcher_ids=map(str, task.watcher_ids),
        remind_before_s=task.remind_before_s,
        fields={key: tasks_pb2.CustomValue(**value) for key, value in task.fields.items()},
        **{name: shown(value) for name, shown in _OPTIONAL if (value := getattr(task, name)) is not None},
    )
    if task.standing is not None:
        _show_standing(message, task.standing)
    if task.execution is not None:
        fill(message, task.execution)
    return message


def _show_standing(message: tasks_pb2.Task, standing: Standing) -> None:
    message.subtasks.open, message.subtasks.total = standing.open_subtasks, standing.subtasks
    message.is_blocked = bool(standing.blocked_by)
    message.blocked_by.extend(map(str, standing.blocked_by))
    message.is_favourite = standing.is_favourite
    message.attachment_count = standing.attachments
    message.checklist.open, message.checklist.total = standing.open_items, standing.items


def task_of(message: tasks_pb2.Task) -> Task:
    """The task in a message; the inverse of `task_message`."""
    return Task(
        id=UUID(message.id),
        workspace_id=UUID(message.workspace_id),
        project_id=UUID(message.project_id) if message.HasField("project_id") else None,
        title=message.title,
        description=message.description,
        status=STATUSES[message.status],
        priority=PRIORITIES[message.priority],
        due_at=moment(message, "due_at"),
        remind_at=moment(message, "remind_at"),
        assignee_ids=tuple(UUID(each) for each in message.assignee_ids),
        created_by=UUID(message.created_by),
        created_at=message.created_at.ToDatetime(UTC),
        updated_at=message.updated_at.ToDatetime(UTC),
        completed_at=moment(message, "completed_at"),
        completed_by=UUID(message.completed_by) if message.HasField("completed_by") else None,
        version=message.version,
        label_ids=tuple(UUID(each) for each in message.label_ids),
        start_at=moment(message, "start_at"),
        deadline_at=moment(message, "deadline_at"),
        estimate_s=message.estimate_s if message.HasField("estimate_s") else None,
        progress=message.progress,
        category=message.category,
        parent_id=UUID(message.parent_id) if message.HasField("parent_id") else None,
        due_on=date.fromisoformat(message.due_on) if message.HasField("due_on") else None,
        start_on=date.fromisoformat(message.start_on) if message.HasField("start_on") else None,
        time_zone=message.time_zone,
        watcher_ids=tuple(UUID(each) for each in message.watcher_ids),
        state_id=UUID(message.state_id) if message.HasField("state_id") else None,
        section_id=UUID(message.section_id) if message.HasField("section_id") else None,
        position=message.position if message.HasField("position") else None,
        status_before=STATUSES.get(message.status_before),
        state_id_before=UUID(message.state_id_before) if message.HasField("state_id_before") else None,
        recurrence=recurrence_of(message.recurrence) if message.HasField("recurrence") else None,
        series_id=UUID(message.series_id) if message.HasField("series_id") else None,
        occurrence=message.occurrence if message.HasField("occurrence") else None,
        remind_before_s=tuple(message.remind_before_s),
        fields={key: value_of(value) for key, value in message.fields.items()},
        execution=execution_of(message),
        key=message.key if message.HasField("key") else None,
        number=message.number if message.HasField("number") else None,
    )


def event_message(event: TaskEvent) -> NewEvent:
    """The event as the log keeps it."""
    return NewEvent(
        workspace_id=event.task.workspace_id,
        aggregate_id=event.task.id,
        aggregate_version=event.task.version,
        data=_data(event),
        time=event.task.updated_at,
    )


def _data(event: TaskEvent) -> Message:
    task = task_message(event.task if event.task.standing is None else replace(event.task, standing=None))
    match event:
        case TaskUpdated():
            return events_pb2.TaskUpdated(task=task, changes=[_change(each) for each in event.changes])
        case TaskAssigned():
            return events_pb2.TaskAssigned(
                task=task, added_ids=map(str, event.added), removed_ids=map(str, event.removed)
            )
        case TaskDeleted():
            return events_pb2.TaskDeleted(task=task, root_id=str(event.root_id), deleted_by=str(event.deleted_by))
    message: Message = _OF_THE_TASK_ALONE[type(event)](task=task)
    return message


_OF_THE_TASK_ALONE: Mapping[type[TaskEvent], Any] = {
    TaskCreated: events_pb2.TaskCreated,
    TaskCompleted: events_pb2.TaskCompleted,
    TaskReopened: events_pb2.TaskReopened,
    TaskRestored: events_pb2.TaskRestored,
    TaskPurged: events_pb2.TaskPurged,
}


def _change(change: FieldChange) -> events_pb2.FieldChange:
    return events_pb2.FieldChange(field=change.field, old=_value(change.old), new=_value(change.new))


def _value(value: Any) -> struct_pb2.Value:
    if value is None:
        return struct_pb2.Value(null_value=struct_pb2.NULL_VALUE)
    if isinstance(value, datetime):
        return struct_pb2.Value(string_value=value.isoformat().replace("+00:00", "Z"))
    if isinstance(value, Recurrence):
        value = recurrence_json(value) or {}
    if isinstance(value, TaskRun):
        value = run_json(value)
    if isinstance(value, dict):
        return struct_pb2.Value(
            struct_value=struct_pb2.Struct(fields={key: _value(each) for key, each in value.items()})
        )
    if isinstance(value, int | float):
        is_bool = isinstance(value, bool)
        return struct_pb2.Value(bool_value=bool(value)) if is_bool else struct_pb2.Value(number_value=value)
    if isinstance(value, tuple | list):
        return struct_pb2.Value(list_value=struct_pb2.ListValue(values=[_value(each) for each in value]))
    return struct_pb2.Value(string_value=str(value))
