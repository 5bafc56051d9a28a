"""Schedules as the contract writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf.timestamp_pb2 import Timestamp
from rota.scheduler.v1 import schedules_pb2
from rota_chassis import codec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from rota_scheduler.schedules.domain import Schedule


_encode_action = codec.encoder(schedules_pb2.Action)
_decode_action = codec.decoder(schedules_pb2.Action)


def action_json(action: schedules_pb2.Action) -> Mapping[str, Any]:
    """The action as it is stored."""
    stored: Mapping[str, Any] = _encode_action(action)
    return stored


def schedule_message(schedule: Schedule) -> schedules_pb2.Schedule:
    """The schedule as the API shows it."""
    return schedules_pb2.Schedule(
        id=str(schedule.id),
        workspace_id=str(schedule.workspace_id),
        name=schedule.name,
        cron=schedule.timing.cron,
        interval_s=schedule.timing.interval_s,
        at=_timestamp(schedule.timing.at),
        timezone=schedule.timezone,
        action=_decode_action(schedule.action),
        next_fire_at=_timestamp(schedule.next_fire_at),
        created_by=str(schedule.created_by),
        created_at=_timestamp(schedule.created_at),
        updated_at=_timestamp(schedule.updated_at),
        version=schedule.version,
        etag=schedule.etag,
    )


def _timestamp(value: datetime | None) -> Timestamp | None:
    if value is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(value)
    return stamp
