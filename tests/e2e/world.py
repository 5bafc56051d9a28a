"""What an outside subscriber sees on NATS, and the checks it makes."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import jsonschema  # type: ignore[import-untyped]  # no stubs are published with it
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

    def check(self, asyncapi: dict[str, Any]) -> None:
        """Each event exactly once, each aggregate's in order without a gap, each as published.

        Args:
            asyncapi: The document that describes them.

        Raises:
            jsonschema.ValidationError: headers or data are not as the document says.
            AssertionError: it is not so.
        """
        doubled = [event_id for event_id, times in Counter(event.id for event in self.events).items() if times > 1]
        assert doubled == []
        versions: dict[object, list[int]] = defaultdict(list)
        for event in self.events:
            versions[event.source, event.type.partition(".")[0], event.aggregate_id].append(event.aggregate_version)
        for aggregate, found in versions.items():
            assert found == list(range(found[0], found[0] + len(found))), aggregate
        described = Described(asyncapi)
        for message in self.messages:
            assert message.headers is not None
            described.check(message.subject, message.headers, orjson.loads(message.data))


class Described:
    """What an AsyncAPI document says of the messages on NATS."""

    def __init__(self, asyncapi: dict[str, Any]) -> None:
        self._document = asyncapi
        self._formats = jsonschema.FormatChecker(["uuid"])
        self._formats.checks("date-time", raises=ValueError)(_is_instant)
        self._validators: dict[tuple[str, str], Any] = {}

    def check(self, subject: str, headers: dict[str, str], data: Any) -> None:
        """Find the channel by its address, and compare its message with this one."""
        addresses = [
            (channel, channel["address"].replace("{workspace_id}", headers["ce-workspaceid"]))
            for channel in self._document["channels"].values()
        ]
        (channel,) = [channel for channel, address in addresses if address == subject]
        (name,) = channel["messages"]
        self._validator(name, "headers").validate(headers)
        self._validator(name, "payload").validate(data)

    def _validator(self, message: str, part: str) -> Any:
        found = self._validators.get((message, part))
        if found is None:
            schema = self._document["components"]["messages"][message][part]
            # References lead into the document.
            found = jsonschema.Draft202012Validator({**self._document, **schema}, format_checker=self._formats)
            self._validators[message, part] = found
        return found


def _is_instant(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


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
