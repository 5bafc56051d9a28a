"""rota.tasks.v1.SavedFilterService: messages in, use cases, messages out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota.tasks.v1 import saved_filters_pb2, saved_filters_pb2_grpc
from rota_chassis.errors import InvalidArgument, Violation
from rota_chassis.identity import require_user
from rota_chassis.requests import request_of

from rota_tasks.saved_filters import commands, queries
from rota_tasks.saved_filters.messages import saved_filter_message

if TYPE_CHECKING:
    from rota_chassis.pagination import PageTokens

    from rota_tasks.tasks.dependencies import Tasks

_EDITABLE = ("name", "filter", "order_by", "project_id", "is_favourite", "is_shared")


class SavedFilterServicer(saved_filters_pb2_grpc.SavedFilterServiceServicer):
    """Serves saved filters."""

    def __init__(self, tasks: Tasks, page_tokens: PageTokens) -> None:
        self._tasks = tasks
        self._page_tokens = page_tokens

    async def CreateSavedFilter(
        self, request: saved_filters_pb2.CreateSavedFilterRequest, _context: Any
    ) -> saved_filters_pb2.CreateSavedFilterResponse:
        user = require_user()
        saved = await commands.create_saved_filter(
            self._tasks,
            user,
            workspace_id=UUID(request.workspace_id) if request.HasField("workspace_id") else user.workspace_id,
            request=request_of(request),
            **_values(request),
        )
        return saved_filters_pb2.CreateSavedFilterResponse(saved_filter=saved_filter_message(saved))

    async def GetSavedFilter(
        self, request: saved_filters_pb2.GetSavedFilterRequest, _context: Any
    ) -> saved_filters_pb2.GetSavedFilterResponse:
        saved = await queries.get_saved_filter(self._tasks, require_user(), saved_filter_id=UUID(request.id))
        return saved_filters_pb2.GetSavedFilterResponse(saved_filter=saved_filter_message(saved))

    async def ListSavedFilters(
        self, request: saved_filters_pb2.ListSavedFiltersRequest, _context: Any
    ) -> saved_filters_pb2.ListSavedFiltersResponse:
        user = require_user()
        workspace_id = UUID(request.workspace_id) if request.HasField("workspace_id") else None
        page = self._page_tokens.page(request, bound_to=["saved filters", user.user_id, workspace_id])
        found = await queries.list_saved_filters(
            self._tasks, user, limit=page.limit, before=page.cursor(UUID), workspace_id=workspace_id
        )
        rows, token = page.cut(found, lambda last: [last.id])
        return saved_filters_pb2.ListSavedFiltersResponse(
            saved_filters=map(saved_filter_message, rows), next_page_token=token
        )

    async def UpdateSavedFilter(
        self, request: saved_filters_pb2.UpdateSavedFilterRequest, _context: Any
    ) -> saved_filters_pb2.UpdateSavedFilterResponse:
        changes = {name: value for name, value in _values(request).items() if name in request.update_mask.paths}
        if changes.get("name") == "":
            raise InvalidArgument(
                "A saved filter always has a name.",
                code="INVALID_FIELDS",
                violations=[Violation("name", "cannot be cleared", "required")],
            )
        saved = await commands.edit_saved_filter(
            self._tasks,
            require_user(),
            saved_filter_id=UUID(request.id),
            changes=changes,
            if_match=request.if_match,
        )
        return saved_filters_pb2.UpdateSavedFilterResponse(saved_filter=saved_filter_message(saved))

    async def DeleteSavedFilter(
        self, request: saved_filters_pb2.DeleteSavedFilterRequest, _context: Any
    ) -> saved_filters_pb2.DeleteSavedFilterResponse:
        await commands.delete_saved_filter(
            self._tasks, require_user(), saved_filter_id=UUID(request.id), if_match=request.if_match
        )
        return saved_filters_pb2.DeleteSavedFilterResponse()


def _values(request: Any) -> dict[str, Any]:
    values = {name: getattr(request, name) for name in _EDITABLE}
    return values | {"project_id": UUID(request.project_id) if request.HasField("project_id") else None}
