"""What a call that does many things has to know before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.postgres.statements import statement
from sqlalchemy import bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_tasks.tasks.tables import TASKS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from rota_chassis.postgres.database import Reader

_PROJECTS_OF = statement(
    select(TASKS.c.project_id)
    .where(
        TASKS.c.workspace_id == bindparam("workspace_id", type_=PgUUID),
        TASKS.c.id == func.any(bindparam("ids", type_=ARRAY(PgUUID))),
        TASKS.c.project_id.is_not(None),
    )
    .distinct()
)


async def projects_of(reader: Reader, *, workspace_id: UUID, task_ids: Sequence[UUID]) -> Sequence[UUID]:
    """The projects of tasks of a workspace."""
    rows = await reader.fetch(_PROJECTS_OF, workspace_id=workspace_id, ids=list(task_ids))
    return [row["project_id"] for row in rows]
