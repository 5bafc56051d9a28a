"""Writers, relays, crashes and readers in any order: every committed event is published once, in order, and seen.

The interleaving of a run is drawn by Hypothesis; connections, locks and servers are real. Transactions are held open
across steps, so that positions of the log become visible in another order than they were given.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import asyncpg
import nats
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from rota.events.v1 import events_pb2
from rota_chassis.events.log import NewEvent, PendingEvent
from rota_chassis.events.relay import Relay
from rota_chassis.events.stream import EVENTS_STREAM
from rota_chassis.ids import uuid7
from rota_chassis.postgres.database import Database
from rota_chassis.postgres.pool import prepare_connection
from rota_chassis.postgres.work import UnitOfWork
from rota_chassis.testing.streams import stored_events
from rota_chassis.testing.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from uuid import UUID

    from nats.aio.client import Client

WORKSPACE = uuid7()
AGGREGATES = 3
WRITERS = 3
HORIZON = """
    SELECT coalesce(max(position), 0) AS position,
        pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS decided_below,
        pg_current_xact_id()::text::bigint AS begun_below
    FROM events
"""
READ = """
    SELECT position, aggregate_id, aggregate_version FROM events
    WHERE position > $1 AND position <= $2 ORDER BY position
"""


@dataclass
class Reader:
    """Reads the log by cursor, as the docstring of `events.log` demands."""

    cursor: int = 0
    noted: tuple[int, int] = (0, 0)
    seen: list[tuple[UUID, int]] = field(default_factory=list)

    async def read_on(self, connection: asyncpg.Connection) -> None:
        now = await connection.fetchrow(HORIZON)
        position, begun_below = self.noted
        if now["decided_below"] >= begun_below:
            rows = await connection.fetch(READ, self.cursor, position)
            self.seen += [(row["aggregate_id"], row["aggregate_version"]) for row in rows]
            self.cursor = position
            self.noted = (now["position"], now["begun_below"])


@dataclass
class Servers:
    loop: asyncio.AbstractEventLoop
    database_url: str
    nats_url: str


@dataclass
class Writer:
    """A connection that may have a transaction open, with the events it has written."""

    connection: asyncpg.Connection
    transaction: Any = None
    holds: set[int] = field(default_factory=set)
    written: list[tuple[UUID, int]] = field(default_factory=list)


class Log(RuleBasedStateMachine):
    """Each rule is a step that a process of the system could make next."""

    servers: Servers

    def run(self, step: Coroutine[Any, Any, Any]) -> Any:
        return self.servers.loop.run_until_complete(asyncio.wait_for(step, 20))

    @initialize()
    def start(self) -> None:
        self.aggregates = [uuid7() for _ in range(AGGREGATES)]
        self.committed: set[tuple[UUID, int]] = set()
        self.versions: dict[int, int] = defaultdict(int)
        self.readers = [Reader(), Reader()]
        self.run(self._start())

    async def _start(self) -> None:
        url = self.servers.database_url
        self.database = await Database.connect(url)
        self.writers = [Writer(await asyncpg.connect(url)) for _ in range(WRITERS)]
        for writer in self.writers:
            await prepare_connection(writer.connection)
        self.reader = await asyncpg.connect(url)
        await self.reader.execute("TRUNCATE events RESTART IDENTITY")
        self.clients: list[Client] = [await nats.connect(self.servers.nats_url) for _ in range(2)]
        await self.clients[0].jetstream().purge_stream(EVENTS_STREAM)
        self.relays = [Relay(self.database, client, "/rota/test") for client in self.clients]

    @rule(who=st.integers(0, WRITERS - 1), which=st.integers(0, AGGREGATES - 1), number=st.integers(1, 3))
    def write(self, who: int, which: int, number: int) -> None:
        """Write events of an aggregate that no other open transaction has locked."""
        writer = self.writers[who]
        if any(which in other.holds for other in self.writers if other is not writer):
            return
        self.run(self._write(writer, which, number))

    async def _write(self, writer: Writer, which: int, number: int) -> None:
        if writer.transaction is None:
            writer.transaction = writer.connection.transaction()
            await writer.transaction.start()
        writer.holds.add(which)
        task_id = self.aggregates[which]
        work = UnitOfWork.joining(writer.connection)
        before = self.versions[which] + sum(each == task_id for each, _ in writer.written)
        for version in range(before + 1, before + number + 1):
            work.append(NewEvent(WORKSPACE, task_id, version, events_pb2.TaskCompleted()))
            writer.written.append((task_id, version))
        await work.write_events()

    @rule(who=st.integers(0, WRITERS - 1))
    def commit(self, who: int) -> None:
        writer = self.writers[who]
        if writer.transaction is not None:
            self.run(writer.transaction.commit())
            self.committed.update(writer.written)
            for which in writer.holds:
                self.versions[which] += sum(each == self.aggregates[which] for each, _ in writer.written)
            self._forget(writer)

    @rule(who=st.integers(0, WRITERS - 1))
    def roll_back(self, who: int) -> None:
        writer = self.writers[who]
        if writer.transaction is not None:
            self.run(writer.transaction.rollback())
            self._forget(writer)

    @rule(who=st.integers(0, WRITERS - 1))
    def lose_a_writer(self, who: int) -> None:
        self.run(self._replace(self.writers[who]))
        self._forget(self.writers[who])

    async def _replace(self, writer: Writer) -> None:
        backend = writer.connection.get_server_pid()
        writer.connection.terminate()

        async def gone() -> bool:
            return not await self.reader.fetchval("SELECT count(*) FROM pg_stat_activity WHERE pid = $1", backend)

        # The server rolls back when it notices; only then are the locks free.
        await eventually(gone, every_s=0.001)
        writer.connection = await asyncpg.connect(self.servers.database_url)
        await prepare_connection(writer.connection)

    @staticmethod
    def _forget(writer: Writer) -> None:
        writer.transaction, writer.holds, writer.written = None, set(), []

    @rule(how=st.sampled_from(["one", "other", "both", "dies before marking"]))
    def relay(self, how: str) -> None:
        self.run(self._relay_as(how))

    async def _relay_as(self, how: str) -> None:
        one, other = self.relays
        if how == "dies before marking":
            async with self.database.connection() as connection:
                transaction = connection.transaction()
                await transaction.start()
                await one.publish_batch(connection)
                await transaction.rollback()
        else:
            used = {"one": [one], "other": [other], "both": [one, other]}[how]
            await asyncio.gather(*map(self._relay, used))

    async def _relay(self, relay: Relay) -> None:
        async with self.database.connection() as connection:
            await relay.publish_batch(connection)

    @rule(which=st.integers(0, 1))
    def read_on(self, which: int) -> None:
        self.run(self.readers[which].read_on(self.reader))

    @precondition(lambda self: self.committed)
    @rule()
    def compare(self) -> None:
        self._check_the_stream(complete=False)

    @invariant()
    def readers_have_seen_no_version_out_of_order(self) -> None:
        for reader in getattr(self, "readers", ()):
            self._check_order(reader.seen)

    def teardown(self) -> None:
        if not hasattr(self, "relays"):
            return
        try:
            self._finish()
        finally:
            self.run(self._stop())

    def _finish(self) -> None:
        for who in range(WRITERS):
            self.roll_back(who)
        self.relay("one")
        self._check_the_stream(complete=True)
        for reader in self.readers:
            for _ in range(3):
                self.run(reader.read_on(self.reader))
            assert set(reader.seen) == self.committed
            assert len(reader.seen) == len(self.committed)

    async def _stop(self) -> None:
        for connection in (self.reader, *(writer.connection for writer in self.writers)):
            await connection.close()
        for client in self.clients:
            await client.close()
        await self.database.close()

    def _check_the_stream(self, *, complete: bool) -> None:
        events = self.run(stored_events(self.clients[0]))
        found = [(event.aggregate_id, event.aggregate_version) for event in events]
        assert len(found) == len(set(found))
        assert set(found) == self.committed if complete else set(found) <= self.committed
        self._check_order(found)

    @staticmethod
    def _check_order(found: list[tuple[UUID, int]]) -> None:
        versions: dict[UUID, int] = defaultdict(int)
        for aggregate_id, version in found:
            assert version == versions[aggregate_id] + 1
            versions[aggregate_id] = version


def test_every_committed_event_is_published_once_in_order_and_seen_by_every_reader(
    tables_url: str, fresh_nats_url: str
) -> None:
    loop = asyncio.new_event_loop()
    try:
        Log.servers = Servers(loop, tables_url, fresh_nats_url)
        run_state_machine_as_test(
            Log,
            settings=settings(
                max_examples=30,
                stateful_step_count=40,
                deadline=None,
                database=None,
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
            ),
        )
    finally:
        loop.close()


async def test_a_reader_waits_for_positions_that_are_not_decided(tables_url: str) -> None:
    """Early holds positions 1 and 3, late holds 2; the row 3 is decided while 2, of a later transaction, is not."""
    early, late, connection = [await asyncpg.connect(tables_url) for _ in range(3)]
    below_the_horizon = "SELECT position FROM events WHERE xid < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY 1"

    async def write(writer: asyncpg.Connection) -> None:
        work = UnitOfWork.joining(writer)
        work.append(NewEvent(WORKSPACE, uuid7(), 1, events_pb2.TaskCompleted()))
        await work.write_events()

    for writer in (early, late):
        await prepare_connection(writer)
    reader = Reader()
    async with late.transaction():
        async with early.transaction():
            await write(early)
            await write(late)
            await write(early)
        assert [row["position"] for row in await connection.fetch(below_the_horizon)] == [1, 3]
        for _ in range(3):
            await reader.read_on(connection)
        assert reader.seen == []
    for _ in range(2):
        await reader.read_on(connection)
    assert (len(reader.seen), reader.cursor) == (3, 3)
    for each in (early, late, connection):
        await each.close()


def test_what_is_no_event_cannot_be_appended() -> None:
    with pytest.raises(LookupError):
        PendingEvent.of(NewEvent(WORKSPACE, uuid7(), 1, events_pb2.FieldChange())).row()
