"""The trash in PostgreSQL: which tasks are in it, with their comments and relations.

The rows say which version; what it was is in the event log. Every query is scoped to a workspace, or to those that
the caller belongs to. Whoever writes holds the structure of the workspace (`tree.lock`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota_chassis.events.log import DATA, EVENTS, data_of
from rota_chassis.memberships import MEMBERSHIPS
from rota_chassis.postgres.statements import statement
from sqlalchemy import (
    Column,
    DateTime,
    Integer,
    MetaData,
    Table,
    and_,
    bindparam,
    column,
    delete,
    func,
    or_,
    select,
    true,
    tuple_,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_tasks.attachments import store as attachments
from rota_tasks.checklists import store as checklists
from rota_tasks.comments import store as comments
from rota_tasks.comments.messages import comment_of
from rota_tasks.comments.store import COMMENTS
from rota_tasks.keys import store as keys
from rota_tasks.projects.access import is_visible, may_write, role_in
from rota_tasks.reactions import store as reactions
from rota_tasks.relations.messages import relation_of
from rota_tasks.relations.store import RELATIONS
from rota_tasks.search import documents
from rota_tasks.tasks import store as tasks
from rota_tasks.tasks.messages import task_of
from rota_tasks.tasks.tables import TASKS
from rota_tasks.trash.domain import Trashed
from rota_tasks.trash.tables import TRASH

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from rota_chassis.postgres.work import Reader, UnitOfWork

    from rota_tasks.relations.domain import Relation
    from rota_tasks.tasks.domain import Task, TaskDeleted

METADATA = MetaData()
TRASHED_COMMENTS = Table(
    "trashed_comments",
    METADATA,
    Column("workspace_id", PgUUID, primary_key=True),
    Column("id", PgUUID, primary_key=True),
    Column("task_id", PgUUID, nullable=False),
    Column("version", Integer, nullable=False),
)
TRASHED_RELATIONS = Table(
    "trashed_relations",
    METADATA,
    Column("workspace_id", PgUUID, primary_key=True),
    Column("id", PgUUID, primary_key=True),
    Column("task_id", PgUUID, nullable=False),
    Column("other_id", PgUUID, nullable=False),
)
_WORKSPACE = bindparam("workspace_id", type_=PgUUID)
_IDS = bindparam("ids", type_=ARRAY(PgUUID))
_LIMIT = bindparam("limit", type_=Integer)
_SHOWN = (TRASH.c.workspace_id, TRASH.c.id, TRASH.c.root_id, TRASH.c.deleted_at, TRASH.c.deleted_by)
_LAST_EVENT = and_(
    EVENTS.c.workspace_id == TRASH.c.workspace_id,
    EVENTS.c.aggregate_id == TRASH.c.id,
    EVENTS.c.aggregate_version == TRASH.c.version,
)
_TRASHED = select(*_SHOWN, *DATA).join_from(TRASH, EVENTS, _LAST_EVENT)

_FIND = statement(
    _TRASHED.add_columns(role_in(TRASH.c.project_id))
    .join(MEMBERSHIPS, MEMBERSHIPS.c.workspace_id == TRASH.c.workspace_id)
    .where(
        TRASH.c.id == bindparam("id", type_=PgUUID),
        MEMBERSHIPS.c.user_id == bindparam("user_id"),
        ~MEMBERSHIPS.c.removed,
    )
)
_BEFORE_TIME, _BEFORE_ID = bindparam("before_time", type_=DateTime(timezone=True)), bindparam("before", type_=PgUUID)
_ONLY = bindparam("only", type_=PgUUID)
_NEWEST = (
    select(TRASH)
    .where(
        TRASH.c.workspace_id == MEMBERSHIPS.c.workspace_id,
        TRASH.c.id == TRASH.c.root_id,
        is_visible(TRASH.c.project_id),
        or_(_BEFORE_ID.is_(None), tuple_(TRASH.c.deleted_at, TRASH.c.id) < tuple_(_BEFORE_TIME, _BEFORE_ID)),
    )
    .order_by(TRASH.c.deleted_at.desc(), TRASH.c.id.desc())
    .limit(_LIMIT)
    .lateral("newest")
)
# A page of each workspace by the index, and the page of those, before their events are read.
_DELETED = (
    select(_NEWEST)
    .select_from(MEMBERSHIPS.join(_NEWEST, true()))
    .where(
        MEMBERSHIPS.c.user_id == bindparam("user_id"),
        ~MEMBERSHIPS.c.removed,
        or_(_ONLY.is_(None), MEMBERSHIPS.c.workspace_id == _ONLY),
    )
    .order_by(_NEWEST.c.deleted_at.desc(), _NEWEST.c.id.desc())
    .limit(_LIMIT)
    .subquery("deleted")
)
_PAGE = statement(
    select(*(_DELETED.c[each.name] for each in _SHOWN), *DATA)
    .join_from(
        _DELETED,
        EVENTS,
        and_(
            EVENTS.c.workspace_id == _DELETED.c.workspace_id,
            EVENTS.c.aggregate_id == _DELETED.c.id,
            EVENTS.c.aggregate_version == _DELETED.c.version,
        ),
    )
    .order_by(_DELETED.c.deleted_at.desc(), _DELETED.c.id.desc())
)
_TOGETHER = statement(
    _TRASHED.where(TRASH.c.workspace_id == _WORKSPACE, TRASH.c.root_id == bindparam("root_id", type_=PgUUID)).order_by(
        TRASH.c.id
    )
)
_NOT_WRITABLE = statement(
    select(func.count())
    .select_from(TRASH.join(MEMBERSHIPS, MEMBERSHIPS.c.workspace_id == TRASH.c.workspace_id))
    .where(
        TRASH.c.workspace_id == _WORKSPACE,
        TRASH.c.root_id == bindparam("root_id", type_=PgUUID),
        MEMBERSHIPS.c.user_id == bindparam("user_id"),
        ~may_write(TRASH.c.project_id),
    )
)
_OVERDUE = TRASH.c.deleted_at < bindparam("before", type_=DateTime(timezone=True))
_OVERDUE_WORKSPACE = statement(select(TRASH.c.workspace_id).where(_OVERDUE).order_by(TRASH.c.deleted_at).limit(1))
# The root of a deletion goes first: what is left of it cannot be restored, and goes with the next batch.
_OVERDUE_TASKS = statement(
    _TRASHED.where(TRASH.c.workspace_id == _WORKSPACE, _OVERDUE)
    .order_by(TRASH.c.deleted_at, TRASH.c.root_id, TRASH.c.id != TRASH.c.root_id, TRASH.c.id)
    .limit(_LIMIT)
)

_GONE = (
    func.unnest(_IDS, bindparam("versions", type_=ARRAY(Integer)), bindparam("project_ids", type_=ARRAY(PgUUID)))
    .table_valued(column("id", PgUUID), column("version", Integer), column("project_id", PgUUID), name="gone")
    .render_derived()
)
_ADD = statement(
    insert(TRASH).from_select(
        ["workspace_id", "id", "version", "root_id", "deleted_at", "deleted_by", "project_id"],
        select(
            _WORKSPACE,
            _GONE.c.id,
            _GONE.c.version,
            bindparam("root_id", type_=PgUUID),
            bindparam("deleted_at", type_=DateTime(timezone=True)),
            bindparam("deleted_by", type_=PgUUID),
            _GONE.c.project_id,
        ),
    )
)
# Whoever changes one of the comments now is waited for, so that the version is the last.
_ADD_COMMENTS = statement(
    insert(TRASHED_COMMENTS).from_select(
        ["workspace_id", "id", "task_id", "version"],
        select(COMMENTS.c.workspace_id, COMMENTS.c.id, COMMENTS.c.task_id, COMMENTS.c.version)
        .where(COMMENTS.c.workspace_id == _WORKSPACE, COMMENTS.c.task_id == func.any(_IDS))
        .with_for_update(),
    )
)
_ADD_RELATIONS = statement(
    insert(TRASHED_RELATIONS).from_select(
        ["workspace_id", "id", "task_id", "other_id"],
        select(
            RELATIONS.c.workspace_id,
            RELATIONS.c.id,
            func.least(RELATIONS.c.source_id, RELATIONS.c.task_id),
            func.greatest(RELATIONS.c.source_id, RELATIONS.c.task_id),
        )
        .where(RELATIONS.c.workspace_id == _WORKSPACE, RELATIONS.c.source_id == func.any(_IDS))
        .distinct(),
    )
)
_COMMENTS_OF = statement(
    select(*DATA)
    .join_from(
        TRASHED_COMMENTS,
        EVENTS,
        and_(
            EVENTS.c.workspace_id == TRASHED_COMMENTS.c.workspace_id,
            EVENTS.c.aggregate_id == TRASHED_COMMENTS.c.id,
            EVENTS.c.aggregate_version == TRASHED_COMMENTS.c.version,
        ),
    )
    .where(TRASHED_COMMENTS.c.workspace_id == _WORKSPACE, TRASHED_COMMENTS.c.task_id == func.any(_IDS))
    .order_by(TRASHED_COMMENTS.c.id)
)
_TOUCHES = and_(
    TRASHED_RELATIONS.c.workspace_id == _WORKSPACE,
    or_(TRASHED_RELATIONS.c.task_id == func.any(_IDS), TRASHED_RELATIONS.c.other_id == func.any(_IDS)),
)
_ENDS = (TASKS.alias("one"), TASKS.alias("other"))
_RELATIONS_OF = statement(
    select(*DATA)
    .join_from(
        TRASHED_RELATIONS,
        EVENTS,
        and_(
            EVENTS.c.workspace_id == TRASHED_RELATIONS.c.workspace_id,
            EVENTS.c.aggregate_id == TRASHED_RELATIONS.c.id,
            EVENTS.c.aggregate_version == 1,
        ),
    )
    .join(
        _ENDS[0],
        and_(_ENDS[0].c.workspace_id == TRASHED_RELATIONS.c.workspace_id, _ENDS[0].c.id == TRASHED_RELATIONS.c.task_id),
    )
    .join(
        _ENDS[1],
        and_(
            _ENDS[1].c.workspace_id == TRASHED_RELATIONS.c.workspace_id, _ENDS[1].c.id == TRASHED_RELATIONS.c.other_id
        ),
    )
    .where(_TOUCHES)
    .order_by(TRASHED_RELATIONS.c.id)
)
_REMOVE = statement(delete(TRASH).where(TRASH.c.workspace_id == _WORKSPACE, TRASH.c.id == func.any(_IDS)))
_REMOVE_COMMENTS = statement(
    delete(TRASHED_COMMENTS).where(
        TRASHED_COMMENTS.c.workspace_id == _WORKSPACE, TRASHED_COMMENTS.c.task_id == func.any(_IDS)
    )
)
_REMOVE_RELATIONS = statement(delete(TRASHED_RELATIONS).where(_TOUCHES))
_REMOVE_RELATION = statement(
    delete(TRASHED_RELATIONS).where(
        TRASHED_RELATIONS.c.workspace_id == _WORKSPACE, TRASHED_RELATIONS.c.id == func.any(_IDS)
    )
)


async def find(reader: Reader, *, user_id: UUID, task_id: UUID) -> tuple[Trashed, str] | None:
    """The deleted task, if the user may see it, and their role in its project."""
    row = await reader.fetch_one(_FIND, user_id=user_id, id=task_id)
    return None if row is None or row["role"] is None else (_trashed(row), row["role"])


async def page(
    reader: Reader, *, user_id: UUID, limit: int, before: tuple[datetime, UUID] | None, workspace_id: UUID | None
) -> Sequence[Trashed]:
    """The deletions that the user may see, the last first, at most `limit`, before `before`."""
    before_time, before_id = before or (None, None)
    rows = await reader.fetch(
        _PAGE, user_id=user_id, limit=limit, before_time=before_time, before=before_id, only=workspace_id
    )
    return [_trashed(row) for row in rows]


async def together(work: UnitOfWork, *, workspace_id: UUID, root_id: UUID) -> Sequence[Task]:
    """The tasks that one deletion took, as they last were."""
    return [_trashed(row).task for row in await work.fetch(_TOGETHER, workspace_id=workspace_id, root_id=root_id)]


async def not_writable(work: UnitOfWork, *, user_id: UUID, workspace_id: UUID, root_id: UUID) -> int:
    """How many of the tasks that one deletion took a member of the workspace may not change."""
    found: int = await work.fetch_value(_NOT_WRITABLE, user_id=user_id, workspace_id=workspace_id, root_id=root_id)
    return found


async def overdue_workspace(reader: Reader, *, before: datetime) -> UUID | None:
    """The workspace with the oldest task deleted before a time; None when there is none."""
    workspace_id: UUID | None = await reader.fetch_value(_OVERDUE_WORKSPACE, before=before)
    return workspace_id


async def overdue(work: UnitOfWork, *, workspace_id: UUID, before: datetime, limit: int) -> Sequence[Task]:
    """Tasks of a workspace deleted before a time, the oldest first, at most `limit`."""
    rows = await work.fetch(_OVERDUE_TASKS, workspace_id=workspace_id, before=before, limit=limit)
    return [_trashed(row).task for row in rows]


async def add(work: UnitOfWork, deleted: Sequence[TaskDeleted]) -> None:
    """Move the tasks of one deletion from the read tables to the trash, in a few statements however many they are."""
    last = deleted[-1]
    workspace_id, ids = last.task.workspace_id, [event.task.id for event in deleted]
    await work.execute(
        _ADD,
        workspace_id=workspace_id,
        ids=ids,
        versions=[event.task.version for event in deleted],
        project_ids=[event.task.project_id for event in deleted],
        root_id=last.root_id,
        deleted_at=last.task.updated_at,
        deleted_by=last.deleted_by,
    )
    await work.execute(_ADD_COMMENTS, workspace_id=workspace_id, ids=ids)
    await work.execute(_ADD_RELATIONS, workspace_id=workspace_id, ids=ids)
    await tasks.remove(work, workspace_id=workspace_id, task_ids=ids)


async def put_back(work: UnitOfWork, restored: Sequence[Task]) -> None:
    """Move tasks with their checklists and comments from the trash to the read tables, those above others first."""
    workspace_id, ids = restored[0].workspace_id, [task.id for task in restored]
    await tasks.save(work, restored)
    await work.execute(_REMOVE, workspace_id=workspace_id, ids=ids)
    await checklists.put_back(work, workspace_id=workspace_id, task_ids=ids)
    rows = await work.fetch(_COMMENTS_OF, workspace_id=workspace_id, ids=ids)
    found = [comment_of(data_of(row).comment) for row in rows]
    await comments.add_many(work, found)
    await reactions.put_back(work, workspace_id=workspace_id, comment_ids=[comment.id for comment in found])
    await work.execute(_REMOVE_COMMENTS, workspace_id=workspace_id, ids=ids)
    commented = sorted({comment.task_id for comment in found})
    await documents.write(work, workspace_id=workspace_id, task_ids=commented)


async def relations_between_living(
    work: UnitOfWork, *, workspace_id: UUID, task_ids: Sequence[UUID]
) -> Sequence[Relation]:
    """The relations of these tasks that are in the trash although both of their tasks are not."""
    rows = await work.fetch(_RELATIONS_OF, workspace_id=workspace_id, ids=list(task_ids))
    return [relation_of(data_of(row).relation) for row in rows]


async def forget_relation(work: UnitOfWork, *relations: Relation) -> None:
    """Take relations of one workspace out of the trash."""
    if relations:
        ids = [relation.id for relation in relations]
        await work.execute(_REMOVE_RELATION, workspace_id=relations[0].workspace_id, ids=ids)


async def remove(work: UnitOfWork, *, workspace_id: UUID, task_ids: Sequence[UUID]) -> None:
    """Take tasks with their comments and relations out of the trash for good."""
    for each in (_REMOVE, _REMOVE_COMMENTS, _REMOVE_RELATIONS):
        await work.execute(each, workspace_id=workspace_id, ids=list(task_ids))
    await keys.forget(work, workspace_id=workspace_id, task_ids=task_ids)
    await attachments.remove_of_tasks(work, workspace_id=workspace_id, task_ids=task_ids)


def _trashed(row: Mapping[str, Any]) -> Trashed:
    task = task_of(data_of(row).task)
    return Trashed(task, row["root_id"], row["deleted_at"], row["deleted_by"])
