"""rota.tasks.v1.HistoryService: messages in, use cases, messages out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from google.protobuf import json_format, struct_pb2
from rota.tasks.v1 import history_pb2, history_pb2_grpc
from rota_chassis.identity import require_user

from rota_tasks.history import commands, queries
from rota_tasks.tasks.messages import task_message
from rota_tasks.timestamps import timestamp

if TYPE_CHECKING:
    from rota_chassis.pagination import PageTokens

    from rota_tasks.history.domain import Entry
    from rota_tasks.tasks.dependencies import Tasks


class HistoryServicer(history_pb2_grpc.HistoryServiceServicer):
    """Serves what has happened to tasks."""

    def __init__(self, tasks: Tasks, page_tokens: PageTokens) -> None:
        self._tasks = tasks
        self._page_tokens = page_tokens

    async def ListTaskHistory(
        self, request: history_pb2.ListTaskHistoryRequest, _context: Any
    ) -> history_pb2.ListTaskHistoryResponse:
        user = require_user()
        page = self._page_tokens.page(request, bound_to=["history", user.user_id, request.id])
        found = await queries.list_history(
            self._tasks, user, task_id=UUID(request.id), limit=page.limit, before=page.cursor(int)
        )
        rows, token = page.cut(found, lambda last: [last.position])
        return history_pb2.ListTaskHistoryResponse(entries=map(_entry, rows), next_page_token=token)

    async def UndoTask(self, request: history_pb2.UndoTaskRequest, _context: Any) -> history_pb2.UndoTaskResponse:
        task = await commands.undo_task(
            self._tasks,
            require_user(),
            task_id=UUID(request.id),
            if_match=request.if_match,
            version=request.version if request.HasField("version") else None,
        )
        return history_pb2.UndoTaskResponse(task=task_message(task))


def _entry(entry: Entry) -> history_pb2.HistoryEntry:
    return history_pb2.HistoryEntry(
        event_id=str(entry.event_id),
        time=timestamp(entry.time),
        actor=entry.actor,
        verb=entry.verb,
        subject_id=str(entry.subject_id),
        version=entry.version,
        changes=[
            history_pb2.HistoryChange(field=each.field, old=_value(each.old), new=_value(each.new))
            for each in entry.changes
        ],
    )


def _value(value: Any) -> struct_pb2.Value:
    return json_format.ParseDict(value, struct_pb2.Value())
