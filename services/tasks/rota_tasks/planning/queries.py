"""What reads tasks in time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.errors import Conflict

from rota_tasks.planning import domain, store
from rota_tasks.planning.domain import MAX_TASKS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from rota_chassis.filters.ast import Filter
    from rota_chassis.identity import UserPrincipal

    from rota_tasks.planning.domain import Edge, Plan
    from rota_tasks.projects.domain import Project
    from rota_tasks.tasks.dependencies import Tasks
    from rota_tasks.tasks.domain import Task
    from rota_tasks.tasks.listing import Cursor


async def get_calendar(
    tasks: Tasks,
    user: UserPrincipal,
    *,
    workspace_id: UUID | None,
    start: datetime,
    end: datetime,
    where: Filter | None,
    limit: int,
    after: Cursor | None,
) -> Sequence[Task]:
    """The tasks that fall into a range (see `store.calendar`).

    Raises:
        NotFound: the user does not belong to the workspace.
    """
    if workspace_id is not None:
        await tasks.memberships.require(user.user_id, workspace_id)
    return await store.calendar(
        tasks.database,
        user_id=user.user_id,
        workspace_id=workspace_id,
        start=start,
        end=end,
        where=where,
        limit=limit,
        after=after,
    )


async def get_graph(tasks: Tasks, user: UserPrincipal, project: Project) -> tuple[Plan, Sequence[Edge]]:
    """The plan of a project that the user may see, and which of its tasks wait for which.

    Raises:
        Conflict: it has more tasks than a graph may have (code GRAPH_TOO_LARGE).
    """
    found = await store.of_project(
        tasks.database, user_id=user.user_id, workspace_id=project.workspace_id, project_id=project.id
    )
    require_size(found)
    edges = await store.edges(tasks.database, workspace_id=project.workspace_id, task_ids=[each.id for each in found])
    return domain.plan(found, edges), edges


def require_size(found: Sequence[Task]) -> None:
    """Return if no more tasks were found than a graph may have.

    Raises:
        Conflict: more were (code GRAPH_TOO_LARGE).
    """
    if len(found) > MAX_TASKS:
        raise Conflict(f"These are more than {MAX_TASKS} tasks; take a smaller part.", code="GRAPH_TOO_LARGE")
