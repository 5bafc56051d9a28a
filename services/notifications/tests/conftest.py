"""A notifications service that runs, with users, a mail server, and a hand on the event stream."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from email import message_from_bytes, policy
from typing import TYPE_CHECKING, Any

import asyncpg
import nats
import orjson
import pytest
from rota.events.v1 import events_pb2
from rota.notifications.v1 import notifications_pb2, notifications_pb2_grpc
from rota.tasks.v1 import tasks_pb2
from rota_chassis.clock import SystemClock
from rota_chassis.events import envelope
from rota_chassis.events.types import event_type_of
from rota_chassis.ids import uuid7
from rota_chassis.testing.auth import SmallAuth, small_auth
from rota_chassis.testing.services import User, running
from rota_chassis.testing.tasks import SmallTasks, small_tasks
from rota_chassis.testing.waiting import eventually
from rota_notifications.bootstrap import SERVICE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime
    from email.message import EmailMessage
    from pathlib import Path
    from uuid import UUID

    from google.protobuf.message import Message
    from nats.js import JetStreamContext
    from rota_chassis.embedded.mail import MailSink
    from rota_chassis.testing.service_plugin import MakeDatabase
    from rota_chassis.testing.tokens import TokenIssuer


@dataclass
class Stage:
    """A running service, and who uses it.

    Attributes:
        streams: The event stream, to publish to and to read from.
        rows: A connection to the service's database.
    """

    api: notifications_pb2_grpc.NotificationServiceStub
    auth: SmallAuth
    ada: User
    grace: User
    streams: JetStreamContext
    rows: asyncpg.Connection
    mails: Path
    work: SmallTasks

    async def publish(
        self,
        data: Message,
        *,
        workspace_id: UUID,
        actor: str,
        event_id: UUID | None = None,
        time: datetime | None = None,
        version: int = 1,
        aggregate_id: UUID | None = None,
    ) -> UUID:
        """Put an event on the stream, as the relay of another service would; returns its id."""
        event_id = event_id or uuid7()
        kind = event_type_of(type(data))
        row = {
            "id": event_id,
            "type": kind.name,
            "aggregate_id": aggregate_id or uuid7(),
            "aggregate_version": version,
            "time": time or SystemClock().now(),
            "workspace_id": workspace_id,
            "actor": actor,
            "traceparent": None,
        }
        headers = envelope.headers(row, "/rota/tasks")
        # Without it JetStream delivers what is published twice, as it does after its window.
        del headers["Nats-Msg-Id"]
        await self.streams.publish(
            envelope.subject(workspace_id, kind.name), orjson.dumps(kind.encode(data)), headers=headers
        )
        return event_id

    async def assign(
        self, to: User, *, title: str = "Water the plants", times: int = 1, event_id: UUID | None = None
    ) -> UUID:
        """Ada assigns a task to a user; returns the event's id."""
        event_id = event_id or uuid7()
        task = tasks_pb2.Task(
            id=str(uuid7()),
            workspace_id=str(self.ada.workspace_id),
            title=title,
            created_by=str(self.ada.id),
            assignee_ids=[str(to.id)],
        )
        for _ in range(times):
            await self.publish(
                events_pb2.TaskAssigned(task=task, added_ids=[str(to.id)]),
                workspace_id=self.ada.workspace_id,
                actor=f"user:{self.ada.id}",
                event_id=event_id,
            )
        return event_id

    async def page(self, user: User, **request: Any) -> notifications_pb2.ListNotificationsResponse:
        """What the user sees."""
        return await self.api.ListNotifications(
            notifications_pb2.ListNotificationsRequest(**request), metadata=user.metadata
        )

    async def listed(self, user: User, count: int) -> Sequence[notifications_pb2.Notification]:
        """The user's notifications, as soon as there are that many."""

        async def enough() -> Any:
            found = (await self.page(user)).notifications
            return found if len(found) >= count else []

        found: Sequence[notifications_pb2.Notification] = await eventually(enough)
        assert len(found) == count
        return found

    def mailed(self, user: User) -> list[EmailMessage]:
        """The mails that have arrived for the user."""
        return _mails_in(self.mails, f"{user.id}@example.com")

    async def settled(self, count: int, state: str = "sent") -> None:
        """Wait until that many deliveries stand there, and none elsewhere."""

        async def all_there() -> Any:
            rows = await self.rows.fetch("SELECT state, count(*) FROM email_deliveries GROUP BY state")
            return {row["state"]: row["count"] for row in rows} == {state: count}

        await eventually(all_there)


def _mails_in(folder: Path, recipient: str) -> list[EmailMessage]:
    return [
        message_from_bytes(path.read_bytes(), policy=policy.SMTP) for path in sorted(folder.glob(f"*-{recipient}.eml"))
    ]


@pytest.fixture
def mails_in() -> Callable[[Path, str], list[EmailMessage]]:
    """The mails in a sink's folder that were delivered to an address."""
    return _mails_in


@pytest.fixture
def stage_on(  # noqa: PLR0917 (fixtures are found by name)
    make_database: MakeDatabase,
    postgres_url: str,
    redis_url: str,
    fresh_nats_url: str,
    issuer: TokenIssuer,
    smtp_sink: MailSink,
) -> Any:
    """Opens a stage whose service has the settings given."""

    @asynccontextmanager
    async def build(*, replicas: int = 1, **settings: Any) -> AsyncIterator[Stage]:
        database_url = await make_database("notifications")

        def replica(auth: SmallAuth, work: SmallTasks) -> AbstractAsyncContextManager[Any]:
            return running(
                SERVICE,
                server_url=postgres_url,
                database_url=database_url,
                redis_url=redis_url,
                nats_url=fresh_nats_url,
                issuer=issuer,
                **{
                    "auth_address": auth.address,
                    "tasks_address": work.address,
                    "smtp_url": smtp_sink.url,
                    **settings,
                },
            )

        async with (
            small_auth() as auth,
            small_tasks() as work,
            replica(auth, work) as channel,
            AsyncExitStack() as others,
        ):
            for _ in range(1, replicas):
                await others.enter_async_context(replica(auth, work))
            ada, grace = User(issuer), User(issuer)
            auth.add_user(ada)
            auth.add_user(grace, name="Grace")
            rows, client = await asyncpg.connect(database_url), await nats.connect(fresh_nats_url)
            try:
                yield Stage(
                    notifications_pb2_grpc.NotificationServiceStub(channel),
                    auth,
                    ada,
                    grace,
                    client.jetstream(),
                    rows,
                    smtp_sink.folder,
                    work,
                )
            finally:
                await client.close()
                await rows.close()

    return build


@pytest.fixture
async def stage(stage_on: Any) -> AsyncIterator[Stage]:
    opened: AbstractAsyncContextManager[Stage] = stage_on()
    async with opened as ready:
        yield ready
