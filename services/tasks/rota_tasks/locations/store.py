"""Which projects tasks are in. Asked by services, which hand on nothing of it: scoped to the workspace alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.postgres.statements import statement
from sqlalchemy import bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_tasks.tasks.tables import TASKS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from rota_chassis.postgres.database import Reader

_LOCATE = statement(
    select(TASKS.c.id, TASKS.c.project_id).where(
        TASKS.c.workspace_id == bindparam("workspace_id", type_=PgUUID),
        TASKS.c.id == func.any(bindparam("ids", type_=ARRAY(PgUUID))),
    )
)


async def locate(reader: Reader, *, workspace_id: UUID, task_ids: Sequence[UUID]) -> Mapping[UUID, UUID | None]:
    """The project, if any, of each of the tasks that the workspace has and that is not deleted."""
    rows = await reader.fetch(_LOCATE, workspace_id=workspace_id, ids=list(task_ids))
    return {row["id"]: row["project_id"] for row in rows}
