"""rota.tasks.v1.TaskService: messages in, use cases, messages out."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota.tasks.v1 import tasks_pb2, tasks_pb2_grpc
from rota_chassis.errors import InvalidArgument, Violation
from rota_chassis.identity import require_user
from rota_chassis.pagination import page_size

from rota_tasks.tasks import commands, queries
from rota_tasks.tasks.domain import Priority, Status
from rota_tasks.tasks.messages import PRIORITIES, STATUSES, task_message
from rota_tasks.timestamps import moment

if TYPE_CHECKING:
    from collections.abc import Callable

    from rota_chassis.pagination import PageTokens

    from rota_tasks.tasks.dependencies import Tasks

_NOT_CLEARED = ("title", "status")


class TaskServicer(tasks_pb2_grpc.TaskServiceServicer):
    """Serves tasks."""

    def __init__(self, tasks: Tasks, page_tokens: PageTokens) -> None:
        self._tasks = tasks
        self._page_tokens = page_tokens

    async def CreateTask(self, request: tasks_pb2.CreateTaskRequest, _context: Any) -> tasks_pb2.CreateTaskResponse:
        user = require_user()
        task = await commands.create_task(
            self._tasks,
            user,
            workspace_id=UUID(request.workspace_id) if request.HasField("workspace_id") else user.workspace_id,
            request=commands.Request(request.request_id, _fingerprint(request)) if request.request_id else None,
            state_id=_optional_id(request, "state_id"),
            **{field: value(request) for field, value in _VALUES.items() if field != "status"},
        )
        return tasks_pb2.CreateTaskResponse(task=task_message(task))

    async def GetTask(self, request: tasks_pb2.GetTaskRequest, _context: Any) -> tasks_pb2.GetTaskResponse:
        task = await queries.get_task(self._tasks, require_user(), task_id=UUID(request.id))
        return tasks_pb2.GetTaskResponse(task=task_message(task))

    async def ListTasks(self, request: tasks_pb2.ListTasksRequest, _context: Any) -> tasks_pb2.ListTasksResponse:
        user = require_user()
        filters = {
            "workspace_id": _optional_id(request, "workspace_id"),
            "project_id": _optional_id(request, "project_id"),
            "status": STATUSES.get(request.status),
            "assignee_id": _optional_id(request, "assignee_id"),
            "label_id": _optional_id(request, "label_id"),
        }
        bound_to = ["tasks", user.user_id, *filters.values()]
        before = None
        if request.page_token:
            before = UUID(self._page_tokens.decode(request.page_token, bound_to=bound_to)[0])
        limit = page_size(request.page_size)
        found = await queries.list_tasks(self._tasks, user, limit=limit + 1, before=before, filters=filters)
        answer = tasks_pb2.ListTasksResponse(tasks=[task_message(task) for task in found[:limit]])
        if len(found) > limit:
            answer.next_page_token = self._page_tokens.encode([found[limit - 1].id], bound_to=bound_to)
        return answer

    async def ListSubtasks(
        self, request: tasks_pb2.ListSubtasksRequest, _context: Any
    ) -> tasks_pb2.ListSubtasksResponse:
        user = require_user()
        bound_to = ["subtasks", user.user_id, request.id]
        after = None
        if request.page_token:
            after = UUID(self._page_tokens.decode(request.page_token, bound_to=bound_to)[0])
        limit = page_size(request.page_size)
        found = await queries.list_subtasks(self._tasks, user, task_id=UUID(request.id), limit=limit + 1, after=after)
        answer = tasks_pb2.ListSubtasksResponse(tasks=[task_message(task) for task in found[:limit]])
        if len(found) > limit:
            answer.next_page_token = self._page_tokens.encode([found[limit - 1].id], bound_to=bound_to)
        return answer

    async def UpdateTask(self, request: tasks_pb2.UpdateTaskRequest, _context: Any) -> tasks_pb2.UpdateTaskResponse:
        named = [path for path in request.update_mask.paths if path in _VALUES]
        changes = {field: _VALUES[field](request) for field in named}
        cleared = [field for field in _NOT_CLEARED if field in changes and not changes[field]]
        if cleared:
            raise InvalidArgument(
                f"A task always has a {' and a '.join(cleared)}.",
                code="INVALID_FIELDS",
                violations=[Violation(field, "cannot be cleared", "required") for field in cleared],
            )
        task = await commands.edit_task(
            self._tasks, require_user(), task_id=UUID(request.id), changes=changes, if_match=request.if_match
        )
        return tasks_pb2.UpdateTaskResponse(task=task_message(task))

    async def ReplaceTask(self, request: tasks_pb2.ReplaceTaskRequest, _context: Any) -> tasks_pb2.ReplaceTaskResponse:
        changes = {field: value(request) for field, value in _VALUES.items()}
        changes["status"] = changes["status"] or Status.TODO
        task = await commands.edit_task(
            self._tasks, require_user(), task_id=UUID(request.id), changes=changes, if_match=request.if_match
        )
        return tasks_pb2.ReplaceTaskResponse(task=task_message(task))

    async def DeleteTask(self, request: tasks_pb2.DeleteTaskRequest, _context: Any) -> tasks_pb2.DeleteTaskResponse:
        await commands.delete_task(self._tasks, require_user(), task_id=UUID(request.id), if_match=request.if_match)
        return tasks_pb2.DeleteTaskResponse()

    async def AssignTask(self, request: tasks_pb2.AssignTaskRequest, _context: Any) -> tasks_pb2.AssignTaskResponse:
        task = await commands.assign_task(
            self._tasks, require_user(), task_id=UUID(request.id), assignee_id=UUID(request.assignee_id)
        )
        return tasks_pb2.AssignTaskResponse(task=task_message(task))

    async def UnassignTask(
        self, request: tasks_pb2.UnassignTaskRequest, _context: Any
    ) -> tasks_pb2.UnassignTaskResponse:
        task = await commands.unassign_task(
            self._tasks, require_user(), task_id=UUID(request.id), assignee_id=UUID(request.assignee_id)
        )
        return tasks_pb2.UnassignTaskResponse(task=task_message(task))

    async def CompleteTask(
        self, request: tasks_pb2.CompleteTaskRequest, _context: Any
    ) -> tasks_pb2.CompleteTaskResponse:
        task = await commands.complete_task(
            self._tasks, require_user(), task_id=UUID(request.id), if_match=request.if_match
        )
        return tasks_pb2.CompleteTaskResponse(task=task_message(task))

    async def ReopenTask(self, request: tasks_pb2.ReopenTaskRequest, _context: Any) -> tasks_pb2.ReopenTaskResponse:
        task = await commands.reopen_task(
            self._tasks, require_user(), task_id=UUID(request.id), if_match=request.if_match
        )
        return tasks_pb2.ReopenTaskResponse(task=task_message(task))


# How each editable field reads from a request; what is not set reads as its default, None where there is none.
_VALUES: dict[str, Callable[[Any], Any]] = {
    "title": lambda request: request.title,
    "description": lambda request: request.description,
    "status": lambda request: STATUSES.get(request.status),
    "priority": lambda request: PRIORITIES.get(request.priority, Priority.NONE),
    "due_at": lambda request: moment(request, "due_at"),
    "remind_at": lambda request: moment(request, "remind_at"),
    "project_id": lambda request: _optional_id(request, "project_id"),
    "assignee_ids": lambda request: tuple(UUID(each) for each in request.assignee_ids),
    "label_ids": lambda request: tuple(UUID(each) for each in request.label_ids),
    "start_at": lambda request: moment(request, "start_at"),
    "deadline_at": lambda request: moment(request, "deadline_at"),
    "estimate_s": lambda request: request.estimate_s if request.HasField("estimate_s") else None,
    "progress": lambda request: request.progress,
    "parent_id": lambda request: _optional_id(request, "parent_id"),
    "category": lambda request: request.category,
    "section_id": lambda request: _optional_id(request, "section_id"),
}


def _optional_id(request: Any, field: str) -> UUID | None:
    return UUID(getattr(request, field)) if request.HasField(field) else None


def _fingerprint(request: tasks_pb2.CreateTaskRequest) -> bytes:
    content = tasks_pb2.CreateTaskRequest()
    content.CopyFrom(request)
    content.ClearField("request_id")
    return hashlib.sha256(content.SerializeToString(deterministic=True)).digest()
