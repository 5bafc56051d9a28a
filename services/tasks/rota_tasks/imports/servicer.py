"""rota.tasks.v1.ImportService: messages in, use cases, messages out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota.tasks.v1 import imports_pb2, imports_pb2_grpc
from rota_chassis.identity import require_user
from rota_chassis.requests import request_of

from rota_tasks.imports import commands, queries
from rota_tasks.imports.messages import FORMATS, import_message

if TYPE_CHECKING:
    from rota_chassis.pagination import PageTokens

    from rota_tasks.imports.dependencies import Imports


class ImportServicer(imports_pb2_grpc.ImportServiceServicer):
    """Serves imports."""

    def __init__(self, imports: Imports, page_tokens: PageTokens) -> None:
        self._imports = imports
        self._page_tokens = page_tokens

    async def CreateImport(
        self, request: imports_pb2.CreateImportRequest, _context: Any
    ) -> imports_pb2.CreateImportResponse:
        user = require_user()
        workspace_id = UUID(request.workspace_id) if request.HasField("workspace_id") else user.workspace_id
        file_format = FORMATS[request.format]
        job = await commands.create_import(
            self._imports,
            user,
            workspace_id=workspace_id,
            content=request.content if request.HasField("content") else None,
            request=request_of(request),
            format=file_format,
            source=request.source or file_format.value,
            project_id=UUID(request.project_id) if request.HasField("project_id") else None,
            dry_run=request.dry_run,
            people={each.name: each.email for each in request.people},
            columns={each.field: each.column for each in request.columns},
        )
        return imports_pb2.CreateImportResponse(job=import_message(job))

    async def AddImportPart(
        self, request: imports_pb2.AddImportPartRequest, _context: Any
    ) -> imports_pb2.AddImportPartResponse:
        job = await commands.add_part(
            self._imports,
            require_user(),
            import_id=UUID(request.id),
            number=request.number,
            content=request.content,
            last=request.last,
        )
        return imports_pb2.AddImportPartResponse(job=import_message(job))

    async def GetImport(self, request: imports_pb2.GetImportRequest, _context: Any) -> imports_pb2.GetImportResponse:
        job = await queries.get_import(self._imports, require_user(), import_id=UUID(request.id))
        return imports_pb2.GetImportResponse(job=import_message(job))

    async def ListImports(
        self, request: imports_pb2.ListImportsRequest, _context: Any
    ) -> imports_pb2.ListImportsResponse:
        user = require_user()
        workspace_id = UUID(request.workspace_id) if request.HasField("workspace_id") else None
        page = self._page_tokens.page(request, bound_to=["imports", user.user_id, workspace_id])
        found = await queries.list_imports(
            self._imports, user, workspace_id=workspace_id, limit=page.limit, before=page.cursor(UUID)
        )
        rows, token = page.cut(found, lambda last: [last.id])
        return imports_pb2.ListImportsResponse(
            imports=[import_message(job, problems=False) for job in rows], next_page_token=token
        )

    async def CancelImport(
        self, request: imports_pb2.CancelImportRequest, _context: Any
    ) -> imports_pb2.CancelImportResponse:
        job = await commands.cancel_import(self._imports, require_user(), import_id=UUID(request.id))
        return imports_pb2.CancelImportResponse(job=import_message(job))
