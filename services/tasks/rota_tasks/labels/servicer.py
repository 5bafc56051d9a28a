"""rota.tasks.v1.LabelService: messages in, use cases, messages out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota.tasks.v1 import labels_pb2, labels_pb2_grpc
from rota_chassis.errors import InvalidArgument, Violation
from rota_chassis.identity import require_user

from rota_tasks.labels import commands, queries
from rota_tasks.labels.messages import label_message

if TYPE_CHECKING:
    from rota_chassis.pagination import PageTokens

    from rota_tasks.labels.dependencies import Labels

_EDITABLE = ("name", "color")


class LabelServicer(labels_pb2_grpc.LabelServiceServicer):
    """Serves labels."""

    def __init__(self, labels: Labels, page_tokens: PageTokens) -> None:
        self._labels = labels
        self._page_tokens = page_tokens

    async def CreateLabel(
        self, request: labels_pb2.CreateLabelRequest, _context: Any
    ) -> labels_pb2.CreateLabelResponse:
        user = require_user()
        workspace_id = UUID(request.workspace_id) if request.HasField("workspace_id") else user.workspace_id
        label = await commands.create_label(
            self._labels, user, workspace_id=workspace_id, name=request.name, color=request.color
        )
        return labels_pb2.CreateLabelResponse(label=label_message(label))

    async def GetLabel(self, request: labels_pb2.GetLabelRequest, _context: Any) -> labels_pb2.GetLabelResponse:
        label = await queries.get_label(self._labels, require_user(), label_id=UUID(request.id))
        return labels_pb2.GetLabelResponse(label=label_message(label))

    async def ListLabels(self, request: labels_pb2.ListLabelsRequest, _context: Any) -> labels_pb2.ListLabelsResponse:
        user = require_user()
        workspace_id = UUID(request.workspace_id) if request.HasField("workspace_id") else None
        page = self._page_tokens.page(request, bound_to=["labels", user.user_id, workspace_id])
        found = await queries.list_labels(
            self._labels, user, limit=page.limit, before=page.cursor(UUID), workspace_id=workspace_id
        )
        rows, token = page.cut(found, lambda last: [last.id])
        return labels_pb2.ListLabelsResponse(labels=map(label_message, rows), next_page_token=token)

    async def UpdateLabel(
        self, request: labels_pb2.UpdateLabelRequest, _context: Any
    ) -> labels_pb2.UpdateLabelResponse:
        changes = {field: getattr(request, field) for field in _EDITABLE if field in request.update_mask.paths}
        if changes.get("name") == "":
            raise InvalidArgument(
                "A label always has a name.",
                code="INVALID_FIELDS",
                violations=[Violation("name", "cannot be cleared", "required")],
            )
        label = await commands.edit_label(
            self._labels, require_user(), label_id=UUID(request.id), changes=changes, if_match=request.if_match
        )
        return labels_pb2.UpdateLabelResponse(label=label_message(label))

    async def DeleteLabel(
        self, request: labels_pb2.DeleteLabelRequest, _context: Any
    ) -> labels_pb2.DeleteLabelResponse:
        await commands.delete_label(self._labels, require_user(), label_id=UUID(request.id), if_match=request.if_match)
        return labels_pb2.DeleteLabelResponse()
