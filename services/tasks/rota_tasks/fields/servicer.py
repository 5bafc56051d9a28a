"""rota.tasks.v1.CustomFieldService: messages in, use cases, messages out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota.tasks.v1 import custom_fields_pb2, custom_fields_pb2_grpc
from rota_chassis.errors import InvalidArgument, Violation
from rota_chassis.identity import require_user
from rota_chassis.ids import uuid7

from rota_tasks.fields import commands, queries
from rota_tasks.fields.domain import Option
from rota_tasks.fields.messages import TYPES, field_message

if TYPE_CHECKING:
    from rota_chassis.pagination import PageTokens

    from rota_tasks.projects.dependencies import Projects


class CustomFieldServicer(custom_fields_pb2_grpc.CustomFieldServiceServicer):
    """Serves custom fields."""

    def __init__(self, projects: Projects, page_tokens: PageTokens) -> None:
        self._projects = projects
        self._page_tokens = page_tokens

    async def CreateCustomField(
        self, request: custom_fields_pb2.CreateCustomFieldRequest, _context: Any
    ) -> custom_fields_pb2.CreateCustomFieldResponse:
        field = await commands.create_field(
            self._projects,
            require_user(),
            project_id=UUID(request.project_id),
            name=request.name,
            type=TYPES[request.type],
            options=_options(request),
            required=request.required,
        )
        return custom_fields_pb2.CreateCustomFieldResponse(field=field_message(field))

    async def GetCustomField(
        self, request: custom_fields_pb2.GetCustomFieldRequest, _context: Any
    ) -> custom_fields_pb2.GetCustomFieldResponse:
        field = await queries.get_field(self._projects, require_user(), **_place(request))
        return custom_fields_pb2.GetCustomFieldResponse(field=field_message(field))

    async def ListCustomFields(
        self, request: custom_fields_pb2.ListCustomFieldsRequest, _context: Any
    ) -> custom_fields_pb2.ListCustomFieldsResponse:
        user = require_user()
        page = self._page_tokens.page(request, bound_to=["fields", user.user_id, request.project_id])
        after = page.cursor(lambda position, last: (position, last)) or ("", "")
        fields = await queries.list_fields(self._projects, user, project_id=UUID(request.project_id))
        rest = [each for each in fields if (each.position, str(each.id)) > after]
        rows, token = page.cut(rest, lambda last: [last.position, last.id])
        return custom_fields_pb2.ListCustomFieldsResponse(fields=map(field_message, rows), next_page_token=token)

    async def UpdateCustomField(
        self, request: custom_fields_pb2.UpdateCustomFieldRequest, _context: Any
    ) -> custom_fields_pb2.UpdateCustomFieldResponse:
        values: dict[str, Any] = {
            "name": request.name,
            "options": _options(request),
            "required": request.required,
            "after_id": UUID(request.after_id) if request.HasField("after_id") else None,
        }
        changes = {part: value for part, value in values.items() if part in request.update_mask.paths}
        if changes.get("name") == "":
            raise InvalidArgument(
                "A custom field always has a name.",
                code="INVALID_FIELDS",
                violations=[Violation("name", "cannot be cleared", "required")],
            )
        field = await commands.edit_field(
            self._projects, require_user(), **_place(request), changes=changes, if_match=request.if_match
        )
        return custom_fields_pb2.UpdateCustomFieldResponse(field=field_message(field))

    async def DeleteCustomField(
        self, request: custom_fields_pb2.DeleteCustomFieldRequest, _context: Any
    ) -> custom_fields_pb2.DeleteCustomFieldResponse:
        await commands.delete_field(self._projects, require_user(), **_place(request), if_match=request.if_match)
        return custom_fields_pb2.DeleteCustomFieldResponse()


def _place(request: Any) -> dict[str, UUID]:
    return {"project_id": UUID(request.project_id), "field_id": UUID(request.id)}


def _options(request: Any) -> list[Option]:
    return [
        Option(UUID(each.id) if each.HasField("id") else uuid7(), each.name, each.color) for each in request.options
    ]
