"""The read table of tasks, and what a read shows of a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Column,
    Date,
    DateTime,
    FromClause,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    and_,
    bindparam,
    case,
    column,
    exists,
    func,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, array
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_tasks.attachments.tables import ATTACHMENTS
from rota_tasks.checklists.store import CHECKLIST_ITEMS
from rota_tasks.executions.messages import execution_of_json
from rota_tasks.fields.tables import living_values
from rota_tasks.keys.tables import key_of
from rota_tasks.labels.store import LABELS
from rota_tasks.projects.access import is_visible
from rota_tasks.relations.domain import RelationType
from rota_tasks.relations.store import RELATIONS
from rota_tasks.series.recurrence_messages import recurrence_of_json
from rota_tasks.tasks.domain import OPEN, Priority, Standing, Status, Task

if TYPE_CHECKING:
    from collections.abc import Mapping

METADATA = MetaData()
TASKS = Table(
    "tasks",
    METADATA,
    Column("workspace_id", PgUUID, primary_key=True),
    Column("id", PgUUID, primary_key=True),
    Column("project_id", PgUUID),
    Column("title", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("priority", Text, nullable=False),
    Column("due_at", DateTime(timezone=True)),
    Column("remind_at", DateTime(timezone=True)),
    Column("assignee_ids", ARRAY(PgUUID), nullable=False),
    Column("created_by", PgUUID, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("completed_at", DateTime(timezone=True)),
    Column("completed_by", PgUUID),
    Column("version", Integer, nullable=False),
    Column("label_ids", ARRAY(PgUUID), nullable=False),
    Column("start_at", DateTime(timezone=True)),
    Column("deadline_at", DateTime(timezone=True)),
    Column("estimate_s", BigInteger),
    Column("progress", SmallInteger, nullable=False),
    Column("category", Text, nullable=False),
    Column("parent_id", PgUUID),
    Column("due_on", Date),
    Column("start_on", Date),
    Column("time_zone", Text, nullable=False),
    Column("watcher_ids", ARRAY(PgUUID), nullable=False),
    Column("state_id", PgUUID),
    Column("section_id", PgUUID),
    Column("position", Text),
    Column("status_before", Text),
    Column("state_id_before", PgUUID),
    Column("fields", JSONB, nullable=False),
    Column("due", DateTime(timezone=True)),
    Column("start", DateTime(timezone=True)),
    Column("recurrence", JSONB),
    Column("series_id", PgUUID),
    Column("occurrence", Text),
    Column("remind_before_s", ARRAY(BigInteger), nullable=False),
    Column("execution", JSONB),
    Column("number", Integer),
)
FAVOURITES = Table(
    "favourites",
    METADATA,
    Column("workspace_id", PgUUID, primary_key=True),
    Column("user_id", PgUUID, primary_key=True),
    Column("task_id", PgUUID, primary_key=True),
)
FAVOURITE_CHANGES = Table(
    "favourite_changes",
    METADATA,
    Column("workspace_id", PgUUID, primary_key=True),
    Column("user_id", PgUUID, primary_key=True),
    Column("task_id", PgUUID, primary_key=True),
    # An `xid8`, which is only written: by the server.
    Column("xid", Text, nullable=False),
)

DERIVED = ("due", "start")
"""Columns that follow from others, for filters and orders; reads do not show them."""
FIELDS = tuple(column.name for column in TASKS.c if column.name not in DERIVED)
LISTS = ("assignee_ids", "label_ids", "watcher_ids", "remind_before_s")
KEY = ("workspace_id", "id")
_CHILDREN, _BLOCKERS = TASKS.alias("children"), TASKS.alias("blockers")


def _is_open(tasks: FromClause) -> Any:
    return or_(*(tasks.c.status == status.value for status in sorted(OPEN)))


def own(tasks: FromClause) -> list[Any]:
    """What a task is in itself, for a select from `tasks`: its columns, without labels and fields deleted since."""
    given = (
        func.unnest(tasks.c.label_ids)
        .table_valued(column("id", PgUUID), with_ordinality="place", name="given")
        .render_derived()
    )
    living = (
        select(given.c.id)
        .join_from(given, LABELS, and_(LABELS.c.workspace_id == tasks.c.workspace_id, LABELS.c.id == given.c.id))
        .order_by(given.c.place)
        .correlate(tasks)
        .scalar_subquery()
    )
    labels = case((func.cardinality(tasks.c.label_ids) == 0, tasks.c.label_ids), else_=func.array(living))
    return [
        *(each for each in tasks.c if each.name in FIELDS and each.name not in ("label_ids", "fields")),
        labels.label("label_ids"),
        living_values(tasks),
        key_of(tasks),
    ]


def shown(tasks: FromClause, *, to_user: bool = True) -> list[Any]:
    """What a read shows of a task, for a select from `tasks`, so that it takes one query: also its standing.

    Args:
        tasks: Which.
        to_user: Whether its standing leaves out the tasks hidden from the user in the parameter `user_id`.
    """
    of_child = [is_visible(_CHILDREN.c.project_id)] if to_user else []
    of_blocker = [is_visible(_BLOCKERS.c.project_id)] if to_user else []
    children = (
        select(array([func.count().filter(_is_open(_CHILDREN)), func.count()]))
        .where(
            _CHILDREN.c.workspace_id == tasks.c.workspace_id,
            # As a range, which the planner takes for a small part of the table even when most tasks have one parent;
            # as an equation it would then read the whole table for each row shown.
            _CHILDREN.c.parent_id >= tasks.c.id,
            _CHILDREN.c.parent_id <= tasks.c.id,
            *of_child,
        )
        .correlate(tasks)
        .scalar_subquery()
    )
    blockers = (
        select(_BLOCKERS.c.id)
        .join_from(
            RELATIONS,
            _BLOCKERS,
            and_(_BLOCKERS.c.workspace_id == RELATIONS.c.workspace_id, _BLOCKERS.c.id == RELATIONS.c.task_id),
        )
        .where(
            RELATIONS.c.workspace_id == tasks.c.workspace_id,
            RELATIONS.c.source_id == tasks.c.id,
            RELATIONS.c.type == RelationType.IS_BLOCKED_BY.value,
            _is_open(_BLOCKERS),
            *of_blocker,
        )
        .order_by(_BLOCKERS.c.id)
        .correlate(tasks)
        .scalar_subquery()
    )
    items = (
        select(array([func.count().filter(~CHECKLIST_ITEMS.c.is_done), func.count()]))
        .where(CHECKLIST_ITEMS.c.workspace_id == tasks.c.workspace_id, CHECKLIST_ITEMS.c.task_id == tasks.c.id)
        .correlate(tasks)
        .scalar_subquery()
    )
    attachments = (
        select(func.count())
        .select_from(ATTACHMENTS)
        .where(ATTACHMENTS.c.workspace_id == tasks.c.workspace_id, ATTACHMENTS.c.task_id == tasks.c.id)
        .correlate(tasks)
        .scalar_subquery()
    )
    return [
        *own(tasks),
        children.label("subtasks"),
        func.array(blockers).label("blocked_by"),
        attachments.label("attachment_count"),
        items.label("checklist"),
    ]


def is_favourite(tasks: FromClause) -> Any:
    """Whether a task is a favourite of the user in the parameter `user_id`, for a select from `tasks`."""
    found = (
        exists()
        .where(
            FAVOURITES.c.workspace_id == tasks.c.workspace_id,
            FAVOURITES.c.user_id == bindparam("user_id", type_=PgUUID),
            FAVOURITES.c.task_id == tasks.c.id,
        )
        .correlate(tasks)
    )
    return found.label("is_favourite")


def task_of_row(row: Mapping[str, Any]) -> Task:
    """The task in a row of `shown`, or without its standing in a row of `own`."""
    values = {name: row[name] for name in FIELDS}
    standing = None
    if "subtasks" in row:
        open_subtasks, subtasks = row["subtasks"]
        open_items, items = row["checklist"]
        standing = Standing(
            open_subtasks,
            subtasks,
            tuple(row["blocked_by"]),
            row.get("is_favourite", False),
            open_items,
            items,
            row["attachment_count"],
        )
    return Task(
        **values
        | {
            "status": Status(values["status"]),
            "priority": Priority(values["priority"]),
            "status_before": Status(values["status_before"]) if values["status_before"] else None,
            **{name: tuple(values[name]) for name in LISTS},
            "recurrence": recurrence_of_json(values["recurrence"]),
            "execution": execution_of_json(values["execution"]),
            "key": row["key"],
            "standing": standing,
        }
    )
