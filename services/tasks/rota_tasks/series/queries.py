"""What reads occurrences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_tasks.series import planning, store
from rota_tasks.tasks.queries import get_task

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal

    from rota_tasks.tasks.dependencies import Tasks

Found = tuple[str, "UUID | None", str | None]


async def list_occurrences(
    tasks: Tasks, user: UserPrincipal, *, task_id: UUID, after: str | None, limit: int, preview: int
) -> tuple[Sequence[Found], Sequence[str]]:
    """The occurrences of the series of a task.

    Args:
        tasks: What it needs.
        user: Who asks.
        task_id: One of its tasks.
        after: The last of the page before.
        limit: At most this many that were; there may be more when there are so many.
        preview: How many of those to come to compute, when there are no more that were.

    Returns:
        Those that were (see `store.page`), and those to come.

    Raises:
        NotFound: the task does not exist for the user.
        Unavailable: some are to be computed, and the scheduler cannot be asked now.
    """
    task = await get_task(tasks, user, task_id=task_id)
    series = await planning.series_of(tasks, task)
    if series is None:
        return [], []
    found = await store.page(
        tasks.database,
        user_id=user.user_id,
        workspace_id=series.workspace_id,
        series_id=series.id,
        after=after,
        limit=limit,
    )
    if len(found) == limit or series.ended_at is not None or not preview:
        return found, []
    known = {name for name, _task, _status in found}
    return found, [name for name in await planning.planned(tasks, series, count=preview) if name not in known]
