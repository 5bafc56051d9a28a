"""Checklists in PostgreSQL, and the record of calls that carried a request id.

Every query is scoped to one task of a workspace, which the caller has found to be visible to whoever asks. Items go
with the row of their task; what they were is in the event log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota_chassis.events.log import DATA, EVENTS, data_of
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
    literal_column,
    or_,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import ARRAY, distinct_on, insert
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_tasks.checklists.domain import ChecklistItem, ChecklistItemDeleted, ChecklistItemEvent
from rota_tasks.checklists.messages import item_of
from rota_tasks.requests.store import Records

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from rota_chassis.postgres.work import Reader, UnitOfWork

METADATA = MetaData()
CHECKLIST_ITEMS = Table(
    "checklist_items",
    METADATA,
    Column("workspace_id", PgUUID, primary_key=True),
    Column("id", PgUUID, primary_key=True),
    Column("task_id", PgUUID, nullable=False),
    Column("title", Text, nullable=False),
    Column("is_done", Boolean, nullable=False),
    Column("done_by", PgUUID),
    Column("done_at", DateTime(timezone=True)),
    Column("assignee_id", PgUUID),
    Column("position", Text, nullable=False),
    Column("created_by", PgUUID, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("version", Integer, nullable=False),
)
REQUESTS = Records("checklist_requests", "item_id", "item")
_FIELDS = tuple(column.name for column in CHECKLIST_ITEMS.c)
_KEY = ("workspace_id", "id")
_WORKSPACE = bindparam("workspace_id", type_=PgUUID)
_OF_TASK = and_(
    CHECKLIST_ITEMS.c.workspace_id == _WORKSPACE,
    CHECKLIST_ITEMS.c.task_id == bindparam("task_id", type_=PgUUID),
)
_IN_ORDER = (CHECKLIST_ITEMS.c.position, CHECKLIST_ITEMS.c.id)

_GET = statement(select(CHECKLIST_ITEMS).where(_OF_TASK, CHECKLIST_ITEMS.c.id == bindparam("id", type_=PgUUID)))
_ALL = statement(select(CHECKLIST_ITEMS).where(_OF_TASK).order_by(*_IN_ORDER))
_AFTER_POSITION, _AFTER_ID = bindparam("after_position", type_=Text), bindparam("after_id", type_=PgUUID)
_PAGE = statement(
    select(CHECKLIST_ITEMS)
    .where(_OF_TASK, or_(_AFTER_POSITION.is_(None), tuple_(*_IN_ORDER) > tuple_(_AFTER_POSITION, _AFTER_ID)))
    .order_by(*_IN_ORDER)
    .limit(bindparam("limit", type_=Integer))
)
_NEW = insert(CHECKLIST_ITEMS).values({name: bindparam(name) for name in _FIELDS})
_SAVE = statement(
    _NEW.on_conflict_do_update(
        index_elements=list(_KEY), set_={name: _NEW.excluded[name] for name in _FIELDS if name not in _KEY}
    )
)
_DELETE = statement(
    delete(CHECKLIST_ITEMS).where(
        CHECKLIST_ITEMS.c.workspace_id == _WORKSPACE, CHECKLIST_ITEMS.c.id == bindparam("id", type_=PgUUID)
    )
)
_LAST_EVENTS = statement(
    select(*DATA)
    .where(
        EVENTS.c.workspace_id == _WORKSPACE,
        EVENTS.c.aggregate == literal_column("'checklist_item'"),
        EVENTS.c.data.op("->")("checklist_item").op("->>")("task_id")
        == func.any(bindparam("texts", type_=ARRAY(Text))),
    )
    .ext(distinct_on(EVENTS.c.aggregate_id))
    .order_by(EVENTS.c.aggregate_id, EVENTS.c.aggregate_version.desc())
)


async def get(reader: Reader, *, workspace_id: UUID, task_id: UUID, item_id: UUID) -> ChecklistItem | None:
    """The item, if the task has it."""
    row = await reader.fetch_one(_GET, workspace_id=workspace_id, task_id=task_id, id=item_id)
    return None if row is None else item_of_row(row)


async def checklist(reader: Reader, *, workspace_id: UUID, task_id: UUID) -> Sequence[ChecklistItem]:
    """All items of a task in their order."""
    return [item_of_row(row) for row in await reader.fetch(_ALL, workspace_id=workspace_id, task_id=task_id)]


async def page(
    reader: Reader, *, workspace_id: UUID, task_id: UUID, limit: int, after: tuple[str, UUID] | None
) -> Sequence[ChecklistItem]:
    """The first items of a task, at most `limit`, behind the position and id in `after`."""
    after_position, after_id = after or (None, None)
    rows = await reader.fetch(
        _PAGE,
        workspace_id=workspace_id,
        task_id=task_id,
        limit=limit,
        after_position=after_position,
        after_id=after_id,
    )
    return [item_of_row(row) for row in rows]


async def project(work: UnitOfWork, event: ChecklistItemEvent) -> None:
    """Bring the read table up to date with an event; the rebuild uses the same function."""
    item = event.item
    if isinstance(event, ChecklistItemDeleted):
        await work.execute(_DELETE, workspace_id=item.workspace_id, id=item.id)
    else:
        await work.execute(_SAVE, **_row(item))


async def add_many(work: UnitOfWork, items: Sequence[ChecklistItem]) -> None:
    """Write many new items at once."""
    rows = [[getattr(item, name) for name in _FIELDS] for item in items]
    connection = await work.begin()
    await connection.copy_records_to_table(CHECKLIST_ITEMS.name, columns=_FIELDS, records=rows)


async def put_back(work: UnitOfWork, *, workspace_id: UUID, task_ids: Sequence[UUID]) -> None:
    """Bring back the items that tasks had when they were deleted: nothing happens to an item while its task is."""
    rows = await work.fetch(_LAST_EVENTS, workspace_id=workspace_id, texts=[str(each) for each in task_ids])
    living = [row for row in rows if row["type"] != "checklist_item.deleted"]
    items = [item_of(data_of(row).checklist_item) for row in living]
    await work.execute_many(_SAVE, [_row(item) for item in items])


def _row(item: ChecklistItem) -> dict[str, Any]:
    return {name: getattr(item, name) for name in _FIELDS}


def item_of_row(row: Mapping[str, Any]) -> ChecklistItem:
    """The item in a row of the table."""
    return ChecklistItem(**{name: row[name] for name in _FIELDS})
