from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
from nats.js import api
from rota_chassis.events.connection import nats_connection
from rota_chassis.events.pull import BATCH, ConsumerGone, Pull
from rota_chassis.events.stream import EVENTS_STREAM, ensure_streams
from rota_chassis.testing.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from conftest import RestartableNats
    from nats.aio.client import Client
    from nats.aio.msg import Msg

SUBJECT = "rota.events.v1.w.task.created"


async def add_consumer(client: Client) -> None:
    await client.jetstream().add_consumer(
        EVENTS_STREAM,
        api.ConsumerConfig(durable_name="pull", ack_policy=api.AckPolicy.EXPLICIT, max_ack_pending=4 * BATCH),
    )


@pytest.fixture
async def durable(client: Client) -> Client:
    await add_consumer(client)
    return client


async def take(messages: AsyncIterator[Msg], number: int, within_s: float = 5) -> list[bytes]:
    taken = []
    async with asyncio.timeout(within_s):
        while len(taken) < number:
            message = await anext(messages)
            await message.ack_sync()
            taken.append(message.data)
    return taken


async def test_a_message_arrives_without_waiting_for_its_neighbours(durable: Client) -> None:
    async with Pull(durable, EVENTS_STREAM, "pull").open() as messages:
        for number in range(5):
            await durable.jetstream().publish(SUBJECT, b"%d" % number)
            started = time.monotonic()
            assert await take(messages, 1) == [b"%d" % number]
            assert time.monotonic() - started < 2


async def test_more_messages_than_one_request_asks_for_arrive_in_order(durable: Client) -> None:
    number = 2 * BATCH + 7
    for each in range(number):
        await durable.publish(SUBJECT, b"%d" % each)
    async with Pull(durable, EVENTS_STREAM, "pull").open() as messages:
        assert await take(messages, number) == [b"%d" % each for each in range(number)]


async def test_requests_that_expire_are_renewed(durable: Client) -> None:
    async with Pull(durable, EVENTS_STREAM, "pull", expires_s=0.3, heartbeat_s=0.1).open() as messages:
        waiting = asyncio.create_task(take(messages, 1))
        requests = await durable.subscribe(f"$JS.API.CONSUMER.MSG.NEXT.{EVENTS_STREAM}.pull")
        for _ in range(3):
            await requests.next_msg(timeout=3)
        await durable.jetstream().publish(SUBJECT, b"late")
        assert await waiting == [b"late"]


async def test_a_request_that_got_lost_is_renewed_and_its_late_news_do_no_harm(durable: Client) -> None:
    pull = Pull(durable, EVENTS_STREAM, "pull", heartbeat_s=0.2)
    async with pull.open() as messages:
        waiting = asyncio.create_task(take(messages, 1))
        await eventually(lambda: _waiting(durable))
        requests = await durable.subscribe(f"$JS.API.CONSUMER.MSG.NEXT.{EVENTS_STREAM}.pull")
        older = pull._reply
        await durable.publish(older, headers={"Status": "100", "Description": "Idle Heartbeat"})
        pull._requests += 1
        for status in ("404", "408", "409", "503"):
            await durable.publish(older, headers={"Status": status, "Description": "Consumer Deleted"})
        await durable.jetstream().publish(SUBJECT, b"still here")
        assert await waiting == [b"still here"]
        assert requests.pending_msgs == 0


async def test_a_consumer_that_is_deleted_meanwhile_is_reported(durable: Client) -> None:
    async with Pull(durable, EVENTS_STREAM, "pull").open() as messages:
        waiting = asyncio.create_task(take(messages, 1))
        await eventually(lambda: _waiting(durable))
        await durable.jetstream().delete_consumer(EVENTS_STREAM, "pull")
        with pytest.raises(ConsumerGone):
            await waiting


async def _waiting(client: Client) -> int:
    return (await client.jetstream().consumer_info(EVENTS_STREAM, "pull")).num_waiting or 0


async def test_a_consumer_that_never_existed_is_reported(client: Client) -> None:
    async with Pull(client, EVENTS_STREAM, "nobody").open() as messages:
        with pytest.raises(ConsumerGone):
            await take(messages, 1)


async def test_messages_go_on_after_the_server_restarted(own_nats: RestartableNats) -> None:
    await own_nats.start()
    async with nats_connection(own_nats.url, "test") as client:
        await ensure_streams(client.jetstream())
        await add_consumer(client)
        async with Pull(client, EVENTS_STREAM, "pull", heartbeat_s=0.3).open() as messages:
            await client.jetstream().publish(SUBJECT, b"before")
            assert await take(messages, 1) == [b"before"]
            await own_nats.stop()
            await eventually(lambda: not client.is_connected)
            await own_nats.start()
            await eventually(lambda: client.is_connected)
            await client.jetstream().publish(SUBJECT, b"after")
            # The server was killed, and may have forgotten the acknowledgement of the first.
            taken: list[bytes] = []
            while b"after" not in taken:
                taken += await take(messages, 1, within_s=20)
