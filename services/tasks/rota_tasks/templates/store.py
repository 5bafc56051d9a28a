"""Templates in PostgreSQL, and the trees of tasks from which they are made.

Every query is scoped to one workspace, or to those that the caller belongs to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota_chassis.memberships import MEMBERSHIPS, newest_visible, visible_workspaces
from rota_chassis.postgres.statements import statement
from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    Integer,
    MetaData,
    Table,
    Text,
    and_,
    bindparam,
    delete,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_tasks.checklists.store import CHECKLIST_ITEMS, item_of_row
from rota_tasks.comments.domain import Comment
from rota_tasks.comments.store import COMMENTS
from rota_tasks.copies.domain import MAX_OTHERS
from rota_tasks.labels.store import LABELS
from rota_tasks.projects.access import is_visible, role_in
from rota_tasks.relations.domain import RelationType
from rota_tasks.relations.store import RELATIONS, relation_of_row
from rota_tasks.tasks.tables import TASKS, own, task_of_row
from rota_tasks.templates.domain import Template, TemplateDeleted, TemplateEvent
from rota_tasks.templates.messages import content_json, content_of_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from rota_chassis.postgres.work import Reader, UnitOfWork

    from rota_tasks.checklists.domain import ChecklistItem
    from rota_tasks.relations.domain import Relation
    from rota_tasks.tasks.domain import Task

TEMPLATES = Table(
    "templates",
    MetaData(),
    Column("workspace_id", PgUUID, primary_key=True),
    Column("id", PgUUID, primary_key=True),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("content", JSONB, nullable=False),
    Column("makes_project", Boolean, nullable=False),
    Column("project_id", PgUUID),
    Column("task_count", Integer, nullable=False),
    Column("created_by", PgUUID, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("version", Integer, nullable=False),
)
_NAMES = tuple(column.name for column in TEMPLATES.c)
_KEY = ("workspace_id", "id")
_WORKSPACE, _IDS = bindparam("workspace_id", type_=PgUUID), bindparam("ids", type_=ARRAY(PgUUID))
_GET = statement(
    select(TEMPLATES).where(
        TEMPLATES.c.id == bindparam("id"),
        TEMPLATES.c.workspace_id.in_(visible_workspaces()),
        is_visible(TEMPLATES.c.project_id),
    )
)
_LOCK = statement(
    select(TEMPLATES, role_in(TEMPLATES.c.project_id))
    .join_from(TEMPLATES, MEMBERSHIPS, TEMPLATES.c.workspace_id == MEMBERSHIPS.c.workspace_id)
    .where(
        TEMPLATES.c.id == bindparam("id"),
        MEMBERSHIPS.c.user_id == bindparam("user_id"),
        ~MEMBERSHIPS.c.removed,
    )
    .with_for_update(of=TEMPLATES)
)
_PAGE, _ROWS = newest_visible(TEMPLATES, is_visible(TEMPLATES.c.project_id))
_LIST = statement(_ROWS.with_only_columns(*(column for column in _PAGE.c if column.name != "content")))
_NEW = insert(TEMPLATES).values({column.name: bindparam(column.name, type_=column.type) for column in TEMPLATES.c})
_SAVE = statement(
    _NEW.on_conflict_do_update(
        index_elements=list(_KEY), set_={name: _NEW.excluded[name] for name in _NAMES if name not in _KEY}
    )
)
_DELETE = statement(
    delete(TEMPLATES).where(TEMPLATES.c.workspace_id == _WORKSPACE, TEMPLATES.c.id == bindparam("id", type_=PgUUID))
)
_TREE = (
    select(TASKS.c.id, literal(1, Integer).label("level"))
    .where(TASKS.c.workspace_id == _WORKSPACE, TASKS.c.id == bindparam("root_id", type_=PgUUID))
    .cte("tree", recursive=True)
)
_TREE = _TREE.union_all(
    select(TASKS.c.id, _TREE.c.level + 1).where(
        TASKS.c.workspace_id == _WORKSPACE, TASKS.c.parent_id == _TREE.c.id, is_visible(TASKS.c.project_id)
    )
)
_BELOW = statement(
    select(*own(TASKS), _TREE.c.level)
    .join_from(_TREE, TASKS, and_(TASKS.c.workspace_id == _WORKSPACE, TASKS.c.id == _TREE.c.id))
    .order_by(_TREE.c.level, TASKS.c.id)
    .limit(bindparam("limit", type_=Integer))
)
_ITEMS = statement(
    select(CHECKLIST_ITEMS)
    .where(CHECKLIST_ITEMS.c.workspace_id == _WORKSPACE, CHECKLIST_ITEMS.c.task_id == func.any(_IDS))
    .order_by(CHECKLIST_ITEMS.c.task_id, CHECKLIST_ITEMS.c.position, CHECKLIST_ITEMS.c.id)
)
_RELATIONS = statement(
    select(RELATIONS)
    .where(
        RELATIONS.c.workspace_id == _WORKSPACE,
        RELATIONS.c.source_id == func.any(_IDS),
        RELATIONS.c.task_id == func.any(_IDS),
        # Of the two names that a relation has, one.
        or_(
            RELATIONS.c.type == RelationType.BLOCKS.value,
            RELATIONS.c.type == RelationType.DUPLICATES.value,
            RELATIONS.c.type == RelationType.FINISHES_BEFORE.value,
            and_(RELATIONS.c.type == RelationType.RELATES.value, RELATIONS.c.source_id < RELATIONS.c.task_id),
        ),
    )
    .order_by(RELATIONS.c.id)
)
_COMMENTS = statement(
    select(COMMENTS)
    .where(COMMENTS.c.workspace_id == _WORKSPACE, COMMENTS.c.task_id == func.any(_IDS))
    .order_by(COMMENTS.c.id)
    .limit(MAX_OTHERS)
)
_LABELS = statement(
    select(LABELS.c.id, LABELS.c.name).where(LABELS.c.workspace_id == _WORKSPACE, LABELS.c.id == func.any(_IDS))
)


async def get(reader: Reader, *, user_id: UUID, template_id: UUID) -> Template | None:
    """The template, if the user may see it."""
    row = await reader.fetch_one(_GET, user_id=user_id, id=template_id)
    return None if row is None else template_of_row(row)


async def lock(work: UnitOfWork, *, user_id: UUID, template_id: UUID) -> tuple[Template, str] | None:
    """The template, if the user may see it, locked until the transaction ends, and their role in its project."""
    row = await work.fetch_one(_LOCK, user_id=user_id, id=template_id)
    return None if row is None or row["role"] is None else (template_of_row(row), row["role"])


async def page(
    reader: Reader, *, user_id: UUID, limit: int, before: UUID | None, workspace_id: UUID | None
) -> Sequence[Template]:
    """The newest that the user may see, without their content, at most `limit`, older than `before`."""
    rows = await reader.fetch(_LIST, user_id=user_id, limit=limit, before=before, workspace_id=workspace_id)
    return [Template(content=None, **row) for row in rows]


async def project(work: UnitOfWork, event: TemplateEvent) -> None:
    """Bring the read table up to date with an event; the rebuild uses the same function."""
    template = event.template
    if isinstance(event, TemplateDeleted) or template.content is None:
        await work.execute(_DELETE, workspace_id=template.workspace_id, id=template.id)
        return
    values: dict[str, Any] = {name: getattr(template, name) for name in _NAMES}
    await work.execute(_SAVE, **values | {"content": content_json(template.content)})


async def tree(
    reader: Reader, *, user_id: UUID | None, workspace_id: UUID, root_id: UUID, limit: int
) -> Sequence[Task]:
    """A task and all below it that the user sees, all of it for None, those above others first, at most `limit`."""
    rows = await reader.fetch(_BELOW, user_id=user_id, workspace_id=workspace_id, root_id=root_id, limit=limit)
    return [task_of_row(row) for row in rows]


async def items_of(reader: Reader, *, workspace_id: UUID, task_ids: Sequence[UUID]) -> Sequence[ChecklistItem]:
    """The items of tasks, each task's in their order."""
    return [item_of_row(row) for row in await reader.fetch(_ITEMS, workspace_id=workspace_id, ids=list(task_ids))]


async def relations_among(reader: Reader, *, workspace_id: UUID, task_ids: Sequence[UUID]) -> Sequence[Relation]:
    """The relations between tasks, each once."""
    rows = await reader.fetch(_RELATIONS, workspace_id=workspace_id, ids=list(task_ids))
    return [relation_of_row(row) for row in rows]


async def comments_of(reader: Reader, *, workspace_id: UUID, task_ids: Sequence[UUID]) -> Sequence[Comment]:
    """The comments on tasks, the oldest first, at most `MAX_OTHERS`."""
    rows = await reader.fetch(_COMMENTS, workspace_id=workspace_id, ids=list(task_ids))
    return [Comment(**dict(row) | {"mentioned_ids": tuple(row["mentioned_ids"])}) for row in rows]


async def label_names(reader: Reader, *, workspace_id: UUID, label_ids: Sequence[UUID]) -> Mapping[UUID, str]:
    """The names of labels."""
    rows = await reader.fetch(_LABELS, workspace_id=workspace_id, ids=list(label_ids))
    return {row["id"]: row["name"] for row in rows}


def template_of_row(row: Mapping[str, Any]) -> Template:
    """The template in a row of the table."""
    return Template(**{name: row[name] for name in _NAMES} | {"content": content_of_json(row["content"])})
