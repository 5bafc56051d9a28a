"""Instants as the contract writes them."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, overload

from google.protobuf import timestamp_pb2

if TYPE_CHECKING:
    from datetime import datetime

    from google.protobuf.message import Message


@overload
def timestamp(value: datetime) -> timestamp_pb2.Timestamp: ...


@overload
def timestamp(value: None) -> None: ...


def timestamp(value: datetime | None) -> timestamp_pb2.Timestamp | None:
    """An instant as a Timestamp; None stays None, which leaves a field unset."""
    if value is None:
        return None
    stamp = timestamp_pb2.Timestamp()
    stamp.FromDatetime(value)
    return stamp


def moment(message: Message, field: str) -> datetime | None:
    """An optional Timestamp field as an instant in UTC."""
    return getattr(message, field).ToDatetime(UTC) if message.HasField(field) else None
