"""Events of series in, times to look at them out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_scheduler.series import store
from rota_scheduler.series.messages import series_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rota_chassis.events.consumer import Handler
    from rota_chassis.events.envelope import Event
    from rota_chassis.postgres.work import UnitOfWork


def handlers() -> Mapping[str, Handler]:
    """The events that tell of series, for `Runtime.consume`."""
    return dict.fromkeys(("task_series.created", "task_series.updated", "task_series.ended"), _on_series)


async def _on_series(work: UnitOfWork, event: Event) -> None:
    series = event.data.series
    await store.keep(
        work,
        workspace_id=event.workspace_id,
        series_id=event.aggregate_id,
        version=event.aggregate_version,
        data=series_json(series),
        wake_at=None if series.HasField("ended_at") else event.time,
    )
