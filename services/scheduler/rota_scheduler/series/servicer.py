"""rota.scheduler.v1.SeriesTimesService: messages in, times out."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from rota.scheduler.v1 import series_pb2, series_pb2_grpc
from rota_chassis.errors import InvalidArgument, Violation

from rota_scheduler.series.domain import upcoming
from rota_scheduler.series.messages import recurrence_of, series_of
from rota_scheduler.series.times import RefusedRecurrence, first_of

if TYPE_CHECKING:
    from datetime import datetime

    from rota.tasks.v1 import recurrence_pb2

    from rota_scheduler.series.domain import Series
    from rota_scheduler.series.firing import SeriesTimes


class SeriesTimesServicer(series_pb2_grpc.SeriesTimesServiceServicer):
    """Serves the times of series."""

    def __init__(self, times: SeriesTimes) -> None:
        self._times = times

    async def ListNextOccurrences(
        self, request: series_pb2.ListNextOccurrencesRequest, _context: Any
    ) -> series_pb2.ListNextOccurrencesResponse:
        now = self._times.clock.now()
        try:
            # In a thread: a rule that hardly ever matches may take a moment.
            names = await asyncio.to_thread(_names, series_of(request.series), now, request.count)
        except RefusedRecurrence as error:
            field = f"recurrence.{error.field}"
            raise InvalidArgument(
                str(error), code=error.code, violations=[Violation(field, error.description, error.code.lower())]
            ) from error
        return series_pb2.ListNextOccurrencesResponse(occurrences=names)

    async def AcceptRecurrences(
        self, request: series_pb2.AcceptRecurrencesRequest, _context: Any
    ) -> series_pb2.AcceptRecurrencesResponse:
        accepted = await asyncio.to_thread(lambda: [_accepted(each) for each in request.recurrences])
        return series_pb2.AcceptRecurrencesResponse(recurrences=accepted)


def _accepted(message: recurrence_pb2.Recurrence) -> series_pb2.AcceptedRecurrence:
    recurrence = recurrence_of(message)
    try:
        return series_pb2.AcceptedRecurrence(first=first_of(recurrence).name)
    except RefusedRecurrence as error:
        return series_pb2.AcceptedRecurrence(
            refusal=series_pb2.RecurrenceRefusal(
                code=error.code, detail=str(error), field=error.field, description=error.description
            )
        )


def _names(series: Series, now: datetime, count: int) -> list[str]:
    if not series.latest:
        first_of(series.recurrence)
    return [each.name for each in upcoming(series, now, count)]
