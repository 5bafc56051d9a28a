"""rota.tasks.v1.TrashService: messages in, use cases, messages out."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota.tasks.v1 import trash_pb2, trash_pb2_grpc
from rota_chassis.errors import InvalidArgument, Violation
from rota_chassis.identity import require_user

from rota_tasks.tasks.messages import task_message
from rota_tasks.timestamps import moment, timestamp
from rota_tasks.trash import commands, queries

if TYPE_CHECKING:
    from rota_chassis.pagination import PageTokens

    from rota_tasks.trash.dependencies import Trash
    from rota_tasks.trash.domain import Trashed

_PURGED_AT_ONCE = 1_000


class TrashServicer(trash_pb2_grpc.TrashServiceServicer):
    """Serves the trash."""

    def __init__(self, trash: Trash, page_tokens: PageTokens) -> None:
        self._trash = trash
        self._page_tokens = page_tokens

    async def ListTrash(self, request: trash_pb2.ListTrashRequest, _context: Any) -> trash_pb2.ListTrashResponse:
        user = require_user()
        workspace_id = UUID(request.workspace_id) if request.HasField("workspace_id") else None
        page = self._page_tokens.page(request, bound_to=["trash", user.user_id, workspace_id])
        found = await queries.list_trash(
            self._trash.tasks,
            user,
            limit=page.limit,
            before=page.cursor(lambda at, task_id: (datetime.fromisoformat(at).astimezone(UTC), UUID(task_id))),
            workspace_id=workspace_id,
        )
        rows, token = page.cut(found, lambda last: [last.deleted_at, last.task.id])
        return trash_pb2.ListTrashResponse(tasks=map(self._message, rows), next_page_token=token)

    async def RestoreTask(self, request: trash_pb2.RestoreTaskRequest, _context: Any) -> trash_pb2.RestoreTaskResponse:
        task = await commands.restore_task(self._trash.tasks, require_user(), task_id=UUID(request.id))
        return trash_pb2.RestoreTaskResponse(task=task_message(task))

    async def DeleteTrashedTask(
        self, request: trash_pb2.DeleteTrashedTaskRequest, _context: Any
    ) -> trash_pb2.DeleteTrashedTaskResponse:
        await commands.purge_task(self._trash.tasks, require_user(), task_id=UUID(request.id))
        return trash_pb2.DeleteTrashedTaskResponse()

    async def PurgeTrash(self, request: trash_pb2.PurgeTrashRequest, _context: Any) -> trash_pb2.PurgeTrashResponse:
        over = self._trash.tasks.clock.now() - self._trash.retention
        before = moment(request, "before") or over
        if before > over:
            raise InvalidArgument(
                "Tasks deleted after that stay in the trash for now; give an earlier time.",
                code="INVALID_FIELDS",
                violations=[Violation("before", "is within the retention time", "too_late")],
            )
        purged = await commands.purge_trash(self._trash.tasks, before=before, limit=request.limit or _PURGED_AT_ONCE)
        return trash_pb2.PurgeTrashResponse(purged=purged)

    def _message(self, trashed: Trashed) -> trash_pb2.TrashedTask:
        return trash_pb2.TrashedTask(
            task=task_message(trashed.task),
            deleted_at=timestamp(trashed.deleted_at),
            deleted_by=str(trashed.deleted_by),
            purge_at=timestamp(trashed.deleted_at + self._trash.retention),
        )
