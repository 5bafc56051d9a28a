"""What the event stream holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.events import envelope
from rota_chassis.events.stream import EVENTS_STREAM

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.js.api import RawStreamMsg


async def stored(client: Client, stream: str = EVENTS_STREAM) -> list[RawStreamMsg]:
    """Every message of the stream, in order."""
    jetstream = client.jetstream()
    state = (await jetstream.stream_info(stream)).state
    numbers = range(state.first_seq, state.last_seq + 1) if state.messages else ()
    return [await jetstream.get_msg(stream, seq=number) for number in numbers]


async def stored_events(client: Client) -> list[envelope.Event]:
    """Every event of the stream, in order."""
    return [envelope.parse(each.headers, each.data or b"", each.seq or 0) for each in await stored(client)]
