"""Attachments and their events as the contract writes them."""

from __future__ import annotations

from datetime import UTC
from uuid import UUID

from rota.events.v1 import events_pb2
from rota.tasks.v1 import attachments_pb2
from rota_chassis.events.log import NewEvent

from rota_tasks.attachments.domain import Attachment, AttachmentDeleted, AttachmentEvent
from rota_tasks.timestamps import timestamp


def attachment_message(attachment: Attachment) -> attachments_pb2.Attachment:
    """The attachment as the API shows it."""
    return attachments_pb2.Attachment(
        id=str(attachment.id),
        workspace_id=str(attachment.workspace_id),
        task_id=str(attachment.task_id),
        name=attachment.name,
        media_type=attachment.media_type,
        size=attachment.size,
        sha256=attachment.sha256,
        created_by=str(attachment.created_by),
        created_at=timestamp(attachment.created_at),
        version=attachment.version,
        etag=attachment.etag,
        stored_with=str(attachment.stored_with) if attachment.stored_with else None,
    )


def attachment_of(message: attachments_pb2.Attachment) -> Attachment:
    """The attachment in a message; the inverse of `attachment_message`."""
    return Attachment(
        id=UUID(message.id),
        workspace_id=UUID(message.workspace_id),
        task_id=UUID(message.task_id),
        name=message.name,
        media_type=message.media_type,
        size=message.size,
        sha256=message.sha256,
        created_by=UUID(message.created_by),
        created_at=message.created_at.ToDatetime(UTC),
        version=message.version,
        stored_with=UUID(message.stored_with) if message.HasField("stored_with") else None,
    )


def event_message(event: AttachmentEvent) -> NewEvent:
    """The event as the log keeps it."""
    message, project_id = attachment_message(event.attachment), str(event.project_id or "")
    if isinstance(event, AttachmentDeleted):
        data: events_pb2.AttachmentCreated | events_pb2.AttachmentDeleted = events_pb2.AttachmentDeleted(
            attachment=message, project_id=project_id
        )
        time = event.deleted_at
    else:
        data = events_pb2.AttachmentCreated(attachment=message, project_id=project_id)
        time = event.attachment.created_at
    return NewEvent(
        workspace_id=event.attachment.workspace_id,
        aggregate_id=event.attachment.id,
        aggregate_version=event.attachment.version,
        data=data,
        time=time,
    )
