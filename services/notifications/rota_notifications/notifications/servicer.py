"""rota.notifications.v1.NotificationService: messages in, use cases, messages out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota.notifications.v1 import notifications_pb2, notifications_pb2_grpc
from rota_chassis.identity import require_user
from rota_chassis.pagination import page_size

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
        bound_to = ["notifications", user.user_id, request.unread]
        before = None
        if request.page_token:
            before = UUID(self._page_tokens.decode(request.page_token, bound_to=bound_to)[0])
        limit = page_size(request.page_size)
        found, unread_count = await queries.list_notifications(
            self._notifications.database, user, limit=limit + 1, before=before, unread=request.unread
        )
        answer = notifications_pb2.ListNotificationsResponse(
            notifications=[notification_message(each) for each in found[:limit]], unread_count=unread_count
        )
        if len(found) > limit:
            answer.next_page_token = self._page_tokens.encode([found[limit - 1].id], bound_to=bound_to)
        return answer

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
