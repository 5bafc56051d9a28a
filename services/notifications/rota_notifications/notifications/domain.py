"""A notification: who is told what, and how it may change.

Pure: functions return the events that follow; the last event holds the notification as it then is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from rota_notifications.notifications import wording

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from rota_notifications.notifications.wording import Words
    from rota_notifications.people.domain import Person


class Kind(StrEnum):
    """Why a user is told."""

    TASK_ASSIGNED = "task.assigned"
    TASK_COMPLETED = "task.completed"
    TASK_REMINDER = "task.reminder"
    TASK_DUE = "task.due"
    TASK_MENTIONED = "task.mentioned"
    TASK_COMMENTED = "task.commented"
    TASK_RUN_FAILED = "task.run_failed"
    SCHEDULE_MESSAGE = "schedule.message"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """Something a user is told; the fields are those of rota.notifications.v1.Notification.

    Attributes:
        event_id: The event it tells of; an event tells a user at most one thing of each kind.
    """

    id: UUID
    workspace_id: UUID
    event_id: UUID
    user_id: UUID
    kind: Kind
    title: str
    body: str
    task_id: UUID | None = None
    read_at: datetime | None = None
    created_at: datetime
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """A reason to tell people something.

    Attributes:
        event_id: The event behind it.
        workspace_id: Where it happened.
        kind: Why people are told.
        task_id: The task it is about, if it is about one.
        task_title: What the task is called.
        actor_id: The user who did it, if one did.
        project_id: The project that the task is in; empty when it is in none, None when that is not known.
        recipient_ids: Whom to tell, each once.
        moment: The time it is about (due, reminder), if any.
        error: What went wrong, if something did.
        message: What somebody wrote to be told; absent means that it is worded here.
    """

    event_id: UUID
    workspace_id: UUID
    kind: Kind
    task_id: UUID | None = None
    task_title: str = ""
    actor_id: UUID | None = None
    project_id: str | None = ""
    recipient_ids: tuple[UUID, ...]
    moment: datetime | None = None
    error: str | None = None
    message: Words | None = None


@dataclass(frozen=True, slots=True)
class NotificationEvent:
    """Something happened to a notification; `notification` is the notification after it."""

    notification: Notification
    time: datetime


class NotificationCreated(NotificationEvent):
    """A user was told something."""


class NotificationRead(NotificationEvent):
    """A user read a notification."""


class NotificationDeleted(NotificationEvent):
    """A user deleted a notification, which is shown as it last was."""


def tell(
    occasion: Occasion, people: Mapping[UUID, Person], *, new_id: Callable[[], UUID], now: datetime
) -> Sequence[NotificationCreated]:
    """Tell everyone whom the occasion concerns.

    Args:
        occasion: What to tell.
        people: Who is known of the recipients and the actor; a stranger is told in UTC, and not named.
        new_id: Makes ids.
        now: When.
    """
    actor = people.get(occasion.actor_id) if occasion.actor_id else None
    told = []
    for user_id in occasion.recipient_ids:
        recipient = people.get(user_id)
        words = occasion.message or wording.words(
            occasion.kind.value,
            task_title=occasion.task_title,
            actor_name=actor.name if actor else None,
            moment=occasion.moment,
            error=occasion.error,
            time_zone=recipient.time_zone if recipient else wording.DEFAULT_TIME_ZONE,
        )
        notification = Notification(
            id=new_id(),
            workspace_id=occasion.workspace_id,
            event_id=occasion.event_id,
            user_id=user_id,
            kind=occasion.kind,
            title=words.title,
            body=words.body,
            task_id=occasion.task_id,
            created_at=now,
        )
        told.append(NotificationCreated(notification, now))
    return told


def read(notification: Notification, *, now: datetime) -> Sequence[NotificationRead]:
    """Mark as read; nothing follows when it is."""
    if notification.read_at is not None:
        return []
    return [NotificationRead(replace(notification, read_at=now, version=notification.version + 1), now)]


def delete(notification: Notification, *, now: datetime) -> Sequence[NotificationDeleted]:
    """Delete it."""
    return [NotificationDeleted(replace(notification, version=notification.version + 1), now)]
