"""The structure of a workspace in PostgreSQL: which task is a part of which.

A row cannot say that no two changes together close a circle, so that writers of the structure take turns on a lock of
the workspace (`lock`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rota_chassis.memberships import MEMBERSHIPS
from rota_chassis.postgres.statements import statement
from sqlalchemy import Integer, and_, bindparam, exists, func, literal, select
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_tasks import locks
from rota_tasks.projects.access import may_write
from rota_tasks.tasks.tables import TASKS, own, task_of_row

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from rota_chassis.postgres.work import Reader, UnitOfWork

    from rota_tasks.tasks.domain import Task

_WORKSPACE, _ID = bindparam("workspace_id", type_=PgUUID), bindparam("id", type_=PgUUID)
_START = select(TASKS.c.id, TASKS.c.parent_id, literal(1, Integer).label("level")).where(
    TASKS.c.workspace_id == _WORKSPACE, TASKS.c.id == _ID
)
_UP = _START.cte("up", recursive=True)
_UP = _UP.union_all(
    select(TASKS.c.id, TASKS.c.parent_id, _UP.c.level + 1).where(
        TASKS.c.workspace_id == _WORKSPACE, TASKS.c.id == _UP.c.parent_id
    )
)
_DOWN = _START.cte("down", recursive=True)
_DOWN = _DOWN.union_all(
    select(TASKS.c.id, TASKS.c.parent_id, _DOWN.c.level + 1).where(
        TASKS.c.workspace_id == _WORKSPACE, TASKS.c.parent_id == _DOWN.c.id
    )
)
_PATH = statement(select(_UP.c.id).order_by(_UP.c.level))
_HEIGHT = statement(select(func.coalesce(func.max(_DOWN.c.level), 1)))
_RECURS_ABOVE = statement(
    select(
        exists()
        .where(TASKS.c.workspace_id == _WORKSPACE, TASKS.c.id == _UP.c.id, TASKS.c.recurrence.is_not(None))
        .correlate_except(TASKS, _UP)
    )
)
_LOCK_BELOW = statement(
    select(*own(TASKS), _DOWN.c.level, may_write(TASKS.c.project_id).label("may_write"))
    .join_from(TASKS, _DOWN, TASKS.c.id == _DOWN.c.id)
    .outerjoin(
        MEMBERSHIPS,
        and_(
            MEMBERSHIPS.c.workspace_id == TASKS.c.workspace_id,
            MEMBERSHIPS.c.user_id == bindparam("user_id", type_=PgUUID),
        ),
    )
    .where(TASKS.c.workspace_id == _WORKSPACE, _DOWN.c.level > 1)
    .order_by(TASKS.c.id)
    .with_for_update(of=TASKS)
)


class Below(NamedTuple):
    """What is below a task, for somebody who takes it along.

    Attributes:
        parts: What they may change, the deepest first; not what is below something that is kept.
        kept: What they may not change, or not even see, directly below the task or one of the parts.
    """

    parts: Sequence[Task]
    kept: Sequence[Task]


async def lock(work: UnitOfWork, workspace_id: UUID, *, exclusive: bool) -> None:
    """Hold the structure of a workspace until the transaction ends, alone or shared (see `locks`)."""
    await work.hold(locks.structure(workspace_id, alone=exclusive))


async def path(reader: Reader, *, workspace_id: UUID, task_id: UUID) -> Sequence[UUID]:
    """The task and those it is a part of, upwards; empty when the workspace has no such task."""
    rows = await reader.fetch(_PATH, workspace_id=workspace_id, id=task_id)
    return [row["id"] for row in rows]


async def height(reader: Reader, *, workspace_id: UUID, task_id: UUID) -> int:
    """How many levels the task and everything below it take; 1 for a task that does not exist yet."""
    levels: int = await reader.fetch_value(_HEIGHT, workspace_id=workspace_id, id=task_id)
    return levels


async def recurs_above(reader: Reader, *, workspace_id: UUID, task_id: UUID) -> bool:
    """Whether the task, or one that it is a part of, recurs."""
    found: bool = await reader.fetch_value(_RECURS_ABOVE, workspace_id=workspace_id, id=task_id)
    return found


async def lock_below(work: UnitOfWork, *, workspace_id: UUID, task_id: UUID, user_id: UUID) -> Below:
    """Everything below a task, locked until the transaction ends, as a user may take it along."""
    rows = await work.fetch(_LOCK_BELOW, workspace_id=workspace_id, id=task_id, user_id=user_id)
    parts: list[Task] = []
    kept: list[Task] = []
    taken = {task_id}
    for row in sorted(rows, key=lambda row: row["level"]):
        task = task_of_row(row)
        if task.parent_id not in taken:
            continue
        if row["may_write"]:
            parts.append(task)
            taken.add(task.id)
        else:
            kept.append(task)
    return Below(parts[::-1], kept)
