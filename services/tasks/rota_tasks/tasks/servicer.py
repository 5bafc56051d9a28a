"""rota.tasks.v1.TaskService: messages in, use cases, messages out."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota.tasks.v1 import tasks_pb2, tasks_pb2_grpc
from rota_chassis.codec.wellknown import struct_json
from rota_chassis.errors import InvalidArgument, Violation
from rota_chassis.filters.literals import Context, time_zone
from rota_chassis.identity import require_user
from rota_chassis.requests import request_of

from rota_tasks.executions.execution import NAMES as OF_EXECUTION
from rota_tasks.executions.messages import WHENS, execution_given
from rota_tasks.fields.messages import value_of
from rota_tasks.saved_filters import queries as saved_filters
from rota_tasks.series import commands as series
from rota_tasks.series.recurrence_messages import recurrence_given
from rota_tasks.tasks import commands, queries
from rota_tasks.tasks.custom import names_in
from rota_tasks.tasks.days import day, require_one_of_each, zone_name
from rota_tasks.tasks.domain import Priority, Status
from rota_tasks.tasks.filtering import both, filter_of
from rota_tasks.tasks.listing import Cursor
from rota_tasks.tasks.messages import PRIORITIES, STATUSES, task_message
from rota_tasks.tasks.ordering import order_of
from rota_tasks.tasks.values import NAMED, field_id
from rota_tasks.timestamps import moment
from rota_tasks.trash import commands as trash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from rota_chassis.identity import UserPrincipal
    from rota_chassis.pagination import PageTokens

    from rota_tasks.saved_filters.domain import SavedFilter
    from rota_tasks.tasks.dependencies import Tasks

_NOT_CLEARED = ("title", "status")
# What few tasks may have: a query of its own lets the planner choose where to begin.
_FEW_HAVE = ("assignee_id", "label_id", "favourite")
_SEVERAL = frozenset({tasks_pb2.OCCURRENCE_SCOPE_FOLLOWING, tasks_pb2.OCCURRENCE_SCOPE_ALL})


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
            request=request_of(request),
            **new_fields(request),
        )
        return tasks_pb2.CreateTaskResponse(task=task_message(task))

    async def GetTask(self, request: tasks_pb2.GetTaskRequest, _context: Any) -> tasks_pb2.GetTaskResponse:
        user, task_id, as_of = require_user(), UUID(request.id), moment(request, "as_of")
        if as_of is None:
            task = await queries.get_task(self._tasks, user, task_id=task_id)
        else:
            task = await queries.get_task_as_of(self._tasks, user, task_id=task_id, time=as_of)
        return tasks_pb2.GetTaskResponse(task=task_message(task))

    async def GetTaskByKey(
        self, request: tasks_pb2.GetTaskByKeyRequest, _context: Any
    ) -> tasks_pb2.GetTaskByKeyResponse:
        user = require_user()
        workspace_id = _optional_id(request, "workspace_id") or user.workspace_id
        task = await queries.get_task_by_key(self._tasks, user, workspace_id=workspace_id, key=request.key.upper())
        return tasks_pb2.GetTaskByKeyResponse(task=task_message(task))

    async def ListTasks(self, request: tasks_pb2.ListTasksRequest, _context: Any) -> tasks_pb2.ListTasksResponse:
        user = require_user()
        filters = {
            "workspace_id": _optional_id(request, "workspace_id"),
            "project_id": _optional_id(request, "project_id"),
            "status": STATUSES.get(request.status),
            "assignee_id": _optional_id(request, "assignee_id"),
            "label_id": _optional_id(request, "label_id"),
            "favourite": request.favourite,
        }
        if request.HasField("saved_filter_id"):
            saved_filter_id = UUID(request.saved_filter_id)
            saved = await saved_filters.get_saved_filter(self._tasks, user, saved_filter_id=saved_filter_id)
            return await self._find_tasks(request, user, filters, saved)
        if request.filter or request.order_by or any(filters[name] for name in _FEW_HAVE):
            return await self._find_tasks(request, user, filters)
        page = self._page_tokens.page(request, bound_to=["tasks", user.user_id, *filters.values()])
        found = await queries.list_tasks(self._tasks, user, limit=page.limit, before=page.cursor(UUID), filters=filters)
        rows, token = page.cut(found, lambda last: [last.id])
        return tasks_pb2.ListTasksResponse(tasks=map(task_message, rows), next_page_token=token)

    async def _find_tasks(
        self,
        request: tasks_pb2.ListTasksRequest,
        user: UserPrincipal,
        filters: Mapping[str, Any],
        saved: SavedFilter | None = None,
    ) -> tasks_pb2.ListTasksResponse:
        bound_to = ["tasks found", user.user_id, *filters.values(), request.filter, request.order_by, request.time_zone]
        if saved is not None:
            # Of this version: another has other pages.
            bound_to += [saved.id, saved.version]
        texts = [request.filter, request.order_by, *([saved.filter, saved.order_by] if saved else [])]
        named = await names_in(self._tasks.database, user.user_id, *texts)
        order = order_of(request.order_by or (saved.order_by if saved else ""), named)
        zone = time_zone(request.time_zone)
        page = self._page_tokens.page(request, bound_to=bound_to)
        # The pages of one list have the `now` of the first.
        now, after = page.cursor(
            lambda began, key, last: (datetime.fromisoformat(began), Cursor(order.value(key), UUID(last)))
        ) or (self._tasks.clock.now(), None)
        workspace_id = filters["workspace_id"]
        equal = {
            "project_id": filters["project_id"],
            "status": filters["status"],
            "assignee": filters["assignee_id"],
            "label_id": filters["label_id"],
        }
        context = Context(now, zone, user.user_id)
        where = filter_of(request.filter, context, equal, named)
        if saved is not None:
            among = {"workspace_id": saved.workspace_id, "project_id": saved.project_id}
            where = both(filter_of(saved.filter, context, among, named), where)
            workspace_id = workspace_id or saved.workspace_id
        found = await queries.find_tasks(
            self._tasks,
            user,
            limit=page.limit,
            after=after,
            order=order,
            where=where,
            favourite=filters["favourite"],
            workspace_id=workspace_id,
        )
        rows, token = page.cut(found, lambda last: [now, last[1].key, last[1].id])
        return tasks_pb2.ListTasksResponse(tasks=[task_message(task) for task, _ in rows], next_page_token=token)

    async def ListSubtasks(
        self, request: tasks_pb2.ListSubtasksRequest, _context: Any
    ) -> tasks_pb2.ListSubtasksResponse:
        user = require_user()
        page = self._page_tokens.page(request, bound_to=["subtasks", user.user_id, request.id])
        found = await queries.list_subtasks(
            self._tasks, user, task_id=UUID(request.id), limit=page.limit, after=page.cursor(UUID)
        )
        rows, token = page.cut(found, lambda last: [last.id])
        return tasks_pb2.ListSubtasksResponse(tasks=map(task_message, rows), next_page_token=token)

    async def ListAllTasks(
        self, request: tasks_pb2.ListAllTasksRequest, _context: Any
    ) -> tasks_pb2.ListAllTasksResponse:
        workspace_id = UUID(request.workspace_id) if request.HasField("workspace_id") else None
        page = self._page_tokens.page(request, bound_to=["all tasks", workspace_id])
        after = page.cursor(lambda workspace, task: (UUID(workspace), UUID(task)))
        found = await queries.list_all_tasks(self._tasks, workspace_id=workspace_id, limit=page.limit, after=after)
        rows, token = page.cut(found, lambda last: [last.workspace_id, last.id])
        return tasks_pb2.ListAllTasksResponse(tasks=map(task_message, rows), next_page_token=token)

    async def UpdateTask(self, request: tasks_pb2.UpdateTaskRequest, _context: Any) -> tasks_pb2.UpdateTaskResponse:
        changes = changes_of(request, request.update_mask.paths)
        asked: dict[str, Any] = {"task_id": UUID(request.id), "changes": changes, "if_match": request.if_match}
        if request.scope in _SEVERAL:
            only = request.scope == tasks_pb2.OCCURRENCE_SCOPE_FOLLOWING
            task = await series.edit_occurrences(self._tasks, require_user(), **asked, following_only=only)
        else:
            task = await commands.edit_task(self._tasks, require_user(), **asked)
        return tasks_pb2.UpdateTaskResponse(task=task_message(task))

    async def ReplaceTask(self, request: tasks_pb2.ReplaceTaskRequest, _context: Any) -> tasks_pb2.ReplaceTaskResponse:
        changes = {field: value(request) for field, value in VALUES.items()}
        changes["status"] = changes["status"] or Status.TODO
        require_one_of_each(changes)
        task = await commands.edit_task(
            self._tasks, require_user(), task_id=UUID(request.id), changes=changes, if_match=request.if_match
        )
        return tasks_pb2.ReplaceTaskResponse(task=task_message(task))

    async def DeleteTask(self, request: tasks_pb2.DeleteTaskRequest, _context: Any) -> tasks_pb2.DeleteTaskResponse:
        asked: dict[str, Any] = {"task_id": UUID(request.id), "if_match": request.if_match}
        if request.scope in _SEVERAL:
            only = request.scope == tasks_pb2.OCCURRENCE_SCOPE_FOLLOWING
            await series.delete_occurrences(self._tasks, require_user(), **asked, following_only=only)
        else:
            await trash.delete_task(self._tasks, require_user(), **asked)
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

    async def SnoozeTask(self, request: tasks_pb2.SnoozeTaskRequest, _context: Any) -> tasks_pb2.SnoozeTaskResponse:
        changes = {"remind_at": moment(request, "until")}
        task = await commands.edit_task(self._tasks, require_user(), task_id=UUID(request.id), changes=changes)
        return tasks_pb2.SnoozeTaskResponse(task=task_message(task))

    async def WatchTask(self, request: tasks_pb2.WatchTaskRequest, _context: Any) -> tasks_pb2.WatchTaskResponse:
        task = await commands.watch_task(self._tasks, require_user(), task_id=UUID(request.id))
        return tasks_pb2.WatchTaskResponse(task=task_message(task))

    async def UnwatchTask(self, request: tasks_pb2.UnwatchTaskRequest, _context: Any) -> tasks_pb2.UnwatchTaskResponse:
        task = await commands.unwatch_task(self._tasks, require_user(), task_id=UUID(request.id))
        return tasks_pb2.UnwatchTaskResponse(task=task_message(task))

    async def FavouriteTask(
        self, request: tasks_pb2.FavouriteTaskRequest, _context: Any
    ) -> tasks_pb2.FavouriteTaskResponse:
        task = await commands.favour_task(self._tasks, require_user(), task_id=UUID(request.id), favourite=True)
        return tasks_pb2.FavouriteTaskResponse(task=task_message(task))

    async def UnfavouriteTask(
        self, request: tasks_pb2.UnfavouriteTaskRequest, _context: Any
    ) -> tasks_pb2.UnfavouriteTaskResponse:
        task = await commands.favour_task(self._tasks, require_user(), task_id=UUID(request.id), favourite=False)
        return tasks_pb2.UnfavouriteTaskResponse(task=task_message(task))


# How each editable field reads from a request; what is not set reads as its default, None where there is none.
VALUES: dict[str, Callable[[Any], Any]] = {
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
    "due_on": lambda request: day(request, "due_on"),
    "start_on": lambda request: day(request, "start_on"),
    "time_zone": lambda request: zone_name(request, "time_zone"),
    "section_id": lambda request: _optional_id(request, "section_id"),
    "recurrence": recurrence_given,
    "remind_before_s": lambda request: tuple(request.remind_before_s),
    "fields": lambda request: {field_id(key): value_of(value) for key, value in request.fields.items()},
    "action": lambda request: struct_json(request.action) if request.HasField("action") else None,
    "run_when": lambda request: WHENS.get(request.run_when),
    "complete_on_success": lambda request: (
        request.complete_on_success if request.HasField("complete_on_success") else None
    ),
}


def new_fields(request: tasks_pb2.CreateTaskRequest) -> dict[str, Any]:
    """The fields of the task that a request asks for.

    Raises:
        InvalidArgument: they contradict one another, or one is no such thing.
    """
    fields = {
        field: value(request) for field, value in VALUES.items() if field != "status" and field not in OF_EXECUTION
    }
    fields["execution"] = execution_given(request)
    fields["state_id"] = _optional_id(request, "state_id")
    require_one_of_each(fields)
    return fields


def changes_of(request: tasks_pb2.UpdateTaskRequest, named: Iterable[str]) -> dict[str, Any]:
    """The new values of the named fields.

    Raises:
        InvalidArgument: they contradict one another, or one cannot be so.
    """
    names = list(named)
    changes = {field: VALUES[field](request) for field in names if field in VALUES}
    some = {field_id(path) for path in names if path.startswith(NAMED)}
    if some:
        given = VALUES["fields"](request)
        changes["field_values"] = {key: given.get(key) for key in some}
    require_one_of_each(changes)
    cleared = [field for field in _NOT_CLEARED if field in changes and not changes[field]]
    if cleared:
        raise InvalidArgument(
            f"A task always has a {' and a '.join(cleared)}.",
            code="INVALID_FIELDS",
            violations=[Violation(field, "cannot be cleared", "required") for field in cleared],
        )
    return changes


def _optional_id(request: Any, field: str) -> UUID | None:
    return UUID(getattr(request, field)) if request.HasField(field) else None
