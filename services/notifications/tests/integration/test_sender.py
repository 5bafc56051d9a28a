"""Mails on their way: senders side by side, servers that are down, slow or refuse."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from aiosmtpd.smtp import SMTP
from rota_chassis.ids import uuid7
from rota_chassis.rpc.channel import open_channel
from rota_chassis.testing.waiting import eventually
from rota_chassis.tokens import ServiceTokens
from rota_notifications.email.domain import LEASE, MAX_ATTEMPTS
from rota_notifications.people.directory import Directory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiosmtpd.smtp import Envelope, Session
    from conftest import Queue


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


class Slow(Answers):
    """A mail server that takes its time with a mail."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.go_on = asyncio.Event(), asyncio.Event()

    async def handle_DATA(self, *_arguments: Any) -> str:  # noqa: N802 (aiosmtpd's name)
        self.begun.set()
        await self.go_on.wait()
        return "250 OK"


async def test_senders_side_by_side_send_each_mail_once(queue: Queue) -> None:
    await queue.add(60)
    async with queue.sink() as server, queue.sending(queue.sender(server.url), queue.sender(server.url)):
        await queue.reaches({"sent": 60})
    mails = queue.mails()
    assert len(mails) == 60
    assert {mail["Subject"] for mail in mails} == {f"Due: {number}" for number in range(60)}
    assert queue.auth.asked <= 8


async def test_a_mail_server_that_was_down_gets_every_mail_when_it_is_back(queue: Queue) -> None:
    async with queue.sink() as server:
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
    async with queue.sink(port=port):
        await queue.run_dry(sender)
    assert await queue.states() == {"sent": 3}
    assert len(queue.mails()) == 3


async def test_a_lease_is_renewed_while_the_mail_server_takes_its_time(queue: Queue) -> None:
    await queue.add()
    slow = Slow()
    async with slow.serving() as url, queue.sending(queue.sender(url, renew_every_s=0.05)):
        await slow.begun.wait()
        queue.clock.advance(LEASE.total_seconds() * 0.9)
        renewed_until = queue.clock.now() + LEASE

        async def is_renewed() -> bool:
            return bool((await queue.delivery())["next_attempt_at"] == renewed_until)

        await eventually(is_renewed)
        slow.go_on.set()
        await queue.reaches({"sent": 1})


async def test_a_recipient_refused_for_good_is_not_asked_again(queue: Queue) -> None:
    await queue.add()
    answers = Answers(recipient="550 No such mailbox")
    async with answers.serving() as url:
        sender = queue.sender(url)
        await queue.run_dry(sender)
        queue.clock.advance(86_400)
        await queue.run_dry(sender)
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
            await queue.run_dry(sender)
    assert (row["state"], row["attempts"], answers.asked) == ("failed", MAX_ATTEMPTS, MAX_ATTEMPTS)
    assert timedelta(minutes=50) < tried_at[-1] < timedelta(minutes=75)


async def test_a_user_whom_auth_does_not_know_gets_no_mail_and_holds_up_nobody(queue: Queue) -> None:
    await queue.add(user_id=uuid7())
    await queue.add()
    async with queue.sink() as server:
        await queue.run_dry(queue.sender(server.url))
    assert await queue.states() == {"failed": 1, "sent": 1}


async def test_while_auth_is_down_mails_to_strangers_wait(queue: Queue) -> None:
    await queue.add()
    async with (
        open_channel(f"unix:{queue.folder}/nobody.sock", ServiceTokens("test", "x" * 32)) as nobody,
        queue.sink() as server,
    ):
        directory, queue.directory = queue.directory, Directory(queue.database, nobody)
        assert await queue.sender(server.url).tick() == queue.clock.now() + timedelta(seconds=1)
        row = await queue.delivery()
        assert (row["state"], row["attempts"]) == ("pending", 0)
        queue.clock.advance(1)
        queue.directory = directory
        await queue.run_dry(queue.sender(server.url))
    assert await queue.states() == {"sent": 1}


async def test_a_deleted_notification_is_not_mailed_any_more(queue: Queue) -> None:
    await queue.add()
    await queue.rows.execute("DELETE FROM notifications")
    async with queue.sink() as server:
        await queue.run_dry(queue.sender(server.url))
    assert not queue.mails()
    assert await queue.states() == {}


async def test_a_sender_that_is_told_to_stop_ends_what_it_has_begun(queue: Queue) -> None:
    await queue.add()
    slow = Slow()
    async with slow.serving() as url:
        running = asyncio.create_task(queue.sender(url).run())
        await slow.begun.wait()
        running.cancel()
        slow.go_on.set()
        await asyncio.gather(running, return_exceptions=True)
    assert running.cancelled()
    assert await queue.states() == {"sent": 1}
