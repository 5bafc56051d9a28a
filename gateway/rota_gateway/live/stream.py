"""The stream of events, as the live channels read it: where it stands, all of it as it grows, or a part again."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import orjson
from nats.errors import Error as NatsError
from nats.js import api
from rota_chassis.events.envelope import SUBJECT_PREFIX
from rota_chassis.events.stream import EVENTS_STREAM

from rota_gateway.live.protocol import CHANNEL_OF

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence

    from nats.aio.client import Client
    from nats.aio.msg import Msg

HEARTBEAT_S = 2.0
LOOK_EVERY_S = 0.25
REPLAY_LIMIT = 10_000
LIVE_SUBJECTS = tuple(f"{SUBJECT_PREFIX}.*.{aggregate}.*" for aggregate in (*CHANNEL_OF, "workspace"))
_BATCH = 256
_BATCH_TIMEOUT_S = 5.0
_API_TIMEOUT_S = 2.0
_EXPIRY_S = 30.0


class StreamLost(Exception):
    """The stream cannot be read now, or the reader missed something: begin again from the last offset."""


class TooFarBehind(Exception):
    """More would have to be replayed than reading the state anew costs."""


@dataclass(frozen=True, slots=True)
class StreamState:
    """Where the stream stands.

    Attributes:
        epoch: names this stream among all that ever had its name.
        first: offset of the oldest event that is kept.
        last: offset of the newest.
    """

    epoch: str
    first: int
    last: int


async def stream_state(nats: Client) -> StreamState:
    """Ask JetStream.

    Raises:
        StreamLost: it does not answer, or there is no such stream yet.
    """
    try:
        answer = await nats.request(f"$JS.API.STREAM.INFO.{EVENTS_STREAM}", b"", timeout=_API_TIMEOUT_S)
    except (NatsError, OSError, TimeoutError) as error:
        raise StreamLost(repr(error)) from error
    info = orjson.loads(answer.data)
    if "error" in info:
        raise StreamLost(info["error"].get("description", "unknown"))
    created = datetime.fromisoformat(info["created"])
    return StreamState(
        f"{int(created.timestamp() * 1_000_000):x}", info["state"]["first_seq"], info["state"]["last_seq"]
    )


async def follow(nats: Client, after: int) -> AsyncGenerator[tuple[int, Msg], None]:
    """Every event of `LIVE_SUBJECTS` after an offset, with its own, in order and without a gap, as they come.

    An ordered push consumer (ADR-17 of NATS): it keeps no state on the server that would outlive this reader.

    Raises:
        StreamLost: whatever follows may have been missed.
    """
    queue: asyncio.Queue[Msg] = asyncio.Queue()
    inbox = nats.new_inbox()
    config = api.ConsumerConfig(
        deliver_subject=inbox,
        deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE,
        opt_start_seq=after + 1,
        ack_policy=api.AckPolicy.NONE,
        max_deliver=1,
        flow_control=True,
        idle_heartbeat=HEARTBEAT_S,
        mem_storage=True,
        num_replicas=1,
        filter_subjects=list(LIVE_SUBJECTS),
    )
    try:
        connection = nats.stats["reconnects"]
        subscription = await nats.subscribe(inbox, cb=queue.put)
        try:
            await nats.jetstream(timeout=_API_TIMEOUT_S).add_consumer(EVENTS_STREAM, config)
            expected = 1
            async for message in _received(nats, queue, connection):
                if message.headers and message.headers.get("Status") == "100":
                    await _heed_control(nats, message, expected)
                    continue
                sequence = message.metadata.sequence
                if sequence.consumer != expected:
                    raise StreamLost("a delivery was lost")
                expected += 1
                yield sequence.stream, message
        finally:
            with suppress(NatsError, OSError):
                await subscription.unsubscribe()
    except (NatsError, OSError, TimeoutError) as error:
        raise StreamLost(repr(error)) from error


async def _received(nats: Client, queue: asyncio.Queue[Msg], connection: int) -> AsyncIterator[Msg]:
    silent_s = 0.0
    while True:
        try:
            async with asyncio.timeout(LOOK_EVERY_S):
                message = await queue.get()
        except TimeoutError:
            silent_s += LOOK_EVERY_S
            # The consumer did not survive the connection, or its server.
            if nats.stats["reconnects"] != connection or silent_s > 2 * HEARTBEAT_S:
                raise StreamLost("the connection was lost") from None
        else:
            silent_s = 0.0
            yield message


async def _heed_control(nats: Client, message: Msg, expected: int) -> None:
    if message.reply:
        await nats.publish(message.reply, b"")
    headers = message.headers or {}
    stalled = headers.get("Nats-Consumer-Stalled")
    if stalled:
        await nats.publish(stalled, b"")
    delivered = headers.get("Nats-Last-Consumer")
    if delivered is not None and int(delivered) != expected - 1:
        raise StreamLost("a delivery was lost before a heartbeat")


async def replay(nats: Client, subjects: Sequence[str], after: int, upto: int) -> AsyncGenerator[tuple[int, Msg], None]:
    """The events of some subjects after one offset and up to another, in order.

    Raises:
        StreamLost: the stream cannot be read to the end now.
        TooFarBehind: there are more than `REPLAY_LIMIT`.
    """
    jetstream = nats.jetstream(timeout=_API_TIMEOUT_S)
    config = api.ConsumerConfig(
        deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE,
        opt_start_seq=after + 1,
        ack_policy=api.AckPolicy.NONE,
        mem_storage=True,
        num_replicas=1,
        inactive_threshold=_EXPIRY_S,
        filter_subjects=list(subjects),
    )
    try:
        consumer = await jetstream.add_consumer(EVENTS_STREAM, config)
        if (consumer.num_pending or 0) > REPLAY_LIMIT:
            await jetstream.delete_consumer(EVENTS_STREAM, consumer.name)
            raise TooFarBehind
        queue: asyncio.Queue[Msg] = asyncio.Queue()
        inbox = nats.new_inbox()
        subscription = await nats.subscribe(inbox, cb=queue.put)
        try:
            async for offset, message in _pulled(nats, consumer.name, inbox, queue):
                if offset > upto:
                    return
                yield offset, message
        finally:
            with suppress(NatsError, OSError, TimeoutError):
                await subscription.unsubscribe()
                await jetstream.delete_consumer(EVENTS_STREAM, consumer.name)
    except (NatsError, OSError, TimeoutError) as error:
        raise StreamLost(repr(error)) from error


async def _pulled(nats: Client, consumer: str, inbox: str, queue: asyncio.Queue[Msg]) -> AsyncIterator[tuple[int, Msg]]:
    request = orjson.dumps({"batch": _BATCH, "no_wait": True})
    while True:
        await nats.publish(f"$JS.API.CONSUMER.MSG.NEXT.{EVENTS_STREAM}.{consumer}", request, reply=inbox)
        for _ in range(_BATCH):
            async with asyncio.timeout(_BATCH_TIMEOUT_S):
                message = await queue.get()
            if not message.reply:
                if (message.headers or {}).get("Status") in {"404", "408"}:
                    return  # there is nothing more
                raise StreamLost(f"the replay was refused: {message.headers}")
            yield message.metadata.sequence.stream, message
