"""What changes notifications.

Telling happens in the transaction that also holds the inbox row of the event, so that all of it happens once: the
rows, the events for whoever listens live, and the mails to be sent.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from rota_chassis.errors import NotFound
from rota_chassis.ids import uuid7

from rota_notifications.email import store as deliveries
from rota_notifications.notifications import domain, store
from rota_notifications.notifications.messages import event_message
from rota_notifications.people import store as people

if TYPE_CHECKING:
    from datetime import datetime

    from rota_chassis.clock import Clock
    from rota_chassis.identity import UserPrincipal
    from rota_chassis.postgres.database import Database
    from rota_chassis.postgres.work import UnitOfWork

    from rota_notifications.notifications.domain import Notification, Occasion

MAILED_WITHIN = timedelta(days=1)
"""What happened longer ago (a replay, a new installation on an old stream) is listed, but not mailed."""


@dataclass(frozen=True)
class Notifications:
    """What the use cases of notifications need."""

    database: Database
    clock: Clock


async def tell(work: UnitOfWork, occasion: Occasion, *, happened_at: datetime, now: datetime) -> None:
    """Tell everyone whom the occasion concerns and who has not been told of it, in the app and by e-mail."""
    already = await store.told(work, workspace_id=occasion.workspace_id, event_id=occasion.event_id, kind=occasion.kind)
    occasion = replace(occasion, recipient_ids=tuple(each for each in occasion.recipient_ids if each not in already))
    # Whoever is not known here yet is told without names and in UTC: auth is not asked inside of a transaction.
    known = await people.among(work, {*occasion.recipient_ids, *filter(None, [occasion.actor_id])})
    created = domain.tell(occasion, known, new_id=uuid7, now=now)
    await store.add(work, [event.notification for event in created])
    for event in created:
        work.append(event_message(event))
    if now - happened_at < MAILED_WITHIN:
        project_id = UUID(occasion.project_id) if occasion.project_id else None
        await deliveries.add(work, [event.notification for event in created], project_id=project_id, now=now)


async def read_notification(
    notifications: Notifications, user: UserPrincipal, *, notification_id: UUID
) -> Notification:
    """Mark a notification as read.

    Raises:
        NotFound: it does not exist, or not for the user.
    """
    async with notifications.database.transaction() as work:
        notification = await _lock(work, user, notification_id)
        for event in domain.read(notification, now=notifications.clock.now()):
            work.append(event_message(event))
            notification = event.notification
            await store.mark(work, notification)
    return notification


async def delete_notification(notifications: Notifications, user: UserPrincipal, *, notification_id: UUID) -> None:
    """Delete a notification; if its mail has not been sent, it never is.

    Raises:
        NotFound: it does not exist, or not for the user.
    """
    async with notifications.database.transaction() as work:
        notification = await _lock(work, user, notification_id)
        for event in domain.delete(notification, now=notifications.clock.now()):
            work.append(event_message(event))
        await store.remove(work, notification)


async def _lock(work: UnitOfWork, user: UserPrincipal, notification_id: UUID) -> Notification:
    notification = await store.lock(work, user_id=user.user_id, notification_id=notification_id)
    if notification is None:
        raise NotFound("There is no such notification.", code="NOTIFICATION_NOT_FOUND")
    return notification
