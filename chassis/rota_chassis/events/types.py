"""The types of events there are: the messages of rota.events.v1 that carry the `event` option."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING

from google.protobuf import message_factory
from rota.events.v1 import events_pb2
from rota.options.v1 import options_pb2

from rota_chassis import codec
from rota_chassis.events.upcasters import UPCASTERS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from google.protobuf.message import Message

    from rota_chassis.events.upcasters import Data, Upcaster


class MalformedEvent(Exception):
    """A message on the stream is no event of ours; trying again cannot help."""


class NewerEvent(MalformedEvent):
    """An event is of a version that only newer code knows; this code could misread it, and that code will not."""


@dataclass(frozen=True)
class EventType:
    """One type of event. What encodes and decodes it is made when it is first used: for all it takes half a second.

    Attributes:
        name: Dotted name, aggregate first: "task.completed".
        version: Version of the shape of its data.
        message: Class of its data.
        upcasters: What makes each version of its data the next, beginning with version 1.
    """

    name: str
    version: int
    message: type[Message]
    upcasters: Sequence[Upcaster] = ()

    @property
    def aggregate(self) -> str:
        """What kind of thing it happened to: "task"."""
        return self.name.partition(".")[0]

    @cached_property
    def encode(self) -> Callable[[Any], dict[str, Any]]:
        """Data message -> JSON object, in the form of the REST API."""
        return codec.encoder(self.message)

    @cached_property
    def decode(self) -> Callable[[Any], Any]:
        """The inverse, which passes over members that it does not know."""
        return codec.decoder(self.message, lenient=True)

    def upcast(self, data: Data, version: int) -> Data:
        """Data of a version in the shape of today; what is given stays as it is.

        Raises:
            NewerEvent: it is of a later version.
        """
        if version == self.version:
            return data
        if version > self.version:
            raise NewerEvent(f"{self.name} is of version {version}, and only {self.version} is known here")
        found = copy.deepcopy(data)
        for upcaster in self.upcasters[version - 1 :]:
            found = upcaster(found)
        return found

    def read(self, data: Data, version: int) -> Any:
        """The message in data of a version.

        Raises:
            NewerEvent: it is of a later version.
            codec.DecodeError: it is not of the form of its type.
        """
        return self.decode(self.upcast(data, version))


@cache
def event_types() -> Mapping[str, EventType]:
    """Every type of event, by name."""
    found = {}
    for descriptor in events_pb2.DESCRIPTOR.message_types_by_name.values():
        option = descriptor.GetOptions().Extensions[options_pb2.event]
        if option.type:
            message = message_factory.GetMessageClass(descriptor)
            found[option.type] = EventType(
                option.type,
                option.version,
                message,
                UPCASTERS.get(option.type, ()),
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
