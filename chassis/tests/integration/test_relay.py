from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import nats
import pytest
from nats.errors import Error as NatsError
from prometheus_client import REGISTRY
from rota_chassis.events import relay as relays
from rota_chassis.events.connection import nats_connection
from rota_chassis.events.relay import Relay
from rota_chassis.events.stream import DEAD_LETTERS_STREAM, EVENTS_STREAM, ensure_streams
from rota_chassis.ids import uuid7
from rota_chassis.postgres.database import Database
from rota_chassis.testing.streams import stored, stored_events
from rota_chassis.testing.waiting import eventually, in_background

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    import asyncpg
    from conftest import RestartableNats
    from nats.aio.client import Client
    from rota_chassis.events.log import NewEvent

    Created = Callable[..., NewEvent]


async def write(database: Database, *events: NewEvent) -> None:
    async with database.transaction() as work:
        work.append(*events)


async def unpublished(connection: asyncpg.Connection) -> int:
    found: int = await connection.fetchval("SELECT count(*) FROM events WHERE published_at IS NULL")
    return found


async def all_published(connection: asyncpg.Connection) -> bool:
    return await unpublished(connection) == 0


async def published(client: Client) -> list[tuple[UUID, int]]:
    return [(event.aggregate_id, event.aggregate_version) for event in await stored_events(client)]


async def test_an_event_is_published_with_its_headers_at_once(
    database: Database, client: Client, created: Created
) -> None:
    event_id = uuid7()
    async with in_background(Relay(database, client, "/rota/test").run()):
        await write(database, created(id=event_id))
        (message,) = await eventually(lambda: stored(client), timeout_s=2)
    assert message.headers is not None
    assert (message.headers["ce-id"], message.headers["ce-source"]) == (str(event_id), "/rota/test")
    assert message.subject is not None
    assert message.subject.endswith(".task.created")


async def test_how_long_an_event_waited_for_its_publication_is_measured(
    database: Database, client: Client, connection: asyncpg.Connection, created: Created
) -> None:
    def waited() -> float:
        return REGISTRY.get_sample_value("rota_event_relay_lag_seconds_sum") or 0

    before = waited()
    await write(database, created(time=datetime.now(UTC) - timedelta(seconds=100)))
    async with in_background(Relay(database, client, "/rota/test").run()):
        await eventually(lambda: all_published(connection), timeout_s=2)
        await eventually(lambda: waited() > before, timeout_s=2)
    assert 100 <= waited() - before < 110


async def test_events_are_published_in_the_order_of_the_log(
    database: Database, client: Client, connection: asyncpg.Connection, created: Created
) -> None:
    one, other = uuid7(), uuid7()
    for version in range(1, 6):
        await write(database, created(one, version), created(other, version))
    async with in_background(Relay(database, client, "/rota/test").run()):
        await eventually(lambda: all_published(connection))
    assert await published(client) == [(each, version) for version in range(1, 6) for each in (one, other)]


async def test_more_events_than_a_batch_holds_are_all_published(
    database: Database, client: Client, connection: asyncpg.Connection, created: Created
) -> None:
    task_id = uuid7()
    number = 2 * relays.BATCH + 1
    await write(database, *(created(task_id, version) for version in range(1, number + 1)))
    relay = Relay(database, client, "/rota/test")
    assert [await relay.publish_batch(connection) for _ in range(4)] == [relays.BATCH, relays.BATCH, 1, 0]
    assert await published(client) == [(task_id, version) for version in range(1, number + 1)]


async def test_dying_after_publishing_and_before_marking_publishes_nothing_twice(
    database: Database, client: Client, connection: asyncpg.Connection, created: Created
) -> None:
    task_id = uuid7()
    await write(database, *(created(task_id, version) for version in (1, 2, 3)))
    relay = Relay(database, client, "/rota/test")
    async with database.transaction() as work:
        await relay.publish_batch(work.connection)
        await work.connection.execute("UPDATE events SET published_at = NULL")
    assert await unpublished(connection) == 3
    assert await relay.publish_batch(connection) == 3
    assert await published(client) == [(task_id, 1), (task_id, 2), (task_id, 3)]


@pytest.mark.parametrize("already", [1, 2, 4])
async def test_a_batch_that_is_partly_in_the_stream_is_completed(
    database: Database, client: Client, connection: asyncpg.Connection, created: Created, already: int
) -> None:
    task_id = uuid7()
    await write(database, *(created(task_id, version) for version in range(1, already + 1)))
    relay = Relay(database, client, "/rota/test")
    await relay.publish_batch(connection)
    await connection.execute("UPDATE events SET published_at = NULL")
    await write(database, *(created(task_id, version) for version in range(already + 1, 6)))
    assert await relay.publish_batch(connection) == 5
    assert await published(client) == [(task_id, version) for version in range(1, 6)]


async def test_two_relays_side_by_side_publish_each_event_once_and_in_order(
    database: Database, fresh_nats_url: str, client: Client, connection: asyncpg.Connection, created: Created
) -> None:
    tasks = [uuid7() for _ in range(5)]
    second = await nats.connect(fresh_nats_url)
    running = [Relay(database, each, "/rota/test").run() for each in (client, second)]
    async with in_background(*running):
        for version in range(1, 21):
            await asyncio.gather(*(write(database, created(task_id, version)) for task_id in tasks))
        await eventually(lambda: all_published(connection))
    found = await published(client)
    assert len(found) == 100
    for task_id in tasks:
        assert [version for each, version in found if each == task_id] == list(range(1, 21))
    await second.close()


async def test_two_relays_without_a_lock_still_publish_each_event_once_and_in_order(
    database: Database, fresh_nats_url: str, client: Client, created: Created
) -> None:
    task_id = uuid7()
    second = await nats.connect(fresh_nats_url)
    first_relay, second_relay = Relay(database, client, "/rota/test"), Relay(database, second, "/rota/test")

    async def publish(relay: Relay) -> None:
        async with database.connection() as own:
            while await relay.publish_batch(own):
                pass

    for start in range(1, 101, 10):
        await write(database, *(created(task_id, version) for version in range(start, start + 10)))
        await asyncio.gather(publish(first_relay), publish(second_relay))
    assert await published(client) == [(task_id, version) for version in range(1, 101)]
    await second.close()


async def test_another_relay_takes_over_when_the_first_loses_its_connection(
    database: Database, client: Client, connection: asyncpg.Connection, created: Created
) -> None:
    async with in_background(*(Relay(database, client, "/rota/test").run() for _ in range(2))):
        await write(database, created())
        await eventually(lambda: all_published(connection))
        ended = await connection.fetchval(
            "SELECT bool_and(pg_terminate_backend(pid, 5000)) FROM pg_locks WHERE locktype = 'advisory' AND granted"
        )
        assert ended
        await write(database, created())
        await eventually(lambda: all_published(connection))
    assert len(await published(client)) == 2


async def test_a_cancelled_relay_lets_the_next_one_lead(
    database: Database, client: Client, connection: asyncpg.Connection, created: Created
) -> None:
    held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
    async with in_background(Relay(database, client, "/rota/test").run()):
        await eventually(lambda: connection.fetchval(held))
    assert await connection.fetchval(held) == 0
    async with in_background(Relay(database, client, "/rota/test").run()):
        await write(database, created())
        await eventually(lambda: all_published(connection))


async def test_the_events_of_another_replica_are_found_without_being_told(
    database: Database, tables_url: str, client: Client, connection: asyncpg.Connection, created: Created
) -> None:
    other = await Database.connect(tables_url)
    async with in_background(Relay(database, client, "/rota/test").run()):
        await write(other, created())
        await eventually(lambda: all_published(connection), timeout_s=2)
    await other.close()


async def test_a_relay_catches_up_when_nats_is_back(
    database: Database, own_nats: RestartableNats, connection: asyncpg.Connection, created: Created
) -> None:
    await own_nats.start()
    async with nats_connection(own_nats.url, "test") as client:
        await ensure_streams(client.jetstream())
        task_id = uuid7()
        async with in_background(Relay(database, client, "/rota/test").run()):
            await write(database, created(task_id, 1))
            await eventually(lambda: all_published(connection))
            await own_nats.stop()
            for version in range(2, 12):
                await write(database, created(task_id, version))
            await eventually(lambda: not client.is_connected)
            assert await unpublished(connection) == 10
            await own_nats.start()
            await eventually(lambda: all_published(connection), timeout_s=20)
        assert await published(client) == [(task_id, version) for version in range(1, 12)]


async def test_streams_are_made_once_and_keep_what_they_hold(
    client: Client, database: Database, connection: asyncpg.Connection, created: Created
) -> None:
    await write(database, created())
    await Relay(database, client, "/rota/test").publish_batch(connection)
    jetstream = client.jetstream()
    for _ in range(2):
        await ensure_streams(jetstream)
    assert (await jetstream.stream_info(EVENTS_STREAM)).state.messages == 1
    assert (await jetstream.stream_info(DEAD_LETTERS_STREAM)).config.max_age == 90 * 86_400


async def test_a_stream_with_an_older_configuration_is_brought_up_to_date(client: Client) -> None:
    jetstream = client.jetstream()
    config = (await jetstream.stream_info(EVENTS_STREAM)).config
    await jetstream.update_stream(config.evolve(max_age=3_600, description="Older."))
    await ensure_streams(jetstream)
    assert (await jetstream.stream_info(EVENTS_STREAM)).config.max_age == 30 * 86_400


async def test_a_stream_in_the_way_is_not_taken_over(client: Client) -> None:
    jetstream = client.jetstream()
    await jetstream.delete_stream(EVENTS_STREAM)
    await jetstream.add_stream(name="OTHER", subjects=["rota.events.>"])
    with pytest.raises(NatsError):
        await ensure_streams(jetstream)
    await jetstream.delete_stream("OTHER")
