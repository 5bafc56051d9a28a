"""What the scheduler says of series: occurrences that are due become tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from rota_tasks.series.commands import make_occurrence

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rota_chassis.events.consumer import Handler
    from rota_chassis.events.envelope import Event
    from rota_chassis.postgres.work import UnitOfWork

    from rota_tasks.tasks.dependencies import Tasks


def handlers(tasks: Tasks) -> Mapping[str, Handler]:
    """The events that make occurrences, for `Runtime.consume`."""

    async def on_due(work: UnitOfWork, event: Event) -> None:
        due = event.data
        await make_occurrence(
            work,
            tasks,
            workspace_id=event.workspace_id,
            series_id=UUID(due.series_id),
            version=due.series_version,
            occurrence=due.occurrence if due.HasField("occurrence") else None,
        )

    return {"occurrence.due": on_due}
