from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import nats
import orjson
import pytest
from consuming import consumer, dead_letters, effects, handled, note, publish, settled
from effects import ADD, EFFECTS
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError
from rota.events.v1 import events_pb2
from rota_chassis.errors import Unavailable
from rota_chassis.events import envelope
from rota_chassis.events.connection import nats_connection
from rota_chassis.events.consumer import LANES, Consumer
from rota_chassis.events.log import NewEvent, PendingEvent
from rota_chassis.events.stream import EVENTS_STREAM, ensure_streams
from rota_chassis.ids import uuid7
from rota_chassis.postgres.database import Database
from rota_chassis.postgres.statements import statement
from rota_chassis.testing.streams import stored, stored_events
from rota_chassis.testing.waiting import eventually, in_background

if TYPE_CHECKING:
    from collections.abc import Callable

    import asyncpg
    from conftest import RestartableNats
    from nats.aio.client import Client
    from rota_chassis.embedded.postgres import Postgres
    from rota_chassis.events.consumer import Handler
    from rota_chassis.events.envelope import Event
    from rota_chassis.postgres.work import UnitOfWork

    Created = Callable[..., NewEvent]


async def test_events_take_effect_and_are_acknowledged(
    database: Database, client: Client, connection: asyncpg.Connection, created: Created
) -> None:
    woken = asyncio.Event()
    events = [created() for _ in range(3)]
    await publish(client, events[0])
    async with in_background(consumer(database, client, after_commit=woken.set).run()):
        await publish(client, *events[1:])
        await handled(client, connection, 3)
    assert {each for each, _ in await effects(connection)} == {event.aggregate_id for event in events}
    assert woken.is_set()


async def test_an_event_that_only_newer_code_knows_waits_for_that(
    database: Database, client: Client, connection: asyncpg.Connection, created: Created
) -> None:
    row = PendingEvent.of(created()).row()
    headers = envelope.headers({**row, "schema_version": 2}, "/rota/test")
    body = orjson.dumps(row["data"])
    await client.jetstream().publish(envelope.subject(row["workspace_id"], row["type"]), body, headers=headers)
    async with in_background(consumer(database, client, backoff_s=(60.0,)).run()):

        async def waits() -> bool:
            with suppress(NotFoundError):
                info = await client.jetstream().consumer_info(EVENTS_STREAM, "test")
                return (info.num_pending, info.num_ack_pending) == (0, 1)
            return False

        await eventually(waits)
        await publish(client, created())
        await eventually(lambda: effects(connection))
    assert await dead_letters(client) == []


async def test_an_event_that_is_published_twice_takes_effect_once(
    database: Database, client: Client, connection: asyncpg.Connection, created: Created
) -> None:
    event = created(id=uuid7())
    await publish(client, event)
    await publish(client, event, again=True)
    assert len(await stored_events(client)) == 2
    async with in_background(consumer(database, client).run()):
        await handled(client, connection, 1)
    assert len(await effects(connection)) == 1


async def test_dying_between_commit_and_acknowledgement_repeats_nothing(
    database: Database, client: Client, connection: asyncpg.Connection, created: Created
) -> None:
    await publish(client, created())
    (event,) = await stored_events(client)
    dead = consumer(database, client)
    assert await dead.handle(event) == "handled"
    assert await dead.handle(event) == "duplicate"
    async with in_background(consumer(database, client).run()):
        await handled(client, connection, 1)
    assert len(await effects(connection)) == 1


async def test_an_event_that_is_handled_twice_at_once_takes_effect_once(
    database: Database, client: Client, connection: asyncpg.Connection, created: Created
) -> None:
    await publish(client, created())
    (event,) = await stored_events(client)
    replicas = [consumer(database, client) for _ in range(4)]
    outcomes = await asyncio.gather(*(replica.handle(event) for replica in replicas))
    assert sorted(outcomes) == ["duplicate"] * 3 + ["handled"]
    assert len(await effects(connection)) == 1


async def append_one(work: UnitOfWork, event: Event) -> None:
    work.append(NewEvent(event.workspace_id, uuid7(), 1, events_pb2.TaskCompleted()))


async def leave_waiting(work: UnitOfWork, event: Event) -> None:
    await work.write(ADD, id=event.aggregate_id, version=event.aggregate_version)


async def look_ahead(work: UnitOfWork, event: Event) -> None:
    if not await work.ahead.fetch(statement(EFFECTS.select())):
        await note(work, event)


@pytest.mark.parametrize("handler", [append_one, leave_waiting, look_ahead])
async def test_whatever_a_handler_does_takes_effect_once(
    database: Database, client: Client, connection: asyncpg.Connection, created: Created, handler: Handler
) -> None:
    await publish(client, created())
    (event,) = await stored_events(client)
    replicas = [consumer(database, client, handler) for _ in range(3)]
    await asyncio.gather(*(replica.handle(event) for replica in replicas))
    await replicas[0].handle(event)
    done = "SELECT (SELECT count(*) FROM effects) + (SELECT count(*) FROM events)"
    assert await connection.fetchval(done) == 1
    assert await connection.fetchval("SELECT count(*) FROM inbox") == 1


async def test_consumers_of_different_names_each_handle_an_event(
    database: Database, client: Client, connection: asyncpg.Connection, created: Created
) -> None:
    await publish(client, created())
    other = Consumer("other", {"task.created": note}, database=database, nats=client)
    async with in_background(consumer(database, client).run(), other.run()):
        await handled(client, connection, 2)


async def test_dying_before_the_commit_hands_the_event_to_the_next(
    database: Database, client: Client, connection: asyncpg.Connection, created: Created
) -> None:
    entered = asyncio.Event()

    async def hang(work: UnitOfWork, event: Event) -> None:
        await note(work, event)
        entered.set()
        await asyncio.Event().wait()

    await publish(client, created())
    async with in_background(consumer(database, client, hang, ack_wait_s=0.3).run()):
        await entered.wait()
    assert await effects(connection) == []
    async with in_background(consumer(database, client, ack_wait_s=0.3).run()):
        await handled(client, connection, 1)


async def test_an_event_that_takes_long_is_not_handed_out_again(
    database: Database, client: Client, connection: asyncpg.Connection, created: Created
) -> None:
    release = asyncio.Event()
    entered: list[int] = []

    async def slow(work: UnitOfWork, event: Event) -> None:
        entered.append(event.aggregate_version)
        await release.wait()
        await note(work, event)

    task_id = uuid7()
    await publish(client, created(task_id, 1), created(task_id, 2))
    async with in_background(consumer(database, client, slow, ack_wait_s=0.3).run()):
        await eventually(lambda: entered)
        sent = await client.subscribe(f"$JS.ACK.{EVENTS_STREAM}.test.>")
        for _ in range(8):
            assert (await sent.next_msg(timeout=3)).data == b"+WPI"
        release.set()
        await handled(client, connection, 2)
    info = await client.jetstream().consumer_info(EVENTS_STREAM, "test")
    assert (entered, info.num_redelivered) == ([1, 2], 0)


async def test_a_failing_event_is_tried_again_and_leaves_nothing_of_what_failed(
    database: Database, client: Client, connection: asyncpg.Connection, created: Created
) -> None:
    tries = []

    async def fail_twice(work: UnitOfWork, event: Event) -> None:
        tries.append(asyncio.get_running_loop().time())
        await note(work, event)
        if len(tries) < 3:
            raise LookupError

    await publish(client, created())
    # It may be tried more often than it takes: after a last try the server would hold a slow acknowledgement for none,
    # and give the event up that was handled.
    patient = consumer(database, client, fail_twice, backoff_s=(0.1, 0.3, 30, 30))
    async with in_background(patient.run()):
        await handled(client, connection, 1)
    assert len(await effects(connection)) == 1
    waits = [later - earlier for earlier, later in pairwise(tries)]
    assert waits[0] >= 0.09
    assert waits[1] >= 0.29
    assert await dead_letters(client) == []


async def test_an_event_that_fails_for_good_becomes_a_dead_letter_and_stays_in_the_stream(
    database: Database, client: Client, connection: asyncpg.Connection, created: Created
) -> None:
    poison, good = created(), created()
    tries = []

    async def fail(work: UnitOfWork, event: Event) -> None:
        if event.aggregate_id == poison.aggregate_id:
            tries.append(event.sequence)
            raise LookupError
        await note(work, event)

    await publish(client, poison, good)
    async with in_background(consumer(database, client, fail).run()):
        (letter,) = await eventually(lambda: dead_letters(client), timeout_s=30)
        await handled(client, connection, 1)
    assert (letter["stream"], letter["consumer"], letter["stream_seq"]) == (EVENTS_STREAM, "test", 1)
    assert letter["deliveries"] == len(tries) == 3
    assert len(await stored(client)) == 2


async def test_a_dependency_that_is_unavailable_counts_as_a_failure(
    database: Database, client: Client, created: Created
) -> None:
    async def ask(_work: UnitOfWork, _event: Event) -> None:
        raise Unavailable("auth does not answer")

    await publish(client, created())
    async with in_background(consumer(database, client, ask).run()):
        await eventually(lambda: dead_letters(client), timeout_s=30)


async def test_what_is_no_event_is_given_up_at_once(
    database: Database, client: Client, connection: asyncpg.Connection, created: Created
) -> None:
    await client.jetstream().publish("rota.events.v1.w.task.created", b"{}")
    await client.jetstream().publish("rota.events.v1.w.task.created", b"{", headers={"ce-type": "task.created"})
    await publish(client, created())
    async with in_background(consumer(database, client).run()):
        await handled(client, connection, 1)
        letters = await eventually(lambda: dead_letters(client))
    assert [letter["deliveries"] for letter in letters] == [1, 1]
    assert letters[0]["type"].endswith("terminated")


async def test_an_event_whose_handler_is_gone_becomes_a_dead_letter(
    database: Database, client: Client, created: Created
) -> None:
    before = Consumer("test", {"task.created": note, "task.deleted": note}, database=database, nats=client)
    before._handlers = {"task.deleted": note, "task.created": note}
    await before._ensure()
    await publish(client, created())
    after = consumer(database, client)
    after._handlers = {}
    (event,) = await stored_events(client)
    with pytest.raises(KeyError):
        await after.handle(event)


async def test_events_of_one_aggregate_are_handled_in_order_and_others_side_by_side(
    database: Database, client: Client, connection: asyncpg.Connection, created: Created
) -> None:
    under_way, most = 0, 0

    async def measure(work: UnitOfWork, event: Event) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await (await work.begin()).execute("SELECT pg_sleep(0.002)")
        await note(work, event)
        under_way -= 1

    tasks = [uuid7() for _ in range(30)]
    await publish(client, *(created(task_id, version) for version in range(1, 11) for task_id in tasks))
    async with in_background(consumer(database, client, measure).run()):
        await handled(client, connection, 300)
    found = await effects(connection)
    for task_id in tasks:
        assert [version for each, version in found if each == task_id] == list(range(1, 11))
    assert 1 < most <= LANES


async def test_replicas_share_the_work_and_nothing_is_done_twice(
    database: Database, fresh_nats_url: str, client: Client, connection: asyncpg.Connection, created: Created
) -> None:
    second = await nats.connect(fresh_nats_url)
    replicas = [consumer(database, each) for each in (client, second)]
    async with in_background(*(replica.run() for replica in replicas)):
        for _ in range(200):
            await publish(client, created())
        await handled(client, connection, 200)
    assert len(set(await effects(connection))) == len(await effects(connection)) == 200
    await second.close()


async def test_what_a_handler_appends_commits_with_its_effect(
    database: Database, client: Client, connection: asyncpg.Connection, created: Created
) -> None:
    async def react(work: UnitOfWork, event: Event) -> None:
        await note(work, event)
        work.append(created())

    await publish(client, created())
    async with in_background(consumer(database, client, react).run()):
        await handled(client, connection, 1)
    assert await connection.fetchval("SELECT count(*) FROM events") == 1
    assert database.events_committed.is_set()


async def test_a_durable_consumer_that_was_deleted_is_made_again(
    database: Database, client: Client, connection: asyncpg.Connection, created: Created
) -> None:
    await publish(client, created())
    async with in_background(consumer(database, client).run()):
        await handled(client, connection, 1)
        await client.jetstream().delete_consumer(EVENTS_STREAM, "test")
        await publish(client, created())
        await eventually(lambda: _has_effects(connection, 2))
    assert len(await effects(connection)) == 2


async def test_streams_that_were_lost_are_made_again(
    database: Database, client: Client, connection: asyncpg.Connection, created: Created
) -> None:
    async with in_background(consumer(database, client).run()):
        await publish(client, created())
        await handled(client, connection, 1)
        await client.jetstream().delete_stream(EVENTS_STREAM)
        event = created()

        async def published() -> bool:
            try:
                await publish(client, event)
            except NatsError:
                return False
            return True

        await eventually(published)
        await eventually(lambda: _has_effects(connection, 2))


async def _has_effects(connection: asyncpg.Connection, number: int) -> bool:
    return len(await effects(connection)) >= number


async def test_consuming_goes_on_without_loss_after_the_server_restarted(
    database: Database, own_nats: RestartableNats, connection: asyncpg.Connection, created: Created
) -> None:
    await own_nats.start()
    async with nats_connection(own_nats.url, "test") as client:
        await ensure_streams(client.jetstream())
        # What was being acknowledged as the server stopped comes again.
        async with in_background(consumer(database, client, ack_wait_s=1.0).run()):
            await publish(client, *(created() for _ in range(50)))
            await own_nats.stop()
            await eventually(lambda: not client.is_connected)
            await own_nats.start()
            await eventually(lambda: client.is_connected)
            await publish(client, *(created() for _ in range(5)))
            await handled(client, connection, 55)
        assert len(set(await effects(connection))) == len(await effects(connection)) == 55
        assert await dead_letters(client) == []


async def test_while_the_database_is_down_events_wait_and_none_is_given_up(
    own_postgres: Postgres, make_tables: Any, client: Client, created: Created
) -> None:
    url = await make_tables(own_postgres.url)
    database = await Database.connect(url, acquire_timeout_s=1)
    async with in_background(consumer(database, client, ack_wait_s=0.3).run()):
        await publish(client, created())
        await eventually(lambda: settled(client))
        await own_postgres.stop()
        await publish(client, *(created() for _ in range(20)))
        acknowledgements = await client.subscribe(f"$JS.ACK.{EVENTS_STREAM}.test.>")
        for _ in range(100):
            assert (await acknowledgements.next_msg(timeout=3)).data == b"+WPI"
        await own_postgres.start()
        await eventually(lambda: settled(client), timeout_s=20)
    rows = await database.fetch(statement(EFFECTS.select()))
    assert len(rows) == 21
    assert await dead_letters(client) == []
    await database.close()


async def test_a_consumer_that_waits_for_the_database_can_be_stopped(
    own_postgres: Postgres, make_tables: Any, client: Client, created: Created
) -> None:
    database = await Database.connect(await make_tables(own_postgres.url), acquire_timeout_s=1)
    acknowledgements = await client.subscribe(f"$JS.ACK.{EVENTS_STREAM}.test.>")
    async with asyncio.timeout(10), in_background(consumer(database, client, ack_wait_s=0.1).run()):
        await own_postgres.stop()
        await publish(client, *(created() for _ in range(20)))
        await acknowledgements.next_msg(timeout=3)
    await database.close()
