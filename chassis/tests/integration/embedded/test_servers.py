from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from email.message import EmailMessage
from typing import TYPE_CHECKING

import aiosmtplib
import asyncpg
import nats
import pytest
import redis.asyncio
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.api import AckPolicy, ConsumerConfig, StreamConfig
from nats.js.errors import NotFoundError
from rota_chassis.embedded.nats import DEFAULT_PORT, Nats
from rota_chassis.embedded.process import ServerError
from rota_chassis.testing import servers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from nats.aio.client import Client
    from rota_chassis.embedded.mail import MailSink


async def _ignore(_error: Exception) -> None:
    """A refused subject is reported here besides."""


@pytest.fixture
async def stream(nats_url: str) -> AsyncIterator[Client]:
    client = await nats.connect(nats_url)
    jetstream = client.jetstream()
    with suppress(NotFoundError):
        await jetstream.delete_stream("ROTA_EVENTS")
    await jetstream.add_stream(StreamConfig(name="ROTA_EVENTS", subjects=["rota.events.v1.>"]))
    await jetstream.add_consumer(
        "ROTA_EVENTS", ConsumerConfig(durable_name="notifications", ack_policy=AckPolicy.EXPLICIT)
    )
    yield client
    await jetstream.delete_stream("ROTA_EVENTS")
    await client.close()


@pytest.fixture
async def outsider(nats_url: str, stream: Client) -> AsyncIterator[Client]:
    assert stream.is_connected
    client = await nats.connect("nats://" + nats_url.rpartition("@")[2], error_cb=_ignore)
    yield client
    await client.close()


async def test_postgres_sorts_and_lowers_as_unicode_says(postgres_url: str) -> None:
    connection = await asyncpg.connect(postgres_url)
    assert await connection.fetchval("select lower('ÄÖ')") == "äö"
    assert await connection.fetchval("show server_encoding") == "UTF8"
    assert await connection.fetchval("show listen_addresses") == ""
    await connection.close()


async def test_redis_answers_on_its_socket(redis_url: str) -> None:
    client = redis.asyncio.from_url(redis_url)
    await client.set("key", "value")
    assert await client.get("key") == b"value"
    await client.aclose()


async def test_an_outsider_consumes_the_event_stream_without_a_name(stream: Client, outsider: Client) -> None:
    await stream.jetstream().publish("rota.events.v1.w.task.created", b"{}")
    subscription = await outsider.jetstream().pull_subscribe("rota.events.v1.>", durable="mine", stream="ROTA_EVENTS")
    (message,) = await subscription.fetch(1, timeout=5)
    await message.ack_sync()
    assert message.data == b"{}"


async def test_an_outsider_hears_events_as_they_are_published(stream: Client, outsider: Client) -> None:
    subscription = await outsider.jetstream().subscribe("rota.events.v1.>", ordered_consumer=True)
    await stream.jetstream().publish("rota.events.v1.w.task.created", b"{}")
    assert (await subscription.next_msg(timeout=5)).subject == "rota.events.v1.w.task.created"


async def test_an_outsider_publishes_nothing(stream: Client, outsider: Client) -> None:
    await outsider.publish("rota.events.v1.w.task.created", b"forged")
    await outsider.flush()
    assert (await stream.jetstream().stream_info("ROTA_EVENTS")).state.messages == 0


@pytest.mark.parametrize(
    "subject",
    [
        "$JS.API.STREAM.DELETE.ROTA_EVENTS",
        "$JS.API.STREAM.PURGE.ROTA_EVENTS",
        "$JS.API.STREAM.CREATE.OTHER",
        "$JS.API.CONSUMER.DELETE.ROTA_EVENTS.notifications",
        "$JS.API.CONSUMER.MSG.NEXT.ROTA_EVENTS.notifications",
    ],
)
async def test_an_outsider_changes_nothing_of_ours(stream: Client, outsider: Client, subject: str) -> None:
    with pytest.raises((NatsTimeoutError, NoRespondersError)):
        await outsider.request(subject, b"", timeout=0.3)
    jetstream = stream.jetstream()
    assert [consumer.name for consumer in await jetstream.consumers_info("ROTA_EVENTS")] == ["notifications"]


async def test_a_wrong_nats_password_is_refused(nats_url: str) -> None:
    host, _, port = nats_url.rpartition("@")[2].partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    await reader.readline()
    writer.write(b'CONNECT {"user": "rota", "pass": "wrong", "verbose": false}\r\nPING\r\n')
    assert await reader.readline() == b"-ERR 'Authorization Violation'\r\n"
    writer.close()
    await writer.wait_closed()


async def test_nats_takes_another_port_when_its_own_is_taken(nats_url: str) -> None:
    taken = int(nats_url.rpartition(":")[2])
    with servers.server_folder() as folder:
        server = Nats(folder / "nats", folder, folder / "nats.log", password="secret", port=taken)
        async with servers.running(server):
            assert server.public_url != f"nats://127.0.0.1:{taken}"
    assert DEFAULT_PORT == 4222


async def test_two_that_start_at_once_and_want_one_port_both_serve(server_folder: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    found = []
    for name in ("one", "other"):
        folder = server_folder / name
        folder.mkdir()
        found.append(Nats(folder / "nats", folder, folder / "log", password="secret", port=port))
    try:
        await asyncio.gather(*(server.start() for server in found))
        assert len({server.public_url for server in found}) == 2
        assert f"nats://127.0.0.1:{port}" in {server.public_url for server in found}
    finally:
        for server in found:
            server.hurry()
            await server.stop()


async def test_each_recipient_of_a_mail_gets_a_file(smtp_sink: MailSink) -> None:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "rota@example.com", "a@example.com", "Hello"
    mail.set_content("Grüße")
    host, _, port = smtp_sink.url.removeprefix("smtp://").partition(":")
    recipients = ["a@example.com", "../../b@example.com"]
    await aiosmtplib.send(mail, recipients=recipients, hostname=host, port=int(port), start_tls=False)
    names = sorted(path.name.split("-", 1)[1] for path in smtp_sink.folder.iterdir())
    assert names == ["_.._b@example.com.eml", "a@example.com.eml"]
    assert all(b"Subject: Hello" in path.read_bytes() for path in smtp_sink.folder.iterdir())


async def test_a_server_that_cannot_start_says_why_in_a_sentence(server_folder: Path) -> None:
    folder = server_folder / "occupied"
    folder.mkdir()
    (folder / "nats").write_text("a file where a folder should be", encoding="utf-8")
    with pytest.raises(ServerError, match=r"^nats stopped \(exit code 1\): .*not a directory"):
        await servers.nats(folder).start()


async def test_stopping_twice_and_stopping_what_never_started_are_harmless() -> None:
    with servers.server_folder() as folder:
        server = servers.redis(folder)
        await server.stop()
        await server.start()
        await asyncio.gather(server.stop(), server.stop())
        assert server.pid is None
        with suppress(ServerError):
            await server.start()
        assert server.pid is not None
        await server.stop()
