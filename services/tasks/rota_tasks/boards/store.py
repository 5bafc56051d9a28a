"""States, sections and the manual order of tasks in PostgreSQL; every query is scoped to one workspace.

Whoever changes what a board holds takes turns on a lock of the project (`lock`), so that limits and positions are
decided one after another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

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
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_tasks import locks
from rota_tasks.boards.domain import ColumnDeleted, ColumnEvent, Guard, Section, State, Transition
from rota_tasks.requests.store import Records
from rota_tasks.tasks.domain import Status
from rota_tasks.tasks.tables import TASKS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rota_chassis.postgres.work import Reader, UnitOfWork

AnyColumn = TypeVar("AnyColumn", State, Section)


def _own_columns() -> list[Column[Any]]:
    return [
        Column("workspace_id", PgUUID, primary_key=True),
        Column("id", PgUUID, primary_key=True),
        Column("project_id", PgUUID, nullable=False),
        Column("name", Text, nullable=False),
        Column("position", Text, nullable=False),
        Column("created_by", PgUUID, nullable=False),
        Column("created_at", DateTime(timezone=True), nullable=False),
        Column("updated_at", DateTime(timezone=True), nullable=False),
        Column("version", Integer, nullable=False),
    ]


SECTIONS = Table("sections", MetaData(), *_own_columns())
STATES = Table(
    "states",
    MetaData(),
    *_own_columns(),
    Column("status_group", Text, nullable=False),
    Column("color", Text, nullable=False),
    Column("wip_limit", Integer, nullable=False),
    Column("transitions", JSONB, nullable=False),
)
REQUESTS = Records("column_requests", "column_id", "state or section")
_TABLES: Mapping[type[Any], Table] = {State: STATES, Section: SECTIONS}
_WORKSPACE, _PROJECT = bindparam("workspace_id", type_=PgUUID), bindparam("project_id", type_=PgUUID)
_ID = bindparam("id", type_=PgUUID)
_LIMIT = bindparam("limit", type_=Integer)

_LIST = {
    kind: statement(
        select(table)
        .where(table.c.workspace_id == _WORKSPACE, table.c.project_id == _PROJECT)
        .order_by(table.c.position, table.c.id)
    )
    for kind, table in _TABLES.items()
}
_DELETE = {
    kind: statement(delete(table).where(table.c.workspace_id == _WORKSPACE, table.c.id == _ID))
    for kind, table in _TABLES.items()
}


def _save(table: Table) -> Any:
    new = insert(table).values({column.name: bindparam(column.name, type_=column.type) for column in table.c})
    written = {column.name: new.excluded[column.name] for column in table.c if not column.primary_key}
    return statement(new.on_conflict_do_update(index_elements=["workspace_id", "id"], set_=written))


_SAVE = {kind: _save(table) for kind, table in _TABLES.items()}
OF_PROJECT = and_(TASKS.c.workspace_id == _WORKSPACE, TASKS.c.project_id == _PROJECT)
# The expression of the index `tasks_rank`, word for word.
RANK: Any = literal_column(
    "coalesce(tasks.position, 'l' || replace(tasks.id::text, '-', '') || '8') COLLATE \"C\"", Text
)
_OTHERS = and_(OF_PROJECT, TASKS.c.id != _ID)
_COUNT_IN = {
    State: statement(select(func.count()).where(_OTHERS, TASKS.c.state_id == bindparam("column_id", type_=PgUUID))),
    Section: statement(select(func.count()).where(_OTHERS, TASKS.c.section_id == bindparam("column_id", type_=PgUUID))),
}


async def lock(work: UnitOfWork, *project_ids: UUID) -> bool:
    """Hold the boards of projects alone until the transaction ends; whether one was not held before (see `locks`)."""
    return await work.hold(*map(locks.board, project_ids))


async def columns(
    reader: Reader, kind: type[AnyColumn], *, workspace_id: UUID, project_id: UUID
) -> Sequence[AnyColumn]:
    """The states, or the sections, of a project in their order."""
    rows = await reader.fetch(_LIST[kind], workspace_id=workspace_id, project_id=project_id)
    return [column_of_row(kind, row) for row in rows]


async def count_in(
    reader: Reader,
    kind: type[Any],
    *,
    workspace_id: UUID,
    project_id: UUID,
    column_id: UUID,
    besides: UUID | None = None,
) -> int:
    """How many tasks a state or a section has, one of them not counted."""
    tasks: int = await reader.fetch_value(
        _COUNT_IN[kind],
        workspace_id=workspace_id,
        project_id=project_id,
        column_id=column_id,
        id=besides or UUID(int=0),
    )
    return tasks


async def project(work: UnitOfWork, event: ColumnEvent) -> None:
    """Bring the read table up to date with an event; the rebuild uses the same function."""
    column: Any = event.column
    kind = type(column)
    if isinstance(event, ColumnDeleted):
        await work.execute(_DELETE[kind], workspace_id=column.workspace_id, id=column.id)
        return
    values = {name: getattr(column, name) for name in SECTIONS.c.keys()}  # noqa: SIM118 (a collection of columns)
    if isinstance(column, State):
        values |= {
            "status_group": column.group.value,
            "color": column.color,
            "wip_limit": column.wip_limit,
            "transitions": [
                {
                    "to_state_id": str(each.to_state_id),
                    "guards": list(each.guards),
                    "role": each.role,
                    "required_fields": list(each.required_fields),
                }
                for each in column.transitions
            ],
        }
    await work.execute(_SAVE[kind], **values)


def column_of_row(kind: type[AnyColumn], row: Mapping[str, Any]) -> AnyColumn:
    """The state or the section in a row of its table."""
    values = dict(row)
    if kind is State:
        values["group"] = Status(values.pop("status_group"))
        values["transitions"] = tuple(
            Transition(
                UUID(each["to_state_id"]),
                tuple(Guard(guard) for guard in each["guards"]),
                each["role"],
                tuple(each["required_fields"]),
            )
            for each in values["transitions"]
        )
    return kind(**values)
