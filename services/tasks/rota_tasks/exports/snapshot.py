"""What a user sees of a project or a workspace.

It is read in one transaction that sees one moment, some hundred rows at a time.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rota_chassis.postgres.statements import statement
from sqlalchemy import Integer, and_, bindparam, exists, func, literal, or_, select
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_tasks.attachments.store import attachment_of_row
from rota_tasks.attachments.tables import ATTACHMENTS
from rota_tasks.boards import store as boards
from rota_tasks.boards.domain import Section, State
from rota_tasks.boards.store import SECTIONS, STATES
from rota_tasks.checklists.store import CHECKLIST_ITEMS, item_of_row
from rota_tasks.comments.domain import Comment
from rota_tasks.comments.store import COMMENTS
from rota_tasks.fields.store import field_of_row
from rota_tasks.fields.tables import CUSTOM_FIELDS
from rota_tasks.labels.domain import Label
from rota_tasks.labels.store import LABELS
from rota_tasks.projects.access import is_visible
from rota_tasks.projects.store import PROJECTS, project_of_row
from rota_tasks.reactions.store import reaction_of_row
from rota_tasks.reactions.tables import REACTIONS
from rota_tasks.relations.domain import Relation, RelationType
from rota_tasks.relations.store import RELATIONS
from rota_tasks.tasks.tables import TASKS, own, task_of_row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from uuid import UUID

    from rota_chassis.postgres.statements import Statement
    from rota_chassis.postgres.work import UnitOfWork

    from rota_tasks.attachments.domain import Attachment
    from rota_tasks.checklists.domain import ChecklistItem
    from rota_tasks.fields.domain import CustomField
    from rota_tasks.projects.domain import Project
    from rota_tasks.reactions.domain import Reaction
    from rota_tasks.tasks.domain import Task

_FETCH = 500
_WORKSPACE, _PROJECT = bindparam("workspace_id", type_=PgUUID), bindparam("project_id", type_=PgUUID)
# Of two names for one relation, the one that an export uses.
_ONE_WAY = [RelationType.BLOCKS, RelationType.DUPLICATES, RelationType.FINISHES_BEFORE]
_LABEL_FIELDS = [column for column in LABELS.c if column.name != "name_key"]


def _in_scope(tasks: Any) -> Any:
    return and_(
        tasks.c.workspace_id == _WORKSPACE,
        or_(_PROJECT.is_(None), tasks.c.project_id == _PROJECT),
        is_visible(tasks.c.project_id),
    )


_PARENTS = TASKS.alias("parents")
_TREE = (
    select(TASKS.c.id, literal(1, Integer).label("level"))
    .where(
        _in_scope(TASKS),
        ~exists().where(_in_scope(_PARENTS), _PARENTS.c.id == TASKS.c.parent_id),
    )
    .cte("tree", recursive=True)
)
_TREE = _TREE.union_all(select(TASKS.c.id, _TREE.c.level + 1).where(_in_scope(TASKS), TASKS.c.parent_id == _TREE.c.id))
_TASKS = statement(
    select(*own(TASKS), _TREE.c.level)
    .join_from(_TREE, TASKS, (TASKS.c.workspace_id == _WORKSPACE) & (TASKS.c.id == _TREE.c.id))
    .order_by(_TREE.c.level, TASKS.c.id)
)
_AT_ONCE = statement(select(*own(TASKS)).where(_in_scope(TASKS)).order_by(TASKS.c.id))
_COUNT = statement(select(func.count()).select_from(TASKS).where(_in_scope(TASKS)))
_LABELS = statement(select(*_LABEL_FIELDS).where(LABELS.c.workspace_id == _WORKSPACE).order_by(LABELS.c.id))
_PROJECTS = statement(
    select(PROJECTS)
    .where(
        PROJECTS.c.workspace_id == _WORKSPACE,
        or_(_PROJECT.is_(None), PROJECTS.c.id == _PROJECT),
        is_visible(PROJECTS.c.id),
    )
    .order_by(PROJECTS.c.id)
)
_COLUMNS = {
    kind: statement(select(table).where(_in_scope(table)).order_by(table.c.project_id, table.c.position, table.c.id))
    for kind, table in ((State, STATES), (Section, SECTIONS))
}
_FIELDS = statement(
    select(CUSTOM_FIELDS)
    .where(_in_scope(CUSTOM_FIELDS))
    .order_by(CUSTOM_FIELDS.c.project_id, CUSTOM_FIELDS.c.position, CUSTOM_FIELDS.c.id)
)
_OTHERS = TASKS.alias("others")
_RELATIONS = statement(
    select(RELATIONS)
    .where(
        RELATIONS.c.workspace_id == _WORKSPACE,
        or_(
            *(RELATIONS.c.type == kind.value for kind in _ONE_WAY),
            (RELATIONS.c.type == RelationType.RELATES.value) & (RELATIONS.c.source_id < RELATIONS.c.task_id),
        ),
        exists().where(_in_scope(TASKS), TASKS.c.id == RELATIONS.c.source_id),
        exists().where(_in_scope(_OTHERS), _OTHERS.c.id == RELATIONS.c.task_id),
    )
    .order_by(RELATIONS.c.id)
)
_COMMENTS = statement(
    select(COMMENTS)
    .where(
        COMMENTS.c.workspace_id == _WORKSPACE,
        exists().where(_in_scope(TASKS), TASKS.c.id == COMMENTS.c.task_id),
    )
    .order_by(COMMENTS.c.id)
)
_REACTIONS = statement(
    select(REACTIONS)
    .where(
        REACTIONS.c.workspace_id == _WORKSPACE,
        exists().where(_in_scope(TASKS), TASKS.c.id == REACTIONS.c.task_id),
    )
    .order_by(REACTIONS.c.id)
)
_ATTACHMENTS = statement(
    select(ATTACHMENTS)
    .where(
        ATTACHMENTS.c.workspace_id == _WORKSPACE,
        exists().where(_in_scope(TASKS), TASKS.c.id == ATTACHMENTS.c.task_id),
    )
    .order_by(ATTACHMENTS.c.id)
)
_ITEMS = statement(
    select(CHECKLIST_ITEMS)
    .where(
        CHECKLIST_ITEMS.c.workspace_id == _WORKSPACE,
        exists().where(_in_scope(TASKS), TASKS.c.id == CHECKLIST_ITEMS.c.task_id),
    )
    .order_by(CHECKLIST_ITEMS.c.task_id, CHECKLIST_ITEMS.c.position, CHECKLIST_ITEMS.c.id)
)


class Snapshot:
    """What a user sees of a project, or of a workspace.

    Args:
        work: A transaction that sees one moment (REPEATABLE READ).
        user_id: Who.
        workspace_id: Whose.
        project_id: The one project; None for all.
    """

    def __init__(self, work: UnitOfWork, *, user_id: UUID, workspace_id: UUID, project_id: UUID | None) -> None:
        self._work = work
        self._workspace = {"workspace_id": workspace_id}
        self._scope = {"user_id": user_id, "workspace_id": workspace_id, "project_id": project_id}

    async def count(self) -> int:
        """How many tasks there are."""
        tasks: int = await self._work.fetch_value(_COUNT, **self._scope)
        return tasks

    async def labels(self) -> Sequence[Label]:
        """All labels of the workspace."""
        return [Label(**row) for row in await self._work.fetch(_LABELS, **self._workspace)]

    async def projects(self) -> Sequence[Project]:
        """The projects."""
        return [project_of_row(row) for row in await self._work.fetch(_PROJECTS, **self._scope)]

    async def columns(self, kind: type[boards.AnyColumn]) -> Sequence[boards.AnyColumn]:
        """The states, or the sections, of the projects, each project's in their order."""
        return [boards.column_of_row(kind, row) for row in await self._work.fetch(_COLUMNS[kind], **self._scope)]

    async def custom_fields(self) -> Sequence[CustomField]:
        """The custom fields of the projects, each project's in their order."""
        return [field_of_row(row) for row in await self._work.fetch(_FIELDS, **self._scope)]

    async def tasks(self) -> AsyncIterator[Task]:
        """The tasks, those above others first; one whose parent is not among them is a part of nothing."""
        async for row in self._rows(_TASKS, self._scope):
            task = task_of_row(row)
            yield task if row["level"] > 1 else replace(task, parent_id=None)

    async def tasks_at_once(self) -> Sequence[Task]:
        """The tasks by their ids, all in memory."""
        return [task_of_row(row) for row in await self._work.fetch(_AT_ONCE, **self._scope)]

    async def checklist_items(self) -> AsyncIterator[ChecklistItem]:
        """The items of the tasks' checklists, each task's in their order."""
        async for row in self._rows(_ITEMS, self._scope):
            yield item_of_row(row)

    async def relations(self) -> AsyncIterator[Relation]:
        """The relations between the tasks, each once."""
        async for row in self._rows(_RELATIONS, self._scope):
            yield Relation(**dict(row) | {"type": RelationType(row["type"])})

    async def comments(self) -> AsyncIterator[Comment]:
        """The comments on the tasks, the oldest first."""
        async for row in self._rows(_COMMENTS, self._scope):
            yield Comment(**dict(row) | {"mentioned_ids": tuple(row["mentioned_ids"])})

    async def reactions(self) -> AsyncIterator[Reaction]:
        """The reactions to the comments, the oldest first."""
        async for row in self._rows(_REACTIONS, self._scope):
            yield reaction_of_row(row)

    async def attachments(self) -> AsyncIterator[Attachment]:
        """What is attached to the tasks, without the files."""
        async for row in self._rows(_ATTACHMENTS, self._scope):
            yield attachment_of_row(row)

    async def _rows(self, query: Statement, parameters: dict[str, Any]) -> AsyncIterator[Any]:
        cursor = self._work.connection.cursor(query.sql, *query.arguments(parameters), prefetch=_FETCH)
        async for row in cursor:
            yield row
