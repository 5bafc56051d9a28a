"""Comments in PostgreSQL, and the record of calls that carried a request id.

Every query is scoped to a workspace, or to those that the caller belongs to. Earlier versions are in the event log.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rota_chassis.events.log import DATA, EVENTS, data_of
from rota_chassis.memberships import MEMBERSHIPS, visible_workspaces
from rota_chassis.postgres.statements import statement
from sqlalchemy import (
    Column,
    DateTime,
    Integer,
    MetaData,
    Table,
    Text,
    and_,
    bindparam,
    delete,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_tasks.comments.domain import Comment, CommentDeleted, CommentEvent, ReactionCount
from rota_tasks.comments.messages import comment_of
from rota_tasks.projects.access import is_visible, role_in
from rota_tasks.reactions.tables import reaction_counts
from rota_tasks.requests.store import Records
from rota_tasks.search import documents
from rota_tasks.tasks.tables import TASKS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from rota_chassis.postgres.work import Reader, UnitOfWork

METADATA = MetaData()
COMMENTS = Table(
    "comments",
    METADATA,
    Column("workspace_id", PgUUID, primary_key=True),
    Column("id", PgUUID, primary_key=True),
    Column("task_id", PgUUID, nullable=False),
    Column("text", Text, nullable=False),
    Column("mentioned_ids", ARRAY(PgUUID), nullable=False),
    Column("author_id", PgUUID, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("version", Integer, nullable=False),
)
REQUESTS = Records("comment_requests", "comment_id", "comment")
_FIELDS = tuple(column.name for column in COMMENTS.c)
_KEY = ("workspace_id", "id")
_LIMIT = bindparam("limit", type_=Integer)

SHOWN = (*COMMENTS.c, reaction_counts(COMMENTS))

_OF_TASK = and_(TASKS.c.workspace_id == COMMENTS.c.workspace_id, TASKS.c.id == COMMENTS.c.task_id)

_GET = statement(
    select(*SHOWN)
    .join_from(COMMENTS, TASKS, _OF_TASK)
    .where(
        COMMENTS.c.id == bindparam("id"),
        COMMENTS.c.task_id == bindparam("task_id"),
        COMMENTS.c.workspace_id.in_(visible_workspaces()),
        is_visible(TASKS.c.project_id),
    )
)
_FIND = statement(
    select(*SHOWN).where(COMMENTS.c.workspace_id == bindparam("workspace_id"), COMMENTS.c.id == bindparam("id"))
)
_LOCK = statement(
    select(*SHOWN, role_in(TASKS.c.project_id), TASKS.c.title.label("task_title"), TASKS.c.project_id)
    .join_from(COMMENTS, MEMBERSHIPS, COMMENTS.c.workspace_id == MEMBERSHIPS.c.workspace_id)
    .join(TASKS, _OF_TASK)
    .where(
        COMMENTS.c.id == bindparam("id"),
        COMMENTS.c.task_id == bindparam("task_id"),
        MEMBERSHIPS.c.user_id == bindparam("user_id"),
        ~MEMBERSHIPS.c.removed,
    )
    .with_for_update(of=COMMENTS)
)
_HOLD_TASK = statement(
    select(TASKS.c.title, TASKS.c.watcher_ids, TASKS.c.project_id, role_in(TASKS.c.project_id))
    .join_from(
        TASKS,
        MEMBERSHIPS,
        and_(
            MEMBERSHIPS.c.workspace_id == TASKS.c.workspace_id,
            MEMBERSHIPS.c.user_id == bindparam("user_id"),
            ~MEMBERSHIPS.c.removed,
        ),
        isouter=True,
    )
    .where(TASKS.c.workspace_id == bindparam("workspace_id"), TASKS.c.id == bindparam("id"))
    .with_for_update(read=True, key_share=True, of=TASKS)
)
_AFTER = bindparam("after", type_=PgUUID)
_PAGE = statement(
    select(*SHOWN)
    .where(
        COMMENTS.c.workspace_id == bindparam("workspace_id"),
        COMMENTS.c.task_id == bindparam("task_id"),
        or_(_AFTER.is_(None), COMMENTS.c.id > _AFTER),
    )
    .order_by(COMMENTS.c.id)
    .limit(_LIMIT)
)
_VERSIONS = statement(
    select(*DATA)
    .where(
        EVENTS.c.workspace_id == bindparam("workspace_id"),
        EVENTS.c.aggregate_id == bindparam("id"),
        EVENTS.c.aggregate_version > bindparam("after", type_=Integer),
    )
    .order_by(EVENTS.c.aggregate_version)
    .limit(_LIMIT)
)
_NEW = insert(COMMENTS).values({name: bindparam(name) for name in _FIELDS})
_SAVE = statement(
    _NEW.on_conflict_do_update(
        index_elements=list(_KEY), set_={name: _NEW.excluded[name] for name in _FIELDS if name not in _KEY}
    )
)
_DELETE = statement(
    delete(COMMENTS).where(COMMENTS.c.workspace_id == bindparam("workspace_id"), COMMENTS.c.id == bindparam("id"))
)


@dataclass(frozen=True, slots=True)
class HeldTask:
    """What matters of a task to what is said about it, or attached to it.

    Attributes:
        watcher_ids: Who watches it, where that was read.
        role: Of the user in its project; None when they do not see it.
    """

    title: str
    watcher_ids: tuple[UUID, ...]
    project_id: UUID | None
    role: str | None


async def get(reader: Reader, *, user_id: UUID, task_id: UUID, comment_id: UUID) -> Comment | None:
    """The comment on the task, if the user may see it."""
    row = await reader.fetch_one(_GET, user_id=user_id, task_id=task_id, id=comment_id)
    return None if row is None else comment_of_row(row)


async def find(reader: Reader, *, user_id: UUID, workspace_id: UUID, comment_id: UUID) -> Comment | None:
    """The comment of the workspace, whoever may see it, as the user does."""
    row = await reader.fetch_one(_FIND, user_id=user_id, workspace_id=workspace_id, id=comment_id)
    return None if row is None else comment_of_row(row)


async def lock(work: UnitOfWork, *, user_id: UUID, task_id: UUID, comment_id: UUID) -> tuple[Comment, HeldTask] | None:
    """The comment, if the user may see it, locked until the transaction ends, and its task."""
    row = await work.fetch_one(_LOCK, user_id=user_id, task_id=task_id, id=comment_id)
    if row is None or row["role"] is None:
        return None
    return comment_of_row(row), HeldTask(row["task_title"], (), row["project_id"], row["role"])


async def hold_task(work: UnitOfWork, *, user_id: UUID, workspace_id: UUID, task_id: UUID) -> HeldTask | None:
    """A task, whoever may see it, which cannot be deleted until the transaction ends; None when there is none."""
    row = await work.fetch_one(_HOLD_TASK, user_id=user_id, workspace_id=workspace_id, id=task_id)
    return None if row is None else HeldTask(row["title"], tuple(row["watcher_ids"]), row["project_id"], row["role"])


async def page(
    reader: Reader, *, user_id: UUID | None, workspace_id: UUID, task_id: UUID, limit: int, after: UUID | None
) -> Sequence[Comment]:
    """The oldest comments on a task, at most `limit`, younger than `after`, as the user, or nobody, sees them."""
    rows = await reader.fetch(
        _PAGE, user_id=user_id, workspace_id=workspace_id, task_id=task_id, limit=limit, after=after
    )
    return [comment_of_row(row) for row in rows]


async def versions(reader: Reader, comment: Comment, *, limit: int, after: int) -> Sequence[Comment]:
    """The comment as it was after each change, at most `limit`, from the version behind `after`."""
    rows = await reader.fetch(_VERSIONS, workspace_id=comment.workspace_id, id=comment.id, limit=limit, after=after)
    return [comment_of(data_of(row).comment) for row in rows]


async def project(work: UnitOfWork, event: CommentEvent) -> None:
    """Bring the read table up to date with an event; the rebuild uses the same function."""
    comment = event.comment
    if isinstance(event, CommentDeleted):
        await work.execute(_DELETE, workspace_id=comment.workspace_id, id=comment.id)
    else:
        values = {name: getattr(comment, name) for name in _FIELDS}
        await work.execute(_SAVE, **values | {"mentioned_ids": list(comment.mentioned_ids)})
    await documents.write(work, workspace_id=comment.workspace_id, task_ids=[comment.task_id])


async def add_many(work: UnitOfWork, new: Sequence[Comment]) -> None:
    """Write many new comments at once; the search documents of their tasks are left to the caller."""
    rows = [[getattr(comment, name) for name in _FIELDS] for comment in new]
    connection = await work.begin()
    await connection.copy_records_to_table(COMMENTS.name, columns=_FIELDS, records=rows)


def comment_of_row(row: Mapping[str, Any]) -> Comment:
    """The comment in a row of `SHOWN`."""
    return Comment(
        **{name: row[name] for name in _FIELDS}
        | {
            "mentioned_ids": tuple(row["mentioned_ids"]),
            "reactions": tuple(ReactionCount(*each) for each in row["reactions"] or ()),
        }
    )
