"""The favourites of users in PostgreSQL, and when they last changed, for whoever keeps a copy of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.memberships import visible_workspaces
from rota_chassis.postgres.statements import statement
from sqlalchemy import and_, bindparam, delete, func, select
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_tasks.projects.access import is_visible
from rota_tasks.tasks.tables import FAVOURITE_CHANGES, FAVOURITES, TASKS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from rota_chassis.postgres.work import UnitOfWork

_IS_IT = and_(
    TASKS.c.id == bindparam("id"), TASKS.c.workspace_id.in_(visible_workspaces()), is_visible(TASKS.c.project_id)
)
_FAVOUR = statement(
    insert(FAVOURITES)
    .from_select(
        ["workspace_id", "user_id", "task_id"],
        # The task cannot be deleted before this commits, so that nothing is left of it.
        select(TASKS.c.workspace_id, bindparam("user_id", type_=PgUUID), TASKS.c.id)
        .where(_IS_IT)
        .with_for_update(read=True, key_share=True, of=TASKS),
    )
    .on_conflict_do_nothing()
)
_DISFAVOUR = statement(
    delete(FAVOURITES).where(
        FAVOURITES.c.workspace_id.in_(visible_workspaces()),
        FAVOURITES.c.user_id == bindparam("user_id"),
        FAVOURITES.c.task_id == bindparam("id"),
    )
)
_FORGET = statement(
    delete(FAVOURITES).where(
        FAVOURITES.c.workspace_id == bindparam("workspace_id"),
        FAVOURITES.c.task_id == func.any(bindparam("ids", type_=ARRAY(PgUUID))),
    )
)
_CHANGED = insert(FAVOURITE_CHANGES).from_select(
    ["workspace_id", "user_id", "task_id"],
    select(TASKS.c.workspace_id, bindparam("user_id", type_=PgUUID), TASKS.c.id).where(_IS_IT),
)
_NOTE = statement(
    _CHANGED.on_conflict_do_update(
        index_elements=[*FAVOURITE_CHANGES.primary_key], set_={"xid": func.pg_current_xact_id()}
    )
)
_FORGET_CHANGES = statement(
    delete(FAVOURITE_CHANGES).where(
        FAVOURITE_CHANGES.c.workspace_id == bindparam("workspace_id"),
        FAVOURITE_CHANGES.c.task_id == func.any(bindparam("ids", type_=ARRAY(PgUUID))),
    )
)


async def mark(work: UnitOfWork, *, user_id: UUID, task_id: UUID, favourite: bool) -> None:
    """Make the task a favourite of the user, or none; nothing if they may not see it."""
    await work.execute(_FAVOUR if favourite else _DISFAVOUR, user_id=user_id, id=task_id)
    await work.execute(_NOTE, user_id=user_id, id=task_id)


async def forget(work: UnitOfWork, *, workspace_id: UUID, task_ids: Sequence[UUID]) -> None:
    """Take tasks out of everybody's favourites."""
    await work.execute(_FORGET, workspace_id=workspace_id, ids=list(task_ids))
    await work.execute(_FORGET_CHANGES, workspace_id=workspace_id, ids=list(task_ids))
