"""rota.tasks.v1.ExportService: messages in, use cases, messages out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota.tasks.v1 import exports_pb2, exports_pb2_grpc
from rota_chassis.identity import require_user
from rota_chassis.requests import request_of

from rota_tasks.exports import commands, queries
from rota_tasks.exports.messages import FORMATS, export_message

if TYPE_CHECKING:
    from rota_chassis.pagination import PageTokens

    from rota_tasks.exports.dependencies import Exports


class ExportServicer(exports_pb2_grpc.ExportServiceServicer):
    """Serves exports."""

    def __init__(self, exports: Exports, page_tokens: PageTokens) -> None:
        self._exports = exports
        self._page_tokens = page_tokens

    async def CreateExport(
        self, request: exports_pb2.CreateExportRequest, _context: Any
    ) -> exports_pb2.CreateExportResponse:
        user = require_user()
        job = await commands.create_export(
            self._exports,
            user,
            workspace_id=UUID(request.workspace_id) if request.HasField("workspace_id") else user.workspace_id,
            project_id=UUID(request.project_id) if request.HasField("project_id") else None,
            file_format=FORMATS[request.format],
            request=request_of(request),
        )
        return exports_pb2.CreateExportResponse(job=export_message(job))

    async def GetExport(self, request: exports_pb2.GetExportRequest, _context: Any) -> exports_pb2.GetExportResponse:
        job = await queries.get_export(self._exports, require_user(), export_id=UUID(request.id))
        return exports_pb2.GetExportResponse(job=export_message(job))

    async def GetExportContent(
        self, request: exports_pb2.GetExportContentRequest, _context: Any
    ) -> exports_pb2.GetExportContentResponse:
        user = require_user()
        bound_to = ["export", user.user_id, request.id]
        number = 1
        if request.page_token:
            number = int(self._page_tokens.decode(request.page_token, bound_to=bound_to)[0])
        content, more = await queries.get_part(self._exports, user, export_id=UUID(request.id), number=number)
        answer = exports_pb2.GetExportContentResponse(content=content)
        if more:
            answer.next_page_token = self._page_tokens.encode([number + 1], bound_to=bound_to)
        return answer
