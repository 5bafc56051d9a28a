"""Attachments in PostgreSQL: the read table, and the record of calls that carried a request id.

Every query is scoped to a workspace, or to those that the caller belongs to, and to tasks that are not in the trash.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota_chassis.memberships import MEMBERSHIPS, visible_workspaces
from rota_chassis.postgres.statements import statement
from sqlalchemy import (
    Integer,
    MetaData,
    and_,
    bindparam,
    delete,
    func,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_tasks.attachments.domain import Attachment, AttachmentDeleted, AttachmentEvent
from rota_tasks.attachments.tables import ATTACHMENTS
from rota_tasks.projects.access import is_visible, role_in
from rota_tasks.requests.store import Records
from rota_tasks.search import documents
from rota_tasks.tasks.tables import TASKS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from rota_chassis.postgres.work import Reader, UnitOfWork

METADATA = MetaData()
REQUESTS = Records("attachment_requests", "attachment_id", "file")
_FIELDS = tuple(column.name for column in ATTACHMENTS.c)
_KEY = ("workspace_id", "id")
OF_THE_LIVING = and_(TASKS.c.workspace_id == ATTACHMENTS.c.workspace_id, TASKS.c.id == ATTACHMENTS.c.task_id)

_GET = statement(
    select(ATTACHMENTS)
    .join_from(ATTACHMENTS, TASKS, OF_THE_LIVING)
    .where(
        ATTACHMENTS.c.id == bindparam("id"),
        ATTACHMENTS.c.workspace_id.in_(visible_workspaces()),
        is_visible(TASKS.c.project_id),
    )
)
_LOCK = statement(
    select(ATTACHMENTS, TASKS.c.project_id, role_in(TASKS.c.project_id))
    .join_from(ATTACHMENTS, TASKS, OF_THE_LIVING)
    .join(MEMBERSHIPS, MEMBERSHIPS.c.workspace_id == ATTACHMENTS.c.workspace_id)
    .where(
        ATTACHMENTS.c.id == bindparam("id"),
        MEMBERSHIPS.c.user_id == bindparam("user_id"),
        ~MEMBERSHIPS.c.removed,
    )
    .with_for_update(of=ATTACHMENTS)
)
_AFTER = bindparam("after", type_=PgUUID)
_PAGE = statement(
    select(ATTACHMENTS)
    .where(
        ATTACHMENTS.c.workspace_id == bindparam("workspace_id"),
        ATTACHMENTS.c.task_id == bindparam("task_id"),
        or_(_AFTER.is_(None), ATTACHMENTS.c.id > _AFTER),
    )
    .order_by(ATTACHMENTS.c.id)
    .limit(bindparam("limit", type_=Integer))
)
_SAVE = statement(
    insert(ATTACHMENTS).values({name: bindparam(name) for name in _FIELDS}).on_conflict_do_nothing(index_elements=_KEY)
)
_DELETE = statement(
    delete(ATTACHMENTS).where(
        ATTACHMENTS.c.workspace_id == bindparam("workspace_id"), ATTACHMENTS.c.id == bindparam("id")
    )
)
_DELETE_OF_TASKS = statement(
    delete(ATTACHMENTS).where(
        ATTACHMENTS.c.workspace_id == bindparam("workspace_id"),
        ATTACHMENTS.c.task_id == func.any(bindparam("task_ids", type_=ARRAY(PgUUID))),
    )
)
_IDS = bindparam("task_ids", type_=ARRAY(PgUUID))
_OF_TASKS = statement(
    select(ATTACHMENTS)
    .where(ATTACHMENTS.c.workspace_id == bindparam("workspace_id"), ATTACHMENTS.c.task_id == func.any(_IDS))
    .order_by(ATTACHMENTS.c.id)
)


async def get(reader: Reader, *, user_id: UUID, attachment_id: UUID) -> Attachment | None:
    """The attachment, if the user may see it."""
    row = await reader.fetch_one(_GET, user_id=user_id, id=attachment_id)
    return None if row is None else attachment_of_row(row)


async def lock(work: UnitOfWork, *, user_id: UUID, attachment_id: UUID) -> tuple[Attachment, UUID | None, str] | None:
    """The attachment, locked until the transaction ends, the project of its task, and the user's role there."""
    row = await work.fetch_one(_LOCK, user_id=user_id, id=attachment_id)
    if row is None or row["role"] is None:
        return None
    return attachment_of_row(row), row["project_id"], row["role"]


async def page(
    reader: Reader, *, workspace_id: UUID, task_id: UUID, limit: int, after: UUID | None
) -> Sequence[Attachment]:
    """The oldest attachments of a task, at most `limit`, younger than `after`."""
    rows = await reader.fetch(_PAGE, workspace_id=workspace_id, task_id=task_id, limit=limit, after=after)
    return [attachment_of_row(row) for row in rows]


async def project(work: UnitOfWork, event: AttachmentEvent) -> None:
    """Bring the read table up to date with an event; the rebuild uses the same function."""
    attachment = event.attachment
    if isinstance(event, AttachmentDeleted):
        await work.execute(_DELETE, workspace_id=attachment.workspace_id, id=attachment.id)
    else:
        await work.execute(_SAVE, **{name: getattr(attachment, name) for name in _FIELDS})
    await documents.write(work, workspace_id=attachment.workspace_id, task_ids=[attachment.task_id])


async def of_tasks(reader: Reader, *, workspace_id: UUID, task_ids: Sequence[UUID]) -> Sequence[Attachment]:
    """What is attached to tasks, those in the trash included, the oldest first."""
    rows = await reader.fetch(_OF_TASKS, workspace_id=workspace_id, task_ids=list(task_ids))
    return [attachment_of_row(row) for row in rows]


async def add_many(work: UnitOfWork, attachments: Sequence[Attachment]) -> None:
    """Write many new attachments at once; the search documents are left to the caller."""
    await work.execute_many(_SAVE, [{name: getattr(each, name) for name in _FIELDS} for each in attachments])


async def remove_of_tasks(work: UnitOfWork, *, workspace_id: UUID, task_ids: Sequence[UUID]) -> None:
    """Take the attachments of tasks out of the read table that left the trash for good."""
    await work.execute(_DELETE_OF_TASKS, workspace_id=workspace_id, task_ids=list(task_ids))


def attachment_of_row(row: Mapping[str, Any]) -> Attachment:
    """The attachment in a row of the read table."""
    return Attachment(**{name: row[name] for name in _FIELDS})
