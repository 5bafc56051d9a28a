"""Checklist items and their events as the contract writes them."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota.events.v1 import events_pb2
from rota.tasks.v1 import checklists_pb2
from rota_chassis.events.log import NewEvent

from rota_tasks.checklists.domain import (
    ChecklistItem,
    ChecklistItemCreated,
    ChecklistItemDeleted,
    ChecklistItemEvent,
    ChecklistItemUpdated,
)
from rota_tasks.timestamps import moment, timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping


def item_message(item: ChecklistItem) -> checklists_pb2.ChecklistItem:
    """The item as the API shows it."""
    return checklists_pb2.ChecklistItem(
        id=str(item.id),
        workspace_id=str(item.workspace_id),
        task_id=str(item.task_id),
        title=item.title,
        is_done=item.is_done,
        done_by=None if item.done_by is None else str(item.done_by),
        done_at=timestamp(item.done_at),
        assignee_id=None if item.assignee_id is None else str(item.assignee_id),
        position=item.position,
        created_by=str(item.created_by),
        created_at=timestamp(item.created_at),
        updated_at=timestamp(item.updated_at),
        version=item.version,
        etag=item.etag,
    )


def item_of(message: checklists_pb2.ChecklistItem) -> ChecklistItem:
    """The item in a message; the inverse of `item_message`."""
    return ChecklistItem(
        id=UUID(message.id),
        workspace_id=UUID(message.workspace_id),
        task_id=UUID(message.task_id),
        title=message.title,
        is_done=message.is_done,
        done_by=UUID(message.done_by) if message.HasField("done_by") else None,
        done_at=moment(message, "done_at"),
        assignee_id=UUID(message.assignee_id) if message.HasField("assignee_id") else None,
        position=message.position,
        created_by=UUID(message.created_by),
        created_at=message.created_at.ToDatetime(UTC),
        updated_at=message.updated_at.ToDatetime(UTC),
        version=message.version,
    )


def event_message(event: ChecklistItemEvent) -> NewEvent:
    """The event as the log keeps it."""
    return NewEvent(
        workspace_id=event.item.workspace_id,
        aggregate_id=event.item.id,
        aggregate_version=event.item.version,
        data=_DATA[type(event)](checklist_item=item_message(event.item), project_id=str(event.project_id or "")),
        time=event.item.updated_at,
    )


_DATA: Mapping[type[ChecklistItemEvent], Any] = {
    ChecklistItemCreated: events_pb2.ChecklistItemCreated,
    ChecklistItemUpdated: events_pb2.ChecklistItemUpdated,
    ChecklistItemDeleted: events_pb2.ChecklistItemDeleted,
}
