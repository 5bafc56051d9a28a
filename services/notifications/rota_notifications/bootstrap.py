"""Puts the notifications service together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota.notifications.v1 import notifications_pb2_grpc
from rota_chassis.memberships import Memberships
from rota_chassis.private_projects import PrivateProjects
from rota_chassis.service import Service

from rota_notifications.email.rendering import address
from rota_notifications.email.sender import Sender
from rota_notifications.email.smtp import Mailer, MailServer
from rota_notifications.invitations import handlers as invitations
from rota_notifications.invitations.letters import Letters
from rota_notifications.notifications.commands import Notifications
from rota_notifications.notifications.handlers import handlers
from rota_notifications.notifications.servicer import NotificationServicer
from rota_notifications.people.directory import Directory
from rota_notifications.settings import NotificationsSettings

if TYPE_CHECKING:
    from rota_chassis.service import Runtime


async def build(runtime: Runtime[NotificationsSettings]) -> None:
    """Add the servicer, the consumer and the sender of mails to the runtime."""
    settings = runtime.settings
    directory = Directory(runtime.database, runtime.channels["auth"])
    memberships = Memberships(runtime.database, runtime.channels["auth"])
    projects = PrivateProjects(
        runtime.name,
        database=runtime.database,
        memberships=memberships,
        tasks=runtime.channels["tasks"],
        nats=runtime.nats,
    )
    sender = Sender(
        runtime.database,
        directory,
        Letters(runtime.channels["auth"], settings.invitation_page),
        Mailer(MailServer.of(settings.smtp_url.get_secret_value())),
        runtime.clock,
        mail_from=address(settings.mail_from),
        at_once=settings.mail_connections,
    )
    runtime.serve(
        notifications_pb2_grpc.add_NotificationServiceServicer_to_server,
        NotificationServicer(Notifications(runtime.database, runtime.clock), runtime.page_tokens),
    )
    # A consumer wakes the sender after every event: looking at an empty queue costs less than knowing.
    runtime.consume(
        {**directory.handlers(), **handlers(projects, runtime.clock), **invitations.handlers(runtime.clock)},
        after_commit=sender.wake,
    )
    runtime.background("access", projects.run)
    runtime.background("email", sender.run)


SERVICE = Service("notifications", NotificationsSettings, build)
