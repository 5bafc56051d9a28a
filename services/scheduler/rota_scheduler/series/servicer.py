"""rota.scheduler.v1.SeriesTimesService: messages in, times out."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from rota.scheduler.v1 import series_pb2, series_pb2_grpc
from rota_chassis.errors import InvalidArgument, Violation

from rota_scheduler.series.domain import upcoming
from rota_scheduler.series.messages import series_of
from rota_scheduler.series.times import RefusedRecurrence, require_sparse

if TYPE_CHECKING:
    from datetime import datetime

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


def _names(series: Series, now: datetime, count: int) -> list[str]:
    if not series.latest:
        require_sparse(series.recurrence)
    return [each.name for each in upcoming(series, now, count)]
