"""Notifications and their events as the contract writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf import timestamp_pb2
from rota.events.v1 import events_pb2
from rota.notifications.v1 import notifications_pb2
from rota_chassis.events.log import NewEvent

from rota_notifications.notifications.domain import (
    NotificationCreated,
    NotificationDeleted,
    NotificationRead,
)

if TYPE_CHECKING:
    from datetime import datetime

    from google.protobuf.message import Message

    from rota_notifications.notifications.domain import Notification, NotificationEvent


def notification_message(notification: Notification) -> notifications_pb2.Notification:
    """The notification as the API shows it."""
    return notifications_pb2.Notification(
        id=str(notification.id),
        workspace_id=str(notification.workspace_id),
        user_id=str(notification.user_id),
        kind=notification.kind.value,
        title=notification.title,
        body=notification.body,
        task_id=str(notification.task_id) if notification.task_id else None,
        read_at=_timestamp(notification.read_at),
        created_at=_timestamp(notification.created_at),
    )


def event_message(event: NotificationEvent) -> NewEvent:
    """The event as the log keeps it."""
    return NewEvent(
        workspace_id=event.notification.workspace_id,
        aggregate_id=event.notification.id,
        aggregate_version=event.notification.version,
        data=_data(event),
        time=event.time,
    )


def _data(event: NotificationEvent) -> Message:
    notification = notification_message(event.notification)
    match event:
        case NotificationCreated():
            return events_pb2.NotificationCreated(notification=notification)
        case NotificationRead():
            return events_pb2.NotificationRead(notification=notification)
        case NotificationDeleted():
            return events_pb2.NotificationDeleted(notification=notification)
    raise TypeError(event)


def _timestamp(value: datetime | None) -> timestamp_pb2.Timestamp | None:
    if value is None:
        return None
    stamp = timestamp_pb2.Timestamp()
    stamp.FromDatetime(value)
    return stamp
