"""Executable tasks in PostgreSQL: which may have become unblocked, and their rows for what the service itself does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota_chassis.postgres.statements import statement
from sqlalchemy import Column, Integer, MetaData, Table, and_, bindparam, delete, exists, func, insert, select, union
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_tasks.executions.execution import RunWhen
from rota_tasks.relations.domain import RelationType
from rota_tasks.relations.store import RELATIONS
from rota_tasks.tasks.domain import Status
from rota_tasks.tasks.tables import TASKS, shown, task_of_row

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from rota_chassis.postgres.work import UnitOfWork

    from rota_tasks.tasks.domain import Task

UNBLOCKINGS = Table(
    "unblockings",
    MetaData(),
    Column("workspace_id", PgUUID, primary_key=True),
    # Of the row: two that wait for each other's commit must not become one.
    Column("id", PgUUID, primary_key=True, server_default=func.gen_random_uuid()),
    Column("task_id", PgUUID, nullable=False),
)
_WORKSPACE, _TASK = bindparam("workspace_id", type_=PgUUID), bindparam("task_id", type_=PgUUID)
_IDS = bindparam("ids", type_=ARRAY(PgUUID))
_BLOCKERS = TASKS.alias("blockers")
_WAITS = TASKS.c.execution.op("->>")("run_when") == RunWhen.UNBLOCKED.value


def _looking_at(tasks: Any) -> Any:
    return statement(insert(UNBLOCKINGS).from_select(["workspace_id", "task_id"], tasks))


_BLOCKED = (
    select(TASKS.c.workspace_id, TASKS.c.id)
    .join_from(
        RELATIONS, TASKS, and_(TASKS.c.workspace_id == RELATIONS.c.workspace_id, TASKS.c.id == RELATIONS.c.task_id)
    )
    .where(
        RELATIONS.c.workspace_id == _WORKSPACE,
        RELATIONS.c.source_id == func.any(_IDS),
        RELATIONS.c.type == RelationType.BLOCKS.value,
        _WAITS,
    )
)
_THEMSELVES = select(TASKS.c.workspace_id, TASKS.c.id).where(
    TASKS.c.workspace_id == _WORKSPACE, TASKS.c.id == func.any(_IDS), _WAITS
)
_LOOK_AT_BLOCKED = _looking_at(_BLOCKED)
_LOOK_AT_BOTH = _looking_at(union(_BLOCKED, _THEMSELVES))
_NEXT = statement(
    select(UNBLOCKINGS)
    .order_by(UNBLOCKINGS.c.workspace_id, UNBLOCKINGS.c.id)
    .limit(bindparam("limit", type_=Integer))
    .with_for_update(skip_locked=True)
)
_DONE = statement(
    delete(UNBLOCKINGS).where(
        UNBLOCKINGS.c.workspace_id == _WORKSPACE, UNBLOCKINGS.c.id == bindparam("id", type_=PgUUID)
    )
)
_HOLD = statement(select(TASKS.c.id).where(TASKS.c.workspace_id == _WORKSPACE, TASKS.c.id == _TASK).with_for_update())
_GET = statement(select(*shown(TASKS, to_user=False)).where(TASKS.c.workspace_id == _WORKSPACE, TASKS.c.id == _TASK))
_PROJECT = statement(select(TASKS.c.project_id).where(TASKS.c.workspace_id == _WORKSPACE, TASKS.c.id == _TASK))
_HAS_DONE = statement(
    select(
        exists()
        .where(
            RELATIONS.c.workspace_id == _WORKSPACE,
            RELATIONS.c.source_id == _TASK,
            RELATIONS.c.type == RelationType.IS_BLOCKED_BY.value,
            _BLOCKERS.c.workspace_id == RELATIONS.c.workspace_id,
            _BLOCKERS.c.id == RELATIONS.c.task_id,
            _BLOCKERS.c.status == Status.DONE.value,
        )
        .correlate(None)
    )
)


async def look_at(work: UnitOfWork, *, workspace_id: UUID, task_ids: Sequence[UUID], themselves: bool = False) -> None:
    """Note the tasks that wait to be unblocked, of those that the given ones block, and of themselves if so asked."""
    statement_ = _LOOK_AT_BOTH if themselves else _LOOK_AT_BLOCKED
    await work.execute(statement_, workspace_id=workspace_id, ids=list(task_ids))


async def next_looked_at(work: UnitOfWork, limit: int) -> Sequence[Mapping[str, Any]]:
    """At most `limit` notes that nobody else is at: workspace, id and task."""
    return list(await work.fetch(_NEXT, limit=limit))


async def forget(work: UnitOfWork, note: Mapping[str, Any]) -> None:
    """Take a note away."""
    await work.execute(_DONE, workspace_id=note["workspace_id"], id=note["id"])


async def lock(work: UnitOfWork, *, workspace_id: UUID, task_id: UUID) -> Task | None:
    """A task, locked, whoever may see it, for what the service does by itself.

    Read in a statement of its own, so that what was committed while this waited for the row counts as well.
    """
    await work.fetch_one(_HOLD, workspace_id=workspace_id, task_id=task_id)
    row = await work.fetch_one(_GET, workspace_id=workspace_id, task_id=task_id)
    return None if row is None else task_of_row(row)


async def project_of(work: UnitOfWork, *, workspace_id: UUID, task_id: UUID) -> UUID | None:
    """The project of a task, if it has one."""
    found: UUID | None = await work.fetch_value(_PROJECT, workspace_id=workspace_id, task_id=task_id)
    return found


async def has_done_blocker(work: UnitOfWork, task: Task) -> bool:
    """Whether one of the tasks that block it is done."""
    found: bool = await work.fetch_value(_HAS_DONE, workspace_id=task.workspace_id, task_id=task.id)
    return found
