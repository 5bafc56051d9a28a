"""rota.tasks.v1.ChecklistService: messages in, use cases, messages out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota.tasks.v1 import checklists_pb2, checklists_pb2_grpc
from rota_chassis.errors import InvalidArgument, Violation
from rota_chassis.identity import require_user
from rota_chassis.requests import request_of

from rota_tasks.checklists import commands, queries
from rota_tasks.checklists.messages import item_message

if TYPE_CHECKING:
    from rota_chassis.pagination import PageTokens

    from rota_tasks.tasks.dependencies import Tasks


class ChecklistServicer(checklists_pb2_grpc.ChecklistServiceServicer):
    """Serves checklists."""

    def __init__(self, tasks: Tasks, page_tokens: PageTokens) -> None:
        self._tasks = tasks
        self._page_tokens = page_tokens

    async def CreateChecklistItem(
        self, request: checklists_pb2.CreateChecklistItemRequest, _context: Any
    ) -> checklists_pb2.CreateChecklistItemResponse:
        item = await commands.create_item(
            self._tasks,
            require_user(),
            task_id=UUID(request.task_id),
            title=request.title,
            assignee_id=_optional_id(request, "assignee_id"),
            request=request_of(request),
        )
        return checklists_pb2.CreateChecklistItemResponse(item=item_message(item))

    async def GetChecklistItem(
        self, request: checklists_pb2.GetChecklistItemRequest, _context: Any
    ) -> checklists_pb2.GetChecklistItemResponse:
        item = await queries.get_item(self._tasks, require_user(), **_place(request))
        return checklists_pb2.GetChecklistItemResponse(item=item_message(item))

    async def ListChecklistItems(
        self, request: checklists_pb2.ListChecklistItemsRequest, _context: Any
    ) -> checklists_pb2.ListChecklistItemsResponse:
        user = require_user()
        page = self._page_tokens.page(request, bound_to=["checklist", user.user_id, request.task_id])
        after = page.cursor(lambda position, item_id: (position, UUID(item_id)))
        found = await queries.list_items(
            self._tasks, user, task_id=UUID(request.task_id), limit=page.limit, after=after
        )
        rows, token = page.cut(found, lambda last: [last.position, last.id])
        return checklists_pb2.ListChecklistItemsResponse(items=map(item_message, rows), next_page_token=token)

    async def UpdateChecklistItem(
        self, request: checklists_pb2.UpdateChecklistItemRequest, _context: Any
    ) -> checklists_pb2.UpdateChecklistItemResponse:
        values: dict[str, Any] = {
            "title": request.title,
            "is_done": request.is_done,
            "assignee_id": _optional_id(request, "assignee_id"),
            "before_id": _optional_id(request, "before_id"),
            "after_id": _optional_id(request, "after_id"),
        }
        changes = {field: value for field, value in values.items() if field in request.update_mask.paths}
        if changes.get("title") == "":
            raise InvalidArgument(
                "An item always has a title.",
                code="INVALID_FIELDS",
                violations=[Violation("title", "cannot be cleared", "required")],
            )
        item = await commands.edit_item(
            self._tasks, require_user(), **_place(request), changes=changes, if_match=request.if_match
        )
        return checklists_pb2.UpdateChecklistItemResponse(item=item_message(item))

    async def DeleteChecklistItem(
        self, request: checklists_pb2.DeleteChecklistItemRequest, _context: Any
    ) -> checklists_pb2.DeleteChecklistItemResponse:
        await commands.delete_item(self._tasks, require_user(), **_place(request), if_match=request.if_match)
        return checklists_pb2.DeleteChecklistItemResponse()


def _place(request: Any) -> dict[str, UUID]:
    return {"task_id": UUID(request.task_id), "item_id": UUID(request.id)}


def _optional_id(request: Any, field: str) -> UUID | None:
    return UUID(getattr(request, field)) if request.HasField(field) else None
