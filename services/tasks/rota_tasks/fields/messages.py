"""Custom fields, their events and their values as the contract writes them."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota.events.v1 import events_pb2
from rota.tasks.v1 import custom_fields_pb2
from rota_chassis.events.log import NewEvent

from rota_tasks.fields.domain import (
    CustomField,
    CustomFieldCreated,
    CustomFieldDeleted,
    CustomFieldEvent,
    CustomFieldUpdated,
    FieldType,
    Option,
)
from rota_tasks.timestamps import timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rota.tasks.v1 import tasks_pb2

TYPE_NUMBERS = {each: custom_fields_pb2.CustomFieldType.Value(f"CUSTOM_FIELD_TYPE_{each.name}") for each in FieldType}
TYPES = {number: each for each, number in TYPE_NUMBERS.items()}


def field_message(field: CustomField) -> custom_fields_pb2.CustomField:
    """The field as the API shows it."""
    return custom_fields_pb2.CustomField(
        id=str(field.id),
        workspace_id=str(field.workspace_id),
        project_id=str(field.project_id),
        name=field.name,
        type=TYPE_NUMBERS[field.type],
        options=[
            custom_fields_pb2.CustomOption(id=str(each.id), name=each.name, color=each.color) for each in field.options
        ],
        required=field.required,
        position=field.position,
        created_by=str(field.created_by),
        created_at=timestamp(field.created_at),
        updated_at=timestamp(field.updated_at),
        version=field.version,
        etag=field.etag,
    )


def field_of(message: custom_fields_pb2.CustomField) -> CustomField:
    """The field in a message; the inverse of `field_message`."""
    return CustomField(
        id=UUID(message.id),
        workspace_id=UUID(message.workspace_id),
        project_id=UUID(message.project_id),
        name=message.name,
        type=TYPES[message.type],
        options=tuple(Option(UUID(each.id), each.name, each.color) for each in message.options),
        required=message.required,
        position=message.position,
        created_by=UUID(message.created_by),
        created_at=message.created_at.ToDatetime(UTC),
        updated_at=message.updated_at.ToDatetime(UTC),
        version=message.version,
    )


def value_of(message: tasks_pb2.CustomValue) -> dict[str, Any]:
    """The value in a message, ids in their usual form; `CustomValue(**value)` is the inverse."""
    kind = message.WhichOneof("kind")
    match kind:
        case "money":
            return {"money": {"amount": message.money.amount, "currency": message.money.currency}}
        case "option_ids":
            return {"option_ids": {"ids": [str(UUID(each)) for each in message.option_ids.ids]}}
        case "option_id" | "user_id":
            return {kind: str(UUID(getattr(message, kind)))}
    return {str(kind): getattr(message, str(kind))}


def event_message(event: CustomFieldEvent) -> NewEvent:
    """The event as the log keeps it."""
    return NewEvent(
        workspace_id=event.field.workspace_id,
        aggregate_id=event.field.id,
        aggregate_version=event.field.version,
        data=_DATA[type(event)](custom_field=field_message(event.field)),
        time=event.field.updated_at,
    )


_DATA: Mapping[type[CustomFieldEvent], Any] = {
    CustomFieldCreated: events_pb2.CustomFieldCreated,
    CustomFieldUpdated: events_pb2.CustomFieldUpdated,
    CustomFieldDeleted: events_pb2.CustomFieldDeleted,
}
