"""What an outside subscriber sees on NATS, and the checks it makes."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import nats
import orjson
from rota_chassis.events.envelope import Event, parse

if TYPE_CHECKING:
    from nats.aio.msg import Msg


@dataclass
class Witness:
    """Every event of some workspaces, as they came from the stream, without Rota's credentials."""

    workspace_ids: tuple[str, ...]
    messages: list[Msg] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def of(self, name: str) -> list[Event]:
        """The events of one type."""
        return [event for event in self.events if event.type == name]

    def check(self) -> None:
        """Each event exactly once, each aggregate's in order without a gap, each as the contract says.

        Raises:
            AssertionError: it is not so.
        """
        doubled = [event_id for event_id, times in Counter(event.id for event in self.events).items() if times > 1]
        assert doubled == []
        versions: dict[object, list[int]] = defaultdict(list)
        for event in self.events:
            versions[event.source, event.type.partition(".")[0], event.aggregate_id].append(event.aggregate_version)
        for aggregate, found in versions.items():
            assert found == list(range(found[0], found[0] + len(found))), aggregate
        for message in self.messages:
            assert message.headers is not None
            assert message.headers["ce-specversion"] == "1.0"
            workspace_id, name = message.subject.removeprefix("rota.events.v1.").split(".", 1)
            assert (workspace_id, name) == (message.headers["ce-workspaceid"], message.headers["ce-type"])
            assert orjson.loads(message.data)


async def read_stream(nats_url: str, workspace_ids: tuple[str, ...]) -> Witness:
    """Everything that the stream holds now of these workspaces; each is parsed strictly against the contract."""
    witness = Witness(workspace_ids)
    client = await nats.connect(nats_url)
    try:
        for workspace_id in workspace_ids:
            subscription = await client.jetstream().subscribe(
                f"rota.events.v1.{workspace_id}.>", stream="ROTA_EVENTS", ordered_consumer=True
            )
            pending = (await subscription.consumer_info()).num_pending
            seen = 0
            while seen < pending or subscription.pending_msgs:
                message = await subscription.next_msg(timeout=5)
                seen += 1
                witness.messages.append(message)
                witness.events.append(parse(message.headers, message.data, message.metadata.sequence.stream))
            await subscription.unsubscribe()
    finally:
        await client.close()
    return witness
