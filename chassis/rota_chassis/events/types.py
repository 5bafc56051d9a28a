"""The types of events there are: the messages of rota.events.v1 that carry the `event` option."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from google.protobuf import message_factory
from rota.events.v1 import events_pb2
from rota.options.v1 import options_pb2

from rota_chassis import codec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from google.protobuf.message import Message


@dataclass(frozen=True, slots=True)
class EventType:
    """One type of event.

    Attributes:
        name: Dotted name, aggregate first: "task.completed".
        version: Version of the shape of its data.
        message: Class of its data.
        encode: Data message -> JSON object, in the form of the REST API.
        decode: The inverse.
    """

    name: str
    version: int
    message: type[Message]
    encode: Callable[[Any], dict[str, Any]]
    decode: Callable[[Any], Any]

    @property
    def aggregate(self) -> str:
        """What kind of thing it happened to: "task"."""
        return self.name.partition(".")[0]


@cache
def event_types() -> Mapping[str, EventType]:
    """Every type of event, by name."""
    found = {}
    for descriptor in events_pb2.DESCRIPTOR.message_types_by_name.values():
        option = descriptor.GetOptions().Extensions[options_pb2.event]
        if option.type:
            message = message_factory.GetMessageClass(descriptor)
            found[option.type] = EventType(
                option.type, option.version, message, codec.encoder(message), codec.decoder(message)
            )
    return found


def event_type_of(message: type[Message]) -> EventType:
    """The type of event whose data this class is.

    Raises:
        LookupError: the class is not the data of an event.
    """
    name = message.DESCRIPTOR.full_name
    found = _by_message().get(name)
    if found is None:
        raise LookupError(f"{name} is not the data of an event")
    return found


@cache
def _by_message() -> Mapping[str, EventType]:
    return {kind.message.DESCRIPTOR.full_name: kind for kind in event_types().values()}
