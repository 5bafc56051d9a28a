"""Calendars as the contract writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf.timestamp_pb2 import Timestamp
from rota.scheduler.v1 import calendars_pb2
from rota_chassis.events.log import NewEvent

if TYPE_CHECKING:
    from datetime import datetime

    from rota_scheduler.calendars.domain import Calendar

_WEEKDAYS = calendars_pb2.Weekday.values()[1:]


def members_of(request: Any) -> dict[str, Any]:
    """What a request says of a calendar; what it does not say is the default."""
    return {
        "name": request.name,
        "time_zone": request.time_zone or "UTC",
        "dates": tuple(sorted(set(request.dates))),
        "weekdays": tuple(sorted(_WEEKDAYS.index(each) for each in request.weekdays)),
        "rrules": tuple(request.rrules),
    }


def calendar_message(calendar: Calendar) -> calendars_pb2.Calendar:
    """The calendar as the API shows it."""
    return calendars_pb2.Calendar(
        id=str(calendar.id),
        workspace_id=str(calendar.workspace_id),
        name=calendar.name,
        time_zone=calendar.time_zone,
        dates=calendar.dates,
        weekdays=[_WEEKDAYS[each] for each in calendar.weekdays],
        rrules=calendar.rrules,
        created_by=str(calendar.created_by),
        created_at=_timestamp(calendar.created_at),
        updated_at=_timestamp(calendar.updated_at),
        version=calendar.version,
        etag=calendar.etag,
    )


def event_of(message: Any, calendar: Calendar, now: datetime) -> NewEvent:
    """An event of `rota.events.v1` about a calendar as it now is."""
    return NewEvent(
        workspace_id=calendar.workspace_id,
        aggregate_id=calendar.id,
        aggregate_version=calendar.version,
        data=message(calendar=calendar_message(calendar)),
        time=now,
    )


def _timestamp(value: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(value)
    return stamp
