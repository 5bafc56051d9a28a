"""The queue of mails: senders side by side, servers that fail, leases that end."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg
import pytest
from aiosmtpd.smtp import SMTP
from rota_chassis.embedded.mail import MailSink
from rota_chassis.ids import uuid7
from rota_chassis.postgres.database import Database
from rota_chassis.rpc.channel import open_channel
from rota_chassis.testing.auth import small_auth
from rota_chassis.testing.clock import ManualClock
from rota_chassis.testing.services import User
from rota_chassis.testing.waiting import eventually
from rota_chassis.tokens import ServiceTokens
from rota_notifications.email import domain, store
from rota_notifications.email.domain import LEASE, MAX_ATTEMPTS
from rota_notifications.email.rendering import address
from rota_notifications.email.sender import Sender
from rota_notifications.email.smtp import Mailer, MailServer
from rota_notifications.notifications import store as notifications
from rota_notifications.notifications.domain import Kind, Notification
from rota_notifications.people.directory import Directory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from email.message import EmailMessage
    from pathlib import Path

    from aiosmtpd.smtp import Envelope, Session
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
    user: User
    folder: Path
    arrived: Callable[[Path, str], list[EmailMessage]]
    clock: ManualClock = field(default_factory=ManualClock)

    async def add(self, count: int = 1, *, user_id: UUID | None = None) -> None:
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
            await store.add(work, told, now=self.clock.now())

    def sender(self, url: str, *, at_once: int = 4) -> Sender:
        """A sender without jitter, by the queue's clock."""
        return Sender(
            self.database,
            self.directory,
            Mailer(MailServer.of(url)),
            self.clock,
            mail_from=address("Rota <rota@localhost>"),
            at_once=at_once,
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
        yield Queue(database, rows, auth, Directory(database, channel), user, tmp_path, mails_in)
    await rows.close()
    await database.close()


@asynccontextmanager
async def sink(folder: Path, *, port: int = 0) -> AsyncIterator[MailSink]:
    """A mail server of the test's own."""
    server = MailSink(folder, port=port)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@asynccontextmanager
async def sending(*senders: Sender) -> AsyncIterator[None]:
    """Senders that run within the block."""
    tasks = [asyncio.create_task(sender.run()) for sender in senders]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Answers:
    """A mail server that answers the recipient or the mail as it is told, and counts."""

    def __init__(self, *, recipient: str = "250 OK", data: str = "250 OK") -> None:
        self.recipient, self.data = recipient, data
        self.asked = 0

    async def handle_RCPT(  # noqa: N802 (aiosmtpd's name)
        self, _server: SMTP, _session: Session, envelope: Envelope, recipient: str, _options: list[str]
    ) -> str:
        self.asked += 1
        envelope.rcpt_tos.append(recipient)
        return self.recipient

    async def handle_DATA(self, _server: SMTP, _session: Session, _envelope: Envelope) -> str:  # noqa: N802
        return self.data

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Its address, while it answers."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: SMTP(self, hostname="test"), "127.0.0.1", 0)
        try:
            yield f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
            await server.wait_closed()


async def run_dry(sender: Sender, clock: ManualClock) -> None:
    """Tick until nothing is due now."""
    while await sender.tick() <= clock.now():
        pass
    await sender._mailer.close()


async def test_senders_side_by_side_send_each_mail_once(queue: Queue) -> None:
    await queue.add(60)
    async with sink(queue.folder) as server, sending(queue.sender(server.url), queue.sender(server.url)):
        await eventually(_states_are(queue, {"sent": 60}))
    mails = queue.mails()
    assert len(mails) == 60
    assert {mail["Subject"] for mail in mails} == {f"Due: {number}" for number in range(60)}
    assert queue.auth.asked <= 8


async def test_a_mail_server_that_was_down_gets_every_mail_when_it_is_back(queue: Queue) -> None:
    async with sink(queue.folder) as server:
        url, port = server.url, int(server.url.rpartition(":")[2])
    sender = queue.sender(url)
    await queue.add(3)
    for outage in range(12):
        again_at = await sender.tick()
        wait_s = min(2.0**outage, 60)
        assert again_at == queue.clock.now() + timedelta(seconds=wait_s)
        assert await sender.tick() == again_at
        queue.clock.advance(wait_s)
    rows = await queue.rows.fetch("SELECT state, attempts, last_error FROM email_deliveries")
    assert {(row["state"], row["attempts"]) for row in rows} == {("pending", 0)}
    assert "no connection to the mail server" in rows[0]["last_error"]
    async with sink(queue.folder, port=port):
        await run_dry(sender, queue.clock)
    assert await queue.states() == {"sent": 3}
    assert len(queue.mails()) == 3


async def test_a_lease_that_ends_is_taken_over_and_the_stale_claim_writes_no_more(queue: Queue) -> None:
    await queue.add()
    (stale,) = await store.claim(queue.database, limit=10, now=queue.clock.now())
    assert not await store.claim(queue.database, limit=10, now=queue.clock.now())
    async with sink(queue.folder) as server:
        sender = queue.sender(server.url)
        assert await sender.tick() > queue.clock.now()
        assert await queue.states() == {"sending": 1}
        queue.clock.advance(LEASE.total_seconds())
        (fresh,) = await store.claim(queue.database, limit=10, now=queue.clock.now())
        assert (fresh.id, fresh.fence, fresh.attempts) == (stale.id, stale.fence + 1, 2)
        assert not await store.settle(queue.database, stale, domain.accepted(stale, now=queue.clock.now()))
        assert not await store.settle(queue.database, stale, domain.refused(stale, "late"))
        assert await queue.states() == {"sending": 1}
        assert await store.settle(queue.database, fresh, domain.accepted(fresh, now=queue.clock.now()))
        assert not await store.settle(queue.database, fresh, domain.refused(fresh, "again"))
    assert await queue.states() == {"sent": 1}


async def test_what_a_dead_sender_left_is_sent_under_the_same_message_id(queue: Queue) -> None:
    await queue.add()
    (abandoned,) = await store.claim(queue.database, limit=1, now=queue.clock.now())
    queue.clock.advance(LEASE.total_seconds())
    async with sink(queue.folder) as server:
        await run_dry(queue.sender(server.url), queue.clock)
    (mail,) = queue.mails()
    assert mail["Message-ID"] == f"<{abandoned.id}@rota>"
    assert await queue.states() == {"sent": 1}


async def test_claims_side_by_side_never_share_a_delivery(queue: Queue) -> None:
    await queue.add(40)
    claims = await asyncio.gather(*(store.claim(queue.database, limit=7, now=queue.clock.now()) for _ in range(8)))
    assert all(len(claim) <= 7 for claim in claims)
    claimed = [delivery.id for claim in claims for delivery in claim]
    assert len(claimed) == len(set(claimed))


async def test_a_recipient_refused_for_good_is_not_asked_again(queue: Queue) -> None:
    await queue.add()
    answers = Answers(recipient="550 No such mailbox")
    async with answers.serving() as url:
        sender = queue.sender(url)
        await run_dry(sender, queue.clock)
        queue.clock.advance(86_400)
        await run_dry(sender, queue.clock)
    row = await queue.delivery()
    assert (row["state"], row["last_error"], answers.asked) == (
        "failed",
        "the mail server said 550 No such mailbox",
        1,
    )


@pytest.mark.parametrize("answer", [{"recipient": "450 Busy"}, {"data": "451 Later"}])
async def test_a_mail_that_is_deferred_is_tried_again_with_growing_delays_and_then_given_up(
    queue: Queue, answer: dict[str, str]
) -> None:
    await queue.add()
    answers = Answers(**answer)
    tried_at = []
    async with answers.serving() as url:
        sender = queue.sender(url)
        started = queue.clock.now()
        while (row := await queue.delivery())["state"] == "pending":
            queue.clock.set(row["next_attempt_at"])
            tried_at.append(queue.clock.now() - started)
            await run_dry(sender, queue.clock)
    assert (row["state"], row["attempts"], answers.asked) == ("failed", MAX_ATTEMPTS, MAX_ATTEMPTS)
    assert timedelta(minutes=50) < tried_at[-1] < timedelta(minutes=75)


async def test_a_user_whom_auth_does_not_know_gets_no_mail_and_holds_up_nobody(queue: Queue) -> None:
    await queue.add(user_id=uuid7())
    await queue.add()
    async with sink(queue.folder) as server:
        await run_dry(queue.sender(server.url), queue.clock)
    assert await queue.states() == {"failed": 1, "sent": 1}


async def test_while_auth_is_down_mails_to_strangers_wait(queue: Queue) -> None:
    await queue.add()
    async with (
        open_channel(f"unix:{queue.folder}/nobody.sock", ServiceTokens("test", "x" * 32)) as nobody,
        sink(queue.folder) as server,
    ):
        directory, queue.directory = queue.directory, Directory(queue.database, nobody)
        assert await queue.sender(server.url).tick() == queue.clock.now() + timedelta(seconds=1)
        row = await queue.delivery()
        assert (row["state"], row["attempts"]) == ("pending", 0)
        queue.clock.advance(1)
        queue.directory = directory
        await run_dry(queue.sender(server.url), queue.clock)
    assert await queue.states() == {"sent": 1}


async def test_a_deleted_notification_is_not_mailed_any_more(queue: Queue) -> None:
    await queue.add()
    await queue.rows.execute("DELETE FROM notifications")
    async with sink(queue.folder) as server:
        await run_dry(queue.sender(server.url), queue.clock)
    assert not queue.mails()
    assert await queue.states() == {}


async def test_a_sender_that_is_told_to_stop_ends_what_it_has_begun(queue: Queue) -> None:
    await queue.add()
    begun, go_on = asyncio.Event(), asyncio.Event()

    class Slow(Answers):
        async def handle_DATA(self, *_arguments: Any) -> str:  # noqa: N802 (aiosmtpd's name)
            begun.set()
            await go_on.wait()
            return "250 OK"

    async with Slow().serving() as url:
        running = asyncio.create_task(queue.sender(url).run())
        await begun.wait()
        running.cancel()
        go_on.set()
        await asyncio.gather(running, return_exceptions=True)
    assert running.cancelled()
    assert await queue.states() == {"sent": 1}


def _states_are(queue: Queue, expected: dict[str, int]) -> Any:
    async def check() -> bool:
        return await queue.states() == expected

    return check
