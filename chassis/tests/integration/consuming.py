"""A consumer whose handler notes each event, and events for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from effects import ADD
from nats.js.errors import NotFoundError
from rota_chassis.events import envelope
from rota_chassis.events.consumer import Consumer
from rota_chassis.events.log import NewEvent, PendingEvent
from rota_chassis.events.stream import DEAD_LETTERS_STREAM, EVENTS_STREAM
from rota_chassis.ids import uuid7
from rota_chassis.testing.streams import stored
from rota_chassis.testing.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    import asyncpg
    from nats.aio.client import Client
    from rota_chassis.events.consumer import Handler
    from rota_chassis.events.envelope import Event
    from rota_chassis.postgres.database import Database
    from rota_chassis.postgres.work import UnitOfWork


async def note(work: UnitOfWork, event: Event) -> None:
    await work.execute(ADD, id=event.aggregate_id, version=event.aggregate_version)


def consumer(database: Database, client: Client, handler: Handler = note, **options: Any) -> Consumer:
    # Nothing is delivered again but what a test lets fail, however slow the machine is; who tests dying says otherwise.
    defaults = {"backoff_s": (0.05, 0.05), "ack_wait_s": 60.0}
    return Consumer("test", {"task.created": handler}, database=database, nats=client, **{**defaults, **options})


async def publish(client: Client, *events: NewEvent, again: bool = False) -> None:
    """Put events into the stream; `again` gives them another message id, as when the duplicate window is over."""
    for event in events:
        row = PendingEvent.of(event).row()
        headers = envelope.headers(row, "/rota/test")
        if again:
            headers["Nats-Msg-Id"] = str(uuid7())
        body = orjson.dumps(row["data"])
        await client.jetstream().publish(envelope.subject(row["workspace_id"], row["type"]), body, headers=headers)


async def effects(connection: asyncpg.Connection) -> list[tuple[UUID, int]]:
    return [tuple(row) for row in await connection.fetch("SELECT id, version FROM effects ORDER BY at")]


async def settled(client: Client) -> bool:
    """Whether every event has been handled and acknowledged."""
    try:
        info = await client.jetstream().consumer_info(EVENTS_STREAM, "test")
    except NotFoundError:
        return False
    return (info.num_pending, info.num_ack_pending) == (0, 0)


async def handled(client: Client, connection: asyncpg.Connection, number: int) -> None:
    async def enough() -> bool:
        return await connection.fetchval("SELECT count(*) FROM effects") >= number and await settled(client)

    await eventually(enough, timeout_s=30)


async def dead_letters(client: Client) -> list[Mapping[str, Any]]:
    return [orjson.loads(message.data or b"") for message in await stored(client, DEAD_LETTERS_STREAM)]
