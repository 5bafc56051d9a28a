"""rota.tasks.v1.SeriesService: messages in, use cases, messages out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota.tasks.v1 import series_pb2, series_pb2_grpc
from rota_chassis.identity import require_user

from rota_tasks.series import commands, queries
from rota_tasks.tasks.domain import Status

if TYPE_CHECKING:
    from rota_chassis.pagination import PageTokens

    from rota_tasks.tasks.dependencies import Tasks

_PREVIEWED = 10
_CLOSED = {
    Status.DONE: series_pb2.OCCURRENCE_STATUS_DONE,
    Status.CANCELLED: series_pb2.OCCURRENCE_STATUS_CANCELLED,
}


class SeriesServicer(series_pb2_grpc.SeriesServiceServicer):
    """Serves the occurrences of recurring tasks."""

    def __init__(self, tasks: Tasks, page_tokens: PageTokens) -> None:
        self._tasks = tasks
        self._page_tokens = page_tokens

    async def ListOccurrences(
        self, request: series_pb2.ListOccurrencesRequest, _context: Any
    ) -> series_pb2.ListOccurrencesResponse:
        user = require_user()
        page = self._page_tokens.page(request, bound_to=["occurrences", user.user_id, request.id])
        found, planned = await queries.list_occurrences(
            self._tasks,
            user,
            task_id=UUID(request.id),
            after=page.cursor(str),
            limit=page.limit,
            preview=request.preview if request.HasField("preview") else _PREVIEWED,
        )
        rows, token = page.cut(found, lambda last: [last[0]])
        shown = [
            series_pb2.Occurrence(
                occurrence=name, status=_status(task_id, status), task_id=None if task_id is None else str(task_id)
            )
            for name, task_id, status in rows
        ]
        shown += [
            series_pb2.Occurrence(occurrence=name, status=series_pb2.OCCURRENCE_STATUS_PLANNED) for name in planned
        ]
        return series_pb2.ListOccurrencesResponse(occurrences=shown, next_page_token=token)

    async def SkipOccurrence(
        self, request: series_pb2.SkipOccurrenceRequest, _context: Any
    ) -> series_pb2.SkipOccurrenceResponse:
        await commands.skip_occurrence(
            self._tasks, require_user(), task_id=UUID(request.id), occurrence=request.occurrence
        )
        return series_pb2.SkipOccurrenceResponse()


def _status(task_id: UUID | None, status: str | None) -> series_pb2.OccurrenceStatus.ValueType:
    if task_id is None:
        return series_pb2.OCCURRENCE_STATUS_SKIPPED
    if status is None:
        return series_pb2.OCCURRENCE_STATUS_DELETED
    return _CLOSED.get(Status(status), series_pb2.OCCURRENCE_STATUS_OPEN)
