"""Recurrences as the contract and the read table write them."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from rota.tasks.v1 import recurrence_pb2
from rota_chassis import codec
from rota_chassis.errors import InvalidArgument, Violation

from rota_tasks.series.recurrence import Anchor, Carried, CatchUp, Recurrence
from rota_tasks.tasks.days import zones
from rota_tasks.timestamps import timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping

_ANCHORS = {each: recurrence_pb2.RecurrenceAnchor.Value(f"RECURRENCE_ANCHOR_{each.name}") for each in Anchor}
_CATCH_UPS = {each: recurrence_pb2.RecurrenceCatchUp.Value(f"RECURRENCE_CATCH_UP_{each.name}") for each in CatchUp}
_ANCHOR_OF = {number: each for each, number in _ANCHORS.items()}
_CATCH_UP_OF = {number: each for each, number in _CATCH_UPS.items()}
_encode = codec.encoder(recurrence_pb2.Recurrence)
_decode = codec.decoder(recurrence_pb2.Recurrence)


def recurrence_message(recurrence: Recurrence) -> recurrence_pb2.Recurrence:
    """The recurrence as the API shows it."""
    start, carried = recurrence.start, recurrence.carried_over
    return recurrence_pb2.Recurrence(
        rrule=recurrence.rrule,
        cron=recurrence.cron,
        every=recurrence.every,
        anchor=_ANCHORS[recurrence.anchor],
        catch_up=_CATCH_UPS[recurrence.catch_up],
        time_zone=recurrence.time_zone,
        starts_on=None if start is None or isinstance(start, datetime) else start.isoformat(),
        starts_at=timestamp(start) if isinstance(start, datetime) else None,
        carried_over=None if carried is None else recurrence_pb2.CarriedOver(**asdict(carried)),
    )


def recurrence_of(message: recurrence_pb2.Recurrence) -> Recurrence:
    """The recurrence in a message; the inverse of `recurrence_message`."""
    start: date | datetime | None = None
    if message.HasField("starts_at"):
        start = message.starts_at.ToDatetime(UTC)
    elif message.HasField("starts_on"):
        start = date.fromisoformat(message.starts_on)
    return Recurrence(
        rrule=message.rrule if message.HasField("rrule") else None,
        cron=message.cron if message.HasField("cron") else None,
        every=message.every if message.HasField("every") else None,
        anchor=_ANCHOR_OF.get(message.anchor, Anchor.SCHEDULE),
        catch_up=_CATCH_UP_OF.get(message.catch_up, CatchUp.ONE),
        time_zone=message.time_zone,
        start=start,
        carried_over=_carried_of(message.carried_over) if message.HasField("carried_over") else None,
    )


def _carried_of(message: recurrence_pb2.CarriedOver) -> Carried:
    return replace(Carried(), **{field.name: value for field, value in message.ListFields()})


def recurrence_given(request: Any) -> Recurrence | None:
    """The recurrence that a request asks for, if it asks for one; a start between two seconds is at the first.

    Raises:
        InvalidArgument: its zone or its day does not exist.
    """
    if not request.HasField("recurrence"):
        return None
    message = request.recurrence
    if message.time_zone and message.time_zone not in zones():
        raise InvalidArgument(
            "There is no such time zone; use an IANA name such as `Europe/Berlin`.",
            code="UNKNOWN_TIME_ZONE",
            violations=[Violation("recurrence.time_zone", "is no IANA time zone", "no_such_time_zone")],
        )
    try:
        given = recurrence_of(message)
    except ValueError as error:
        raise InvalidArgument(
            "There is no such day in `recurrence.starts_on`.",
            code="INVALID_FIELDS",
            violations=[Violation("recurrence.starts_on", "is no day", "no_such_day")],
        ) from error
    return replace(given, start=given.start.replace(microsecond=0)) if isinstance(given.start, datetime) else given


def recurrence_json(recurrence: Recurrence | None) -> dict[str, Any] | None:
    """The recurrence in the JSON form of the REST API."""
    return None if recurrence is None else _encode(recurrence_message(recurrence))


def recurrence_of_json(data: Mapping[str, Any] | None) -> Recurrence | None:
    """The inverse of `recurrence_json`."""
    return None if data is None else recurrence_of(_decode(data))
