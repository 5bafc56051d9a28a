"""Instants as the contract writes them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, overload

from google.protobuf import timestamp_pb2

if TYPE_CHECKING:
    from google.protobuf.message import Message

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@overload
def timestamp(value: datetime) -> timestamp_pb2.Timestamp: ...


@overload
def timestamp(value: None) -> None: ...


def timestamp(value: datetime | None) -> timestamp_pb2.Timestamp | None:
    """An instant as a Timestamp; None stays None, which leaves a field unset."""
    if value is None:
        return None
    # As `FromDatetime` does it, in half the time.
    elapsed = value - _EPOCH
    return timestamp_pb2.Timestamp(seconds=elapsed.days * 86_400 + elapsed.seconds, nanos=elapsed.microseconds * 1_000)


def moment(message: Message, field: str) -> datetime | None:
    """An optional Timestamp field as an instant in UTC."""
    return getattr(message, field).ToDatetime(UTC) if message.HasField(field) else None
