"""Series and their events as the contract writes them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota.events.v1 import events_pb2
from rota.tasks.v1 import series_pb2
from rota_chassis import codec
from rota_chassis.events.log import NewEvent

from rota_tasks.series.domain import Series, SeriesCreated, SeriesEnded, SeriesEvent, SeriesUpdated
from rota_tasks.series.recurrence_messages import recurrence_message, recurrence_of
from rota_tasks.tasks.messages import task_message, task_of
from rota_tasks.timestamps import moment, timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping

_EVENTS: Mapping[type[SeriesEvent], Any] = {
    SeriesCreated: events_pb2.TaskSeriesCreated,
    SeriesUpdated: events_pb2.TaskSeriesUpdated,
    SeriesEnded: events_pb2.TaskSeriesEnded,
}
_encode = codec.encoder(series_pb2.TaskSeries)
_decode = codec.decoder(series_pb2.TaskSeries)


def series_message(series: Series) -> series_pb2.TaskSeries:
    """The series as events carry it."""
    return series_pb2.TaskSeries(
        id=str(series.id),
        workspace_id=str(series.workspace_id),
        recurrence=recurrence_message(series.recurrence),
        template=task_message(replace(series.template, standing=None)),
        latest=series.latest,
        closed_at=timestamp(series.closed_at),
        occurrences=series.occurrences,
        skipped=series.skipped,
        lead_s=series.lead_s,
        created_by=str(series.created_by),
        created_at=timestamp(series.created_at),
        updated_at=timestamp(series.updated_at),
        ended_at=timestamp(series.ended_at),
        version=series.version,
    )


def series_of(message: series_pb2.TaskSeries) -> Series:
    """The series in a message; the inverse of `series_message`."""
    return Series(
        id=UUID(message.id),
        workspace_id=UUID(message.workspace_id),
        recurrence=recurrence_of(message.recurrence),
        template=task_of(message.template),
        latest=message.latest,
        closed_at=moment(message, "closed_at"),
        occurrences=message.occurrences,
        skipped=tuple(message.skipped),
        created_by=UUID(message.created_by),
        created_at=message.created_at.ToDatetime(UTC),
        updated_at=message.updated_at.ToDatetime(UTC),
        ended_at=moment(message, "ended_at"),
        version=message.version,
    )


def series_json(series: Series) -> dict[str, Any]:
    """The series as its row keeps it."""
    data: dict[str, Any] = _encode(series_message(series))
    return data


def series_of_json(data: Mapping[str, Any]) -> Series:
    """The inverse of `series_json`."""
    return series_of(_decode(data))


def event_message(event: SeriesEvent) -> NewEvent:
    """The event as the log keeps it."""
    series = event.series
    return NewEvent(
        workspace_id=series.workspace_id,
        aggregate_id=series.id,
        aggregate_version=series.version,
        data=_EVENTS[type(event)](series=series_message(series)),
        time=series.updated_at,
    )
