"""What the workspace has of what records refer to: one query for any number of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.memberships import MEMBERSHIPS
from rota_chassis.postgres.statements import statement
from sqlalchemy import Text, and_, bindparam, func, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_tasks.boards.store import SECTIONS
from rota_tasks.checklists.store import CHECKLIST_ITEMS
from rota_tasks.comments.store import COMMENTS
from rota_tasks.labels.store import LABELS
from rota_tasks.projects.access import may_write
from rota_tasks.projects.store import PROJECTS
from rota_tasks.tasks.tables import TASKS

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

    from rota_chassis.postgres.work import Reader

_WORKSPACE = bindparam("workspace_id", type_=PgUUID)
_IDS = bindparam("ids", type_=ARRAY(PgUUID))
_MINE = and_(MEMBERSHIPS.c.user_id == bindparam("user_id", type_=PgUUID), ~MEMBERSHIPS.c.removed)
_PROJECTS = statement(
    select(PROJECTS.c.id)
    .join_from(PROJECTS, MEMBERSHIPS, PROJECTS.c.workspace_id == MEMBERSHIPS.c.workspace_id)
    .where(PROJECTS.c.workspace_id == _WORKSPACE, PROJECTS.c.id == func.any(_IDS), _MINE, may_write(PROJECTS.c.id))
)
_SECTIONS = statement(
    select(SECTIONS.c.id, SECTIONS.c.project_id).where(
        SECTIONS.c.workspace_id == _WORKSPACE, SECTIONS.c.id == func.any(_IDS)
    )
)
_LABELS = statement(
    select(LABELS.c.id, LABELS.c.name_key).where(
        LABELS.c.workspace_id == _WORKSPACE, LABELS.c.name_key == func.any(bindparam("names", type_=ARRAY(Text)))
    )
)
_LEVELS = statement(
    text(
        """
        WITH RECURSIVE up AS (
            SELECT id AS start, parent_id, 1 AS level FROM tasks WHERE workspace_id = :workspace_id AND id = ANY(:ids)
            UNION ALL
            SELECT up.start, t.parent_id, up.level + 1
            FROM up JOIN tasks t ON t.workspace_id = :workspace_id AND t.id = up.parent_id
        )
        SELECT start, max(level) AS level FROM up GROUP BY start
        """
    ).bindparams(_WORKSPACE, _IDS)
)
_RECURRING = statement(
    text(
        """
        WITH RECURSIVE up AS (
            SELECT id AS start, parent_id, recurrence IS NOT NULL AS recurs
            FROM tasks WHERE workspace_id = :workspace_id AND id = ANY(:ids)
            UNION ALL
            SELECT up.start, t.parent_id, t.recurrence IS NOT NULL
            FROM up JOIN tasks t ON t.workspace_id = :workspace_id AND t.id = up.parent_id
        )
        SELECT DISTINCT start FROM up WHERE recurs
        """
    ).bindparams(_WORKSPACE, _IDS)
)
_TASKS = statement(
    select(TASKS.c.id, TASKS.c.title, TASKS.c.project_id)
    .join_from(TASKS, MEMBERSHIPS, TASKS.c.workspace_id == MEMBERSHIPS.c.workspace_id)
    .where(TASKS.c.workspace_id == _WORKSPACE, TASKS.c.id == func.any(_IDS), _MINE, may_write(TASKS.c.project_id))
)
_COMMENTS = statement(
    select(COMMENTS.c.id, COMMENTS.c.task_id, TASKS.c.project_id)
    .join_from(COMMENTS, MEMBERSHIPS, COMMENTS.c.workspace_id == MEMBERSHIPS.c.workspace_id)
    .join(TASKS, and_(TASKS.c.workspace_id == COMMENTS.c.workspace_id, TASKS.c.id == COMMENTS.c.task_id))
    .where(COMMENTS.c.workspace_id == _WORKSPACE, COMMENTS.c.id == func.any(_IDS), _MINE, may_write(TASKS.c.project_id))
)
_CHECKLISTS = statement(
    select(CHECKLIST_ITEMS.c.task_id, func.count().label("items"), func.max(CHECKLIST_ITEMS.c.position).label("last"))
    .where(CHECKLIST_ITEMS.c.workspace_id == _WORKSPACE, CHECKLIST_ITEMS.c.task_id == func.any(_IDS))
    .group_by(CHECKLIST_ITEMS.c.task_id)
)


async def living_projects(reader: Reader, workspace_id: UUID, user_id: UUID, ids: Collection[UUID]) -> set[UUID]:
    """Those of the projects that there are and that the user may write in."""
    rows = await reader.fetch(_PROJECTS, workspace_id=workspace_id, user_id=user_id, ids=list(ids))
    return {row["id"] for row in rows}


async def living_sections(reader: Reader, workspace_id: UUID, ids: Collection[UUID]) -> dict[UUID, UUID]:
    """Those of the sections that there are, with their projects."""
    rows = await reader.fetch(_SECTIONS, workspace_id=workspace_id, ids=list(ids))
    return {row["id"]: row["project_id"] for row in rows}


async def labels(reader: Reader, workspace_id: UUID, name_keys: Collection[str]) -> dict[str, UUID]:
    """The labels that there are, by what their names have in common (`labels.domain.name_key`)."""
    rows = await reader.fetch(_LABELS, workspace_id=workspace_id, names=list(name_keys))
    return {row["name_key"]: row["id"] for row in rows}


async def levels(reader: Reader, workspace_id: UUID, ids: Collection[UUID]) -> dict[UUID, int]:
    """How deep those of the tasks stand that there are; 1 is on top."""
    rows = await reader.fetch(_LEVELS, workspace_id=workspace_id, ids=list(ids))
    return {row["start"]: row["level"] for row in rows}


async def recurring(reader: Reader, workspace_id: UUID, ids: Collection[UUID]) -> set[UUID]:
    """Those of the tasks that recur, or are below one that does."""
    return {row["start"] for row in await reader.fetch(_RECURRING, workspace_id=workspace_id, ids=list(ids))}


async def tasks(
    reader: Reader, workspace_id: UUID, user_id: UUID, ids: Collection[UUID]
) -> dict[UUID, tuple[str, UUID | None]]:
    """Titles and projects of those of the tasks that there are and that the user may write to."""
    rows = await reader.fetch(_TASKS, workspace_id=workspace_id, user_id=user_id, ids=list(ids))
    return {row["id"]: (row["title"], row["project_id"]) for row in rows}


async def comments(
    reader: Reader, workspace_id: UUID, user_id: UUID, ids: Collection[UUID]
) -> dict[UUID, tuple[UUID, UUID | None]]:
    """Those of the comments that there are and that the user may react to, with their tasks and projects."""
    rows = await reader.fetch(_COMMENTS, workspace_id=workspace_id, user_id=user_id, ids=list(ids))
    return {row["id"]: (row["task_id"], row["project_id"]) for row in rows}


async def checklists(reader: Reader, workspace_id: UUID, ids: Collection[UUID]) -> dict[UUID, tuple[int, str]]:
    """How many items tasks have, and the position of the last, where there are any."""
    rows = await reader.fetch(_CHECKLISTS, workspace_id=workspace_id, ids=list(ids))
    return {row["task_id"]: (row["items"], row["last"]) for row in rows}
