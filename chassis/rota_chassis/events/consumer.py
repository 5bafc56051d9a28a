"""A durable consumer: each event takes effect once, in a transaction of its own, however often it is delivered.

- The inbox row and the effect commit together; a second delivery finds the row and is only acknowledged. The process
  may die at any instruction: before the commit nothing happened, after it the redelivery does nothing.
- The inbox row is the first thing in the transaction, which begins when the handler first uses it. An event that a
  handler has nothing to do about leaves nothing behind, and one that is delivered again finds as little to do.
- Events of one aggregate are handled in order, those of different aggregates side by side. A delivery that failed
  comes again after its successors may have been handled: handlers compare `aggregate_version` where order matters.
- A failing event is tried again with growing delays; after the last, JetStream's advisory lands in the dead-letter
  stream and the event stays in `ROTA_EVENTS` for whoever repairs and replays it. What cannot be read is given up at
  once, the same way.
- While the database is down no event is at fault: those in hand are kept, however long it takes, and none is given up.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from nats.errors import Error as NatsError
from nats.js import api
from opentelemetry import trace
from sqlalchemy import Column, DateTime, MetaData, Table, Text, bindparam, func
from sqlalchemy.dialects.postgresql import UUID as PgUUID
from sqlalchemy.dialects.postgresql import insert

from rota_chassis.errors import Unavailable
from rota_chassis.events.envelope import SUBJECT_PREFIX, Event, parse
from rota_chassis.events.pull import BATCH, Pull
from rota_chassis.events.stream import EVENTS_STREAM, ensure_streams
from rota_chassis.events.types import MalformedEvent, NewerEvent
from rota_chassis.logs import logger
from rota_chassis.postgres.statements import statement
from rota_chassis.telemetry import EVENTS_HANDLED, TRACER, extract

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
    from uuid import UUID

    import asyncpg
    from nats.aio.client import Client
    from nats.aio.msg import Msg

    from rota_chassis.postgres.database import Database
    from rota_chassis.postgres.work import UnitOfWork

    Handler = Callable[[UnitOfWork, Event], Awaitable[None]]
    Concerned = Callable[[Sequence[Event]], Awaitable[Collection[UUID]]]
    Arrived = asyncio.Queue[tuple[Msg, Event]]

ACK_WAIT_S = 6
BACKOFF_S = (0.2, 1, 5, 30, 120, 600)
LANES = 8
IN_HAND = 4 * BATCH
RETRY_S = 1.0

_LOG = logger(__name__)

INBOX = Table(
    "inbox",
    MetaData(),
    Column("workspace_id", PgUUID, primary_key=True),
    Column("consumer", Text, primary_key=True),
    Column("event_id", PgUUID, primary_key=True),
    Column("received_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
_RECEIVE = statement(
    insert(INBOX)
    .values(workspace_id=bindparam("workspace_id"), consumer=bindparam("consumer"), event_id=bindparam("event_id"))
    .on_conflict_do_nothing()
)
_NOT_RECEIVED = "INSERT 0 0"


class _HandledBefore(Exception):
    """The inbox has the event already."""


class AskFirst(Exception):
    """Raised by a handler that lacks what only others know: nobody is asked, or waited for, in a transaction.

    The transaction is rolled back, `ask` awaited, and the event handled again. After `ask`, the handler knows; or it
    raises this again, for something else that it lacks.
    """

    def __init__(self, ask: Callable[[], Awaitable[None]]) -> None:
        super().__init__("others have to be asked first")
        self.ask = ask


class Consumer:
    """Handles the types of events that `handlers` names, under a durable name.

    Args:
        name: Durable name; the replicas of a service share it, and the work.
        handlers: By type of event. A handler gets the transaction that also holds the inbox row; what it writes and
            appends commits with it. Whether it has anything to do it finds out without that, or by `work.ahead`.
        concerned: Gets events that came together; gives the ids of those that a handler may have something to do about,
            as far as is committed. It is one look into the database for all of them. Absent means that any may be.
        after_commit: Called when effects of events have committed, to wake what waits for them.
        backoff_s: How long to wait before the second try, the third, and so on.
        ack_wait_s: How long after this process died another gets what it had in hand.
    """

    def __init__(
        self,
        name: str,
        handlers: Mapping[str, Handler],
        *,
        database: Database,
        nats: Client,
        concerned: Concerned | None = None,
        after_commit: Callable[[], None] | None = None,
        backoff_s: Sequence[float] = BACKOFF_S,
        ack_wait_s: float = ACK_WAIT_S,
    ) -> None:
        self._name = name
        self._handlers = handlers
        self._database = database
        self._nats = nats
        self._concerned = concerned
        self._after_commit = after_commit
        self._backoff_s = backoff_s
        self._ack_wait_s = ack_wait_s
        self._in_hand: dict[str, Msg] = {}

    async def run(self) -> None:
        """Consume until cancelled; what is in hand then is delivered again later."""
        while True:
            try:
                await self._ensure()
                async with Pull(self._nats, EVENTS_STREAM, self._name).open() as messages, asyncio.TaskGroup() as group:
                    await self._distribute(messages, group)
            except* (NatsError, OSError, TimeoutError) as group_error:
                _LOG.warning("consumer.interrupted", consumer=self._name, error=repr(group_error.exceptions[0]))
                await asyncio.sleep(RETRY_S)

    async def _ensure(self) -> None:
        """Make the durable consumer, or bring it up to date with the handlers."""
        jetstream = self._nats.jetstream()
        await ensure_streams(jetstream)
        await jetstream.add_consumer(
            EVENTS_STREAM,
            api.ConsumerConfig(
                durable_name=self._name,
                deliver_policy=api.DeliverPolicy.ALL,
                ack_policy=api.AckPolicy.EXPLICIT,
                ack_wait=self._ack_wait_s,
                max_deliver=len(self._backoff_s) + 1,
                max_ack_pending=IN_HAND,
                filter_subjects=[f"{SUBJECT_PREFIX}.*.{name}" for name in sorted(self._handlers)],
            ),
        )

    async def _distribute(self, messages: AsyncIterator[Msg], group: asyncio.TaskGroup) -> None:
        # The lanes need no bound: the server hands out no more than `IN_HAND`.
        lanes: list[Arrived] = [asyncio.Queue() for _ in range(LANES)]
        arrived: Arrived = asyncio.Queue()
        self._in_hand.clear()
        group.create_task(self._keep())
        group.create_task(self._sift(arrived, lanes))
        for lane in lanes:
            group.create_task(self._work(lane))
        async for message in messages:
            try:
                event = parse(message.headers, message.data, message.metadata.sequence.stream)
            except NewerEvent as error:
                # A replica of the newer release takes it, or this one once it is upgraded.
                retry_s = self._retry_s(message)
                _LOG.warning("consumer.newer", consumer=self._name, retry_s=retry_s, error=str(error))
                EVENTS_HANDLED.labels("newer", "failed").inc()
                await message.nak(delay=retry_s)
                continue
            except MalformedEvent as error:
                _LOG.error("consumer.malformed", consumer=self._name, subject=message.subject, error=str(error))
                EVENTS_HANDLED.labels("malformed", "terminated").inc()
                await message.term()
                continue
            self._in_hand[message.reply] = message
            arrived.put_nowait((message, event))

    async def _sift(self, arrived: Arrived, lanes: Sequence[Arrived]) -> None:
        """Pass on what a handler may have something to do about, in order; acknowledge the rest."""
        while True:
            together = [await arrived.get()]
            while not arrived.empty():
                together.append(arrived.get_nowait())
            concerned = await self._concerned_among([event for _, event in together])
            for message, event in together:
                if concerned is None or event.id in concerned:
                    lanes[event.aggregate_id.int % LANES].put_nowait((message, event))
                else:
                    EVENTS_HANDLED.labels(event.type, "passed over").inc()
                    await message.ack()
                    self._in_hand.pop(message.reply, None)

    async def _concerned_among(self, events: Sequence[Event]) -> Collection[UUID] | None:
        if self._concerned is None:
            return None
        try:
            return await self._concerned(events)
        except Exception as error:  # noqa: BLE001 (handlers meet it as well, and there it is waited for, or counted)
            _LOG.warning("consumer.not_sifted", consumer=self._name, events=len(events), error=repr(error))
            return None

    async def _keep(self) -> None:
        """Let the server know that what is in hand is worked on, so that nobody else gets it."""
        while True:
            await asyncio.sleep(self._ack_wait_s / 3)
            for message in list(self._in_hand.values()):
                await message.in_progress()

    async def _work(self, lane: asyncio.Queue[tuple[Msg, Event]]) -> None:
        while True:
            message, event = await lane.get()
            with TRACER.start_as_current_span(
                f"consume {event.type}",
                context=extract({"traceparent": event.traceparent or ""}),
                kind=trace.SpanKind.CONSUMER,
            ):
                await self._receive(message, event)
            self._in_hand.pop(message.reply, None)

    async def _receive(self, message: Msg, event: Event) -> None:
        try:
            outcome = await self._handle_when_possible(event)
        except Exception as error:  # noqa: BLE001 (whatever a handler raises, the event is tried again and counted)
            retry_s = self._retry_s(message)
            _LOG.warning(
                "consumer.failed",
                consumer=self._name,
                event_type=event.type,
                event_id=event.id,
                delivered=message.metadata.num_delivered,
                retry_s=retry_s,
                error=repr(error),
                exc_info=not isinstance(error, Unavailable),
            )
            EVENTS_HANDLED.labels(event.type, "failed").inc()
            await message.nak(delay=retry_s)
            return
        EVENTS_HANDLED.labels(event.type, outcome).inc()
        await message.ack()

    def _retry_s(self, message: Msg) -> float | None:
        """When to try again; without a delay after the last try: JetStream gives the event up at once."""
        delivered = message.metadata.num_delivered
        return self._backoff_s[delivered - 1] if delivered <= len(self._backoff_s) else None

    async def _handle_when_possible(self, event: Event) -> str:
        waits = False
        while True:
            try:
                return await self.handle(event)
            except Unavailable:
                if await self._database_answers():
                    raise
            if not waits:
                _LOG.warning("consumer.waits", consumer=self._name, event_type=event.type, event_id=event.id)
            waits = True
            await asyncio.sleep(RETRY_S)

    async def _database_answers(self) -> bool:
        try:
            await self._database.ping()
        except Unavailable:
            return False
        return True

    async def handle(self, event: Event) -> str:
        """Let the event take effect, once; returns "handled", or "duplicate" when it already had."""
        while True:
            try:
                return await self._handle(event)
            except AskFirst as lacking:
                await lacking.ask()

    async def _handle(self, event: Event) -> str:
        async def receive(connection: asyncpg.Connection) -> None:
            given = {"workspace_id": event.workspace_id, "consumer": self._name, "event_id": event.id}
            if await connection.execute(_RECEIVE.sql, *_RECEIVE.arguments(given)) == _NOT_RECEIVED:
                raise _HandledBefore

        try:
            async with self._database.transaction(late=True, first=receive) as work:
                await self._handlers[event.type](work, event)
        except _HandledBefore:
            return "duplicate"
        if self._after_commit is not None and work.has_begun:
            self._after_commit()
        return "handled"
