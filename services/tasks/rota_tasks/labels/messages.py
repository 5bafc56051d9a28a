"""Labels and their events as the contract writes them."""

from __future__ import annotations

from datetime import UTC
from uuid import UUID

from rota.events.v1 import events_pb2
from rota.tasks.v1 import labels_pb2
from rota_chassis.events.log import NewEvent

from rota_tasks.labels.domain import Label, LabelCreated, LabelDeleted, LabelEvent, LabelUpdated
from rota_tasks.timestamps import timestamp

_DATA = {
    LabelCreated: events_pb2.LabelCreated,
    LabelUpdated: events_pb2.LabelUpdated,
    LabelDeleted: events_pb2.LabelDeleted,
}


def label_message(label: Label) -> labels_pb2.Label:
    """The label as the API shows it."""
    return labels_pb2.Label(
        id=str(label.id),
        workspace_id=str(label.workspace_id),
        name=label.name,
        color=label.color,
        created_by=str(label.created_by),
        created_at=timestamp(label.created_at),
        updated_at=timestamp(label.updated_at),
        version=label.version,
        etag=label.etag,
    )


def label_of(message: labels_pb2.Label) -> Label:
    """The label in a message; the inverse of `label_message`."""
    return Label(
        id=UUID(message.id),
        workspace_id=UUID(message.workspace_id),
        name=message.name,
        color=message.color,
        created_by=UUID(message.created_by),
        created_at=message.created_at.ToDatetime(UTC),
        updated_at=message.updated_at.ToDatetime(UTC),
        version=message.version,
    )


def event_message(event: LabelEvent) -> NewEvent:
    """The event as the log keeps it."""
    label = event.label
    return NewEvent(
        workspace_id=label.workspace_id,
        aggregate_id=label.id,
        aggregate_version=label.version,
        data=_DATA[type(event)](label=label_message(label)),
        time=label.updated_at,
    )
