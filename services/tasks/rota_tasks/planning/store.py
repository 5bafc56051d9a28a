"""What planning reads of tasks and relations in PostgreSQL."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rota_chassis.memberships import MEMBERSHIPS
from rota_chassis.postgres.statements import statement
from sqlalchemy import DateTime, Integer, and_, bindparam, func, literal, or_, select, true, tuple_
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_tasks.planning.domain import MAX_TASKS, Edge
from rota_tasks.projects.access import is_visible, may_write
from rota_tasks.relations.domain import RelationType
from rota_tasks.relations.store import RELATIONS
from rota_tasks.tasks.domain import OPEN, Status
from rota_tasks.tasks.filtering import matches
from rota_tasks.tasks.tables import TASKS, is_favourite, own, shown, task_of_row

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from rota_chassis.filters.ast import Filter
    from rota_chassis.postgres.work import Reader, UnitOfWork

    from rota_tasks.tasks.domain import Task
    from rota_tasks.tasks.listing import Cursor

_BEFORE = or_(*(RELATIONS.c.type == each.value for each in (RelationType.BLOCKS, RelationType.FINISHES_BEFORE)))
_WORKSPACE, _IDS = bindparam("workspace_id", type_=PgUUID), bindparam("ids", type_=ARRAY(PgUUID))

_OF_PROJECT = statement(
    select(*shown(TASKS), is_favourite(TASKS))
    .where(
        TASKS.c.workspace_id == _WORKSPACE,
        TASKS.c.project_id == bindparam("project_id", type_=PgUUID),
        TASKS.c.status != Status.CANCELLED.value,
    )
    .order_by(TASKS.c.id)
    .limit(MAX_TASKS + 1)
)
_EDGES = statement(
    select(RELATIONS.c.source_id, RELATIONS.c.task_id, func.max(RELATIONS.c.lag_s).label("lag_s"))
    .where(
        RELATIONS.c.workspace_id == _WORKSPACE,
        RELATIONS.c.source_id == func.any(_IDS),
        RELATIONS.c.task_id == func.any(_IDS),
        _BEFORE,
    )
    .group_by(RELATIONS.c.source_id, RELATIONS.c.task_id)
    .order_by(RELATIONS.c.source_id, RELATIONS.c.task_id)
)
_WAITING = select(bindparam("id", type_=PgUUID).label("id")).cte("waiting", recursive=True)
_WAITING = _WAITING.union(
    select(TASKS.c.id)
    .join_from(
        RELATIONS,
        TASKS,
        and_(TASKS.c.workspace_id == RELATIONS.c.workspace_id, TASKS.c.id == RELATIONS.c.task_id),
    )
    .join(
        MEMBERSHIPS,
        and_(
            MEMBERSHIPS.c.workspace_id == TASKS.c.workspace_id,
            MEMBERSHIPS.c.user_id == bindparam("user_id", type_=PgUUID),
            ~MEMBERSHIPS.c.removed,
        ),
    )
    .where(
        RELATIONS.c.workspace_id == _WORKSPACE,
        RELATIONS.c.source_id == _WAITING.c.id,
        _BEFORE,
        or_(*(TASKS.c.status == status.value for status in sorted(OPEN))),
        may_write(TASKS.c.project_id),
    )
)
_WITH_WAITING = (
    select(*own(TASKS))
    .where(TASKS.c.workspace_id == _WORKSPACE, TASKS.c.id.in_(select(_WAITING.c.id)))
    .order_by(TASKS.c.id)
    .limit(MAX_TASKS + 1)
)
_READ_WAITING, _LOCK_WAITING = statement(_WITH_WAITING), statement(_WITH_WAITING.with_for_update(of=TASKS))


async def of_project(reader: Reader, *, user_id: UUID, workspace_id: UUID, project_id: UUID) -> Sequence[Task]:
    """The tasks of a project but for cancelled ones, at most one more than a graph may have."""
    rows = await reader.fetch(_OF_PROJECT, user_id=user_id, workspace_id=workspace_id, project_id=project_id)
    return [task_of_row(row) for row in rows]


async def edges(reader: Reader, *, workspace_id: UUID, task_ids: Sequence[UUID]) -> Sequence[Edge]:
    """Which of the tasks wait for which of them."""
    rows = await reader.fetch(_EDGES, workspace_id=workspace_id, ids=list(task_ids))
    return [Edge(row["source_id"], row["task_id"], timedelta(seconds=row["lag_s"])) for row in rows]


async def with_waiting(reader: Reader, task: Task, *, user_id: UUID) -> Sequence[Task]:
    """A task and the open tasks that wait for it, or for one that does, as far as the user may write to them.

    At most one more than may move at once.
    """
    rows = await reader.fetch(_READ_WAITING, user_id=user_id, workspace_id=task.workspace_id, id=task.id)
    return [task_of_row(row) for row in rows]


async def lock_with_waiting(work: UnitOfWork, task: Task, *, user_id: UUID) -> Sequence[Task]:
    """As `with_waiting`, locked in the order of ids until the transaction ends."""
    rows = await work.fetch(_LOCK_WAITING, user_id=user_id, workspace_id=task.workspace_id, id=task.id)
    return [task_of_row(row) for row in rows]


async def calendar(
    reader: Reader,
    *,
    user_id: UUID,
    workspace_id: UUID | None,
    start: datetime,
    end: datetime,
    where: Filter | None,
    limit: int,
    after: Cursor | None,
) -> Sequence[Task]:
    """The tasks that the user may see and that fall into a range, by when they begin, at most `limit`."""
    instant = DateTime(timezone=True)
    first, last = literal(start, instant), literal(end, instant)
    begin = func.coalesce(TASKS.c.start, TASKS.c.due)
    # Each of the three has an index of its own.
    conditions = [
        or_(
            and_(TASKS.c.due >= first, TASKS.c.due < last),
            and_(TASKS.c.start >= first, TASKS.c.start < last),
            and_(TASKS.c.start < first, TASKS.c.due >= last),
        ),
        matches(where),
        is_visible(TASKS.c.project_id),
    ]
    if after is not None:
        conditions.append(tuple_(begin, TASKS.c.id) > tuple_(literal(after.key, instant), literal(after.id, PgUUID)))
    size = bindparam("limit", type_=Integer)
    rows = (
        select(TASKS, begin.label("begin"))
        .where(TASKS.c.workspace_id == MEMBERSHIPS.c.workspace_id, *conditions)
        .order_by(begin, TASKS.c.id)
        .limit(size)
        .correlate(MEMBERSHIPS)
        .lateral("page")
    )
    query = (
        select(*shown(rows), is_favourite(rows))
        .select_from(MEMBERSHIPS.join(rows, true()))
        .where(
            MEMBERSHIPS.c.user_id == bindparam("user_id"),
            ~MEMBERSHIPS.c.removed,
            true() if workspace_id is None else MEMBERSHIPS.c.workspace_id == literal(workspace_id, PgUUID),
        )
        .order_by(rows.c.begin, rows.c.id)
        .limit(size)
    )
    found: Any = await reader.fetch(statement(query), user_id=user_id, limit=limit)
    return [task_of_row(row) for row in found]
