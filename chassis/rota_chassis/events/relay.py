"""The relay: publishes committed events to JetStream, in order, at least once.

One replica of a service relays at a time: the one that holds an advisory lock of the database, on a connection of its
own, so that the lock ends with the process. It takes unpublished rows in position order, publishes them as one atomic
batch, then marks them. Races and crashes:

- It dies after publishing and before marking: the next relay publishes the batch again; JetStream drops each event by
  its id within the duplicate window, consumers by their inbox after that.
- It loses the connection, and with it the lock, while it publishes: two relays publish the same events; as above.
- NATS is down: rows stay unpublished, writes go on, and the relay catches up.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from nats.errors import Error as NatsError
from nats.js.errors import APIError
from sqlalchemy import bindparam, extract, func, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import BigInteger, Text

from rota_chassis.errors import Unavailable
from rota_chassis.events import envelope
from rota_chassis.events.log import EVENTS
from rota_chassis.ids import uuid7
from rota_chassis.logs import logger
from rota_chassis.postgres.statements import statement
from rota_chassis.telemetry import EVENT_RELAY_LAG, EVENTS_PUBLISHED

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg
    from nats.aio.client import Client

    from rota_chassis.postgres.database import Database

BATCH = 500
POLL_S = 0.25
RETRY_S = 0.5
GATHER_S = 0.01
PUBLISH_TIMEOUT_S = 5.0

_LOCK = 0x526F7461  # "Rota"; one relay per database
_LOG = logger(__name__)

_UNPUBLISHED = statement(
    select(
        EVENTS.c.position,
        EVENTS.c.workspace_id,
        EVENTS.c.id,
        EVENTS.c.aggregate_id,
        EVENTS.c.aggregate_version,
        EVENTS.c.type,
        EVENTS.c.schema_version,
        EVENTS.c.actor,
        EVENTS.c.time,
        EVENTS.c.traceparent,
        EVENTS.c.causation_depth,
        EVENTS.c.data.cast(Text).label("body"),
    )
    .where(EVENTS.c.published_at.is_(None))
    .order_by(EVENTS.c.position)
    .limit(BATCH)
)
_MARK = statement(
    update(EVENTS)
    .where(EVENTS.c.position == func.any(bindparam("positions", type_=ARRAY(BigInteger))))
    .values(published_at=func.clock_timestamp())
    .returning(extract("epoch", EVENTS.c.published_at - EVENTS.c.time).label("lag_s"))
)


class Relay:
    """Publishes the events of one database."""

    def __init__(self, database: Database, nats: Client, source: str) -> None:
        self._database = database
        self._nats = nats
        self._jetstream = nats.jetstream(timeout=PUBLISH_TIMEOUT_S)
        self._source = source

    async def run(self) -> None:
        """Publish until cancelled; whatever fails is tried again."""
        while True:
            try:
                async with self._database.connection() as connection:
                    await self._lead(connection)
            except (Unavailable, NatsError, OSError, TimeoutError) as error:
                _LOG.warning("relay.interrupted", error=repr(error.__cause__ or error), retry_s=RETRY_S)
                await asyncio.sleep(RETRY_S)

    async def _lead(self, connection: asyncpg.Connection) -> None:
        while True:
            if await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):
                break
            await asyncio.sleep(RETRY_S)
        # What is marked need not be on disk: marks that a crash of the server takes away are made again, and JetStream
        # drops what is published again. So the next batch has not to wait for the disk of the database as well.
        await connection.execute("SET synchronous_commit = off")
        try:
            while True:
                self._database.events_committed.clear()
                while await self.publish_batch(connection) == BATCH:
                    pass
                # What is committed meanwhile goes together: each batch waits for the disk of the stream.
                await asyncio.sleep(GATHER_S)
                try:
                    async with asyncio.timeout(POLL_S):
                        await self._database.events_committed.wait()
                except TimeoutError:
                    pass  # another replica may have committed: look again
        finally:
            if not connection.is_closed():
                await connection.fetchval("SELECT pg_advisory_unlock($1)", _LOCK)

    async def publish_batch(self, connection: asyncpg.Connection) -> int:
        """Publish and mark the oldest unpublished events; returns how many, at most `BATCH`."""
        rows = await connection.fetch(_UNPUBLISHED.sql, *_UNPUBLISHED.arguments({}))
        if rows:
            await self._publish(rows)
            for marked in await connection.fetch(_MARK.sql, [row["position"] for row in rows]):
                EVENT_RELAY_LAG.observe(float(marked["lag_s"]))
            EVENTS_PUBLISHED.inc(len(rows))
        return len(rows)

    async def _publish(self, rows: Sequence[asyncpg.Record]) -> None:
        if len(rows) > 1:
            try:
                await self._publish_atomically(rows)
            except APIError as error:
                # A batch with an event that is already in the stream is refused as a whole.
                _LOG.info("relay.batch_refused", error=str(error), events=len(rows))
            else:
                return
        for row in rows:
            await self._jetstream.publish(
                _subject(row), row["body"].encode(), headers=envelope.headers(row, self._source)
            )

    async def _publish_atomically(self, rows: Sequence[asyncpg.Record]) -> None:
        """Publish as one JetStream atomic batch (ADR-50): the last message commits it, and only it is acknowledged."""
        batch_id = str(uuid7())
        for sequence, row in enumerate(rows[:-1], start=1):
            await self._nats.publish(
                _subject(row), row["body"].encode(), headers=self._in_batch(row, batch_id, sequence)
            )
        last = {**self._in_batch(rows[-1], batch_id, len(rows)), "Nats-Batch-Commit": "1"}
        await self._jetstream.publish(_subject(rows[-1]), rows[-1]["body"].encode(), headers=last)

    def _in_batch(self, row: asyncpg.Record, batch_id: str, sequence: int) -> dict[str, str]:
        return {
            **envelope.headers(row, self._source),
            "Nats-Batch-Id": batch_id,
            "Nats-Batch-Sequence": str(sequence),
        }


def _subject(row: Any) -> str:
    return envelope.subject(row["workspace_id"], row["type"])
