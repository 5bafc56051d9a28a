"""Saved filters and their events as the contract writes them."""

from __future__ import annotations

from datetime import UTC
from uuid import UUID

from rota.events.v1 import events_pb2
from rota.tasks.v1 import saved_filters_pb2
from rota_chassis.events.log import NewEvent

from rota_tasks.saved_filters.domain import (
    SavedFilter,
    SavedFilterCreated,
    SavedFilterDeleted,
    SavedFilterEvent,
    SavedFilterUpdated,
)
from rota_tasks.timestamps import timestamp

_DATA = {
    SavedFilterCreated: events_pb2.SavedFilterCreated,
    SavedFilterUpdated: events_pb2.SavedFilterUpdated,
    SavedFilterDeleted: events_pb2.SavedFilterDeleted,
}


def saved_filter_message(saved: SavedFilter) -> saved_filters_pb2.SavedFilter:
    """The saved filter as the API shows it."""
    return saved_filters_pb2.SavedFilter(
        id=str(saved.id),
        workspace_id=str(saved.workspace_id),
        name=saved.name,
        filter=saved.filter,
        order_by=saved.order_by,
        project_id=None if saved.project_id is None else str(saved.project_id),
        is_favourite=saved.is_favourite,
        is_shared=saved.is_shared,
        owner_id=str(saved.owner_id),
        created_at=timestamp(saved.created_at),
        updated_at=timestamp(saved.updated_at),
        version=saved.version,
        etag=saved.etag,
    )


def saved_filter_of(message: saved_filters_pb2.SavedFilter) -> SavedFilter:
    """The saved filter in a message; the inverse of `saved_filter_message`."""
    return SavedFilter(
        id=UUID(message.id),
        workspace_id=UUID(message.workspace_id),
        name=message.name,
        filter=message.filter,
        order_by=message.order_by,
        project_id=UUID(message.project_id) if message.HasField("project_id") else None,
        is_favourite=message.is_favourite,
        is_shared=message.is_shared,
        owner_id=UUID(message.owner_id),
        created_at=message.created_at.ToDatetime(UTC),
        updated_at=message.updated_at.ToDatetime(UTC),
        version=message.version,
    )


def event_message(event: SavedFilterEvent) -> NewEvent:
    """The event as the log keeps it."""
    saved = event.saved_filter
    return NewEvent(
        workspace_id=saved.workspace_id,
        aggregate_id=saved.id,
        aggregate_version=saved.version,
        data=_DATA[type(event)](saved_filter=saved_filter_message(saved)),
        time=saved.updated_at,
    )
