"""A queue of mails, without the rest of the service."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import asyncpg
import pytest
from rota_chassis.embedded.mail import MailSink
from rota_chassis.ids import uuid7
from rota_chassis.postgres.database import Database
from rota_chassis.rpc.channel import open_channel
from rota_chassis.testing.auth import small_auth
from rota_chassis.testing.clock import ManualClock
from rota_chassis.testing.services import User
from rota_chassis.testing.waiting import eventually
from rota_chassis.tokens import ServiceTokens
from rota_notifications.email import store
from rota_notifications.email.rendering import address
from rota_notifications.email.sender import Sender
from rota_notifications.email.smtp import Mailer, MailServer
from rota_notifications.invitations.letters import Letters
from rota_notifications.notifications import store as notifications
from rota_notifications.notifications.domain import Kind, Notification
from rota_notifications.people.directory import Directory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from email.message import EmailMessage
    from pathlib import Path
    from uuid import UUID

    from rota_chassis.testing.auth import SmallAuth
    from rota_chassis.testing.service_plugin import MakeDatabase
    from rota_chassis.testing.tokens import TokenIssuer


@dataclass
class Queue:
    """A queue of mails, without the rest of the service."""

    database: Database
    rows: asyncpg.Connection
    auth: SmallAuth
    directory: Directory
    letters_to: Callable[[str | None], Letters]
    user: User
    folder: Path
    arrived: Callable[[Path, str], list[EmailMessage]]
    clock: ManualClock = field(default_factory=ManualClock)

    async def add(self, count: int = 1, *, user_id: UUID | None = None, project_id: UUID | None = None) -> None:
        """Queue mails to the user."""
        told = [
            Notification(
                id=uuid7(),
                workspace_id=self.user.workspace_id,
                event_id=uuid7(),
                user_id=user_id or self.user.id,
                kind=Kind.TASK_DUE,
                title=f"Due: {number}",
                body="",
                created_at=self.clock.now(),
            )
            for number in range(count)
        ]
        async with self.database.transaction() as work:
            await notifications.add(work, told)
            await store.add(work, told, now=self.clock.now(), project_id=project_id)

    def sender(self, url: str, *, renew_every_s: float = 60) -> Sender:
        """A sender without jitter, by the queue's clock."""
        return Sender(
            self.database,
            self.directory,
            self.letters_to(None),
            Mailer(MailServer.of(url)),
            self.clock,
            mail_from=address("Rota <rota@localhost>"),
            renew_every_s=renew_every_s,
            jitter=lambda most: most,
        )

    def mails(self) -> list[EmailMessage]:
        """The mails that have arrived for the user in the sink on `folder`."""
        return self.arrived(self.folder, "grace@example.com")

    async def states(self) -> dict[str, int]:
        """How many deliveries stand where."""
        rows = await self.rows.fetch("SELECT state, count(*) FROM email_deliveries GROUP BY state")
        return {row["state"]: row["count"] for row in rows}

    async def delivery(self) -> asyncpg.Record:
        """The only delivery."""
        (row,) = await self.rows.fetch("SELECT * FROM email_deliveries")
        return row

    async def reaches(self, expected: dict[str, int]) -> None:
        """Wait until exactly so many deliveries stand there."""

        async def there() -> bool:
            return await self.states() == expected

        await eventually(there)

    async def run_dry(self, sender: Sender) -> None:
        """Tick until nothing is due now."""
        while await sender.tick() <= self.clock.now():
            pass
        await sender._mailer.close()

    @asynccontextmanager
    async def sink(self, *, port: int = 0) -> AsyncIterator[MailSink]:
        """A mail server of the test's own, on `folder`."""
        server = MailSink(self.folder, port=port)
        await server.start()
        try:
            yield server
        finally:
            await server.stop()

    @asynccontextmanager
    async def sending(self, *senders: Sender) -> AsyncIterator[None]:
        """Senders that run within the block."""
        tasks = [asyncio.create_task(sender.run()) for sender in senders]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def queue(
    make_database: MakeDatabase,
    issuer: TokenIssuer,
    tmp_path: Path,
    mails_in: Callable[[Path, str], list[EmailMessage]],
) -> AsyncIterator[Queue]:
    url = await make_database("notifications")
    database, rows = await Database.connect(url), await asyncpg.connect(url)
    async with small_auth() as auth, open_channel(auth.address, ServiceTokens("test", "x" * 32)) as channel:
        user = User(issuer)
        auth.add_user(user, email="grace@example.com")
        yield Queue(
            database, rows, auth, Directory(database, channel), partial(Letters, channel), user, tmp_path, mails_in
        )
    await rows.close()
    await database.close()
