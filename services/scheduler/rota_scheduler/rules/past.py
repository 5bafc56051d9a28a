"""Past events of a workspace, read from the stream again."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from nats.errors import Error as NatsError
from nats.js import api
from rota_chassis.errors import Unavailable
from rota_chassis.events.envelope import parse, subject
from rota_chassis.events.stream import EVENTS_STREAM
from rota_chassis.events.types import MalformedEvent

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence
    from datetime import datetime
    from uuid import UUID

    from nats.aio.client import Client
    from nats.js import JetStreamContext
    from rota_chassis.events.envelope import Event

_BATCH = 100
_TIMEOUT_S = 5.0
_EXPIRY_S = 30.0


@asynccontextmanager
async def past_events(
    nats: Client, workspace_id: UUID, event_types: Sequence[str], *, since: datetime
) -> AsyncIterator[AsyncGenerator[Event, None]]:
    """The events of some types that arrived since a time and until now, in order.

    Raises:
        Unavailable: they cannot be read now (code EVENTS_UNAVAILABLE).
    """
    jetstream = nats.jetstream(timeout=_TIMEOUT_S)
    config = api.ConsumerConfig(
        deliver_policy=api.DeliverPolicy.BY_START_TIME,
        opt_start_time=since,
        ack_policy=api.AckPolicy.NONE,
        mem_storage=True,
        num_replicas=1,
        inactive_threshold=_EXPIRY_S,
        filter_subjects=[subject(workspace_id, event_type) for event_type in event_types],
    )
    try:
        consumer = await jetstream.add_consumer(EVENTS_STREAM, config)
        events = _read(jetstream, consumer.name, consumer.num_pending or 0)
        try:
            yield events
        finally:
            await events.aclose()
            with suppress(NatsError, OSError, TimeoutError):
                await jetstream.delete_consumer(EVENTS_STREAM, consumer.name)
    except (NatsError, OSError, TimeoutError) as error:
        raise Unavailable("Past events cannot be read now; try again shortly.", code="EVENTS_UNAVAILABLE") from error


async def _read(jetstream: JetStreamContext, consumer: str, pending: int) -> AsyncGenerator[Event, None]:
    subscription = await jetstream.pull_subscribe_bind(consumer, EVENTS_STREAM)
    try:
        while pending > 0:
            for message in await subscription.fetch(min(_BATCH, pending), timeout=_TIMEOUT_S):
                pending -= 1
                with suppress(MalformedEvent):
                    yield parse(message.headers, message.data, message.metadata.sequence.stream)
    finally:
        with suppress(NatsError, OSError):
            await subscription.unsubscribe()
