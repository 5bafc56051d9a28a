"""rota.notifications.v1.NotificationService: messages in, use cases, messages out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota.notifications.v1 import notifications_pb2, notifications_pb2_grpc
from rota_chassis.identity import require_user

from rota_notifications.notifications import commands, queries
from rota_notifications.notifications.messages import notification_message

if TYPE_CHECKING:
    from rota_chassis.pagination import PageTokens

    from rota_notifications.notifications.commands import Notifications


class NotificationServicer(notifications_pb2_grpc.NotificationServiceServicer):
    """Serves notifications."""

    def __init__(self, notifications: Notifications, page_tokens: PageTokens) -> None:
        self._notifications = notifications
        self._page_tokens = page_tokens

    async def ListNotifications(
        self, request: notifications_pb2.ListNotificationsRequest, _context: Any
    ) -> notifications_pb2.ListNotificationsResponse:
        user = require_user()
        page = self._page_tokens.page(request, bound_to=["notifications", user.user_id, request.unread])
        found, unread_count = await queries.list_notifications(
            self._notifications.database, user, limit=page.limit, before=page.cursor(UUID), unread=request.unread
        )
        rows, token = page.cut(found, lambda last: [last.id])
        return notifications_pb2.ListNotificationsResponse(
            notifications=map(notification_message, rows), unread_count=unread_count, next_page_token=token
        )

    async def ReadNotification(
        self, request: notifications_pb2.ReadNotificationRequest, _context: Any
    ) -> notifications_pb2.ReadNotificationResponse:
        notification = await commands.read_notification(
            self._notifications, require_user(), notification_id=UUID(request.id)
        )
        return notifications_pb2.ReadNotificationResponse(notification=notification_message(notification))

    async def DeleteNotification(
        self, request: notifications_pb2.DeleteNotificationRequest, _context: Any
    ) -> notifications_pb2.DeleteNotificationResponse:
        await commands.delete_notification(self._notifications, require_user(), notification_id=UUID(request.id))
        return notifications_pb2.DeleteNotificationResponse()
