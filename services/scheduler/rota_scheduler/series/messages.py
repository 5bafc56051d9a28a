"""Series as the contract writes them."""

from __future__ import annotations

from datetime import UTC, date, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

from rota.events.v1 import events_pb2
from rota.tasks.v1 import recurrence_pb2, series_pb2
from rota_chassis import codec
from rota_chassis.events.log import NewEvent

from rota_scheduler.series.domain import Series
from rota_scheduler.series.times import Anchor, CatchUp, Recurrence

if TYPE_CHECKING:
    from datetime import datetime

    from rota_scheduler.series.times import Occurrence

_ANCHORS = {recurrence_pb2.RECURRENCE_ANCHOR_COMPLETION: Anchor.COMPLETION}
_CATCH_UPS = {
    recurrence_pb2.RECURRENCE_CATCH_UP_SKIP: CatchUp.SKIP,
    recurrence_pb2.RECURRENCE_CATCH_UP_ALL: CatchUp.ALL,
}
_encode = codec.encoder(series_pb2.TaskSeries)
_decode = codec.decoder(series_pb2.TaskSeries)


def series_of(message: series_pb2.TaskSeries) -> Series:
    """The series in a message whose recurrence says when it starts."""
    return Series(
        workspace_id=UUID(message.workspace_id) if message.workspace_id else UUID(int=0),
        id=UUID(message.id) if message.id else UUID(int=0),
        version=message.version,
        recurrence=recurrence_of(message.recurrence),
        latest=message.latest,
        closed_at=message.closed_at.ToDatetime(UTC) if message.HasField("closed_at") else None,
        occurrences=message.occurrences,
        skipped=frozenset(message.skipped),
        lead=timedelta(seconds=message.lead_s),
    )


def series_json(message: series_pb2.TaskSeries) -> dict[str, Any]:
    """What the scheduler keeps of a series: all but its template."""
    kept = series_pb2.TaskSeries()
    kept.CopyFrom(message)
    kept.ClearField("template")
    data: dict[str, Any] = _encode(kept)
    return data


def series_of_json(data: dict[str, Any]) -> Series:
    """The inverse of `series_json`."""
    return series_of(_decode(data))


def due_event(series: Series, occurrence: Occurrence | None, now: datetime) -> NewEvent:
    """The news that an occurrence is due, or that there are no more."""
    name = occurrence.name if occurrence else None
    return NewEvent(
        workspace_id=series.workspace_id,
        # Said once of each version of a series: a thing of its own.
        aggregate_id=uuid5(series.id, str(series.version)),
        aggregate_version=1,
        data=events_pb2.OccurrenceDue(series_id=str(series.id), series_version=series.version, occurrence=name),
        time=now,
    )


def recurrence_of(message: recurrence_pb2.Recurrence) -> Recurrence:
    """The recurrence in a message that says when it starts."""
    starts_at = message.starts_at.ToDatetime(UTC)
    return Recurrence(
        rrule=message.rrule if message.HasField("rrule") else None,
        cron=message.cron if message.HasField("cron") else None,
        every=message.every if message.HasField("every") else None,
        anchor=_ANCHORS.get(message.anchor, Anchor.SCHEDULE),
        catch_up=_CATCH_UPS.get(message.catch_up, CatchUp.ONE),
        time_zone=message.time_zone or "UTC",
        start=date.fromisoformat(message.starts_on) if message.HasField("starts_on") else starts_at,
    )
