"""Messages whose JSON form is that of the one member that is set (`rota.options.v1.untagged`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota.options.v1 import options_pb2

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor


def is_untagged(message: Descriptor) -> bool:
    """Whether JSON has the member that is set without a name around it."""
    return bool(message.GetOptions().Extensions[options_pb2.untagged])
