"""Where keys are: of projects and tasks, all that they have, or had before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, Integer, MetaData, Table, Text, and_, case, cast, column, func, literal, select
from sqlalchemy.dialects.postgresql import UUID as PgUUID

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, FromClause

METADATA = MetaData()
PROJECT_KEYS = Table(
    "project_keys",
    METADATA,
    Column("workspace_id", PgUUID, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("project_id", PgUUID, nullable=False),
)
TASK_KEYS = Table(
    "task_keys",
    METADATA,
    Column("workspace_id", PgUUID, primary_key=True),
    Column("project_id", PgUUID, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("task_id", PgUUID, nullable=False),
)
# Of the projects, what tasks show of them.
_PROJECTS = Table(
    "projects",
    METADATA,
    Column("workspace_id", PgUUID, primary_key=True),
    Column("id", PgUUID, primary_key=True),
    Column("key", Text, nullable=False),
)


def key_of(tasks: FromClause) -> Any:
    """The key that a task has now, null without one, for a select from `tasks`."""
    found = (
        select(func.concat(_PROJECTS.c.key, literal("-", Text), tasks.c.number))
        .where(
            _PROJECTS.c.workspace_id == tasks.c.workspace_id,
            _PROJECTS.c.id == tasks.c.project_id,
            tasks.c.number.is_not(None),
        )
        .correlate(tasks)
        .scalar_subquery()
    )
    return found.label("key")


def tasks_with(keys: ColumnElement[Any], workspace_id: ColumnElement[Any]) -> Any:
    """The ids of the tasks of a workspace that have, or had, one of the keys in an array, as a select."""
    asked = func.unnest(keys).table_valued(column("key", Text), name="asked").render_derived()
    digits = func.split_part(asked.c.key, "-", 2)
    return (
        select(TASK_KEYS.c.task_id)
        .select_from(asked)
        .join(
            PROJECT_KEYS,
            and_(
                PROJECT_KEYS.c.workspace_id == workspace_id,
                PROJECT_KEYS.c.key == func.split_part(asked.c.key, "-", 1),
            ),
        )
        .join(
            TASK_KEYS,
            and_(
                TASK_KEYS.c.workspace_id == PROJECT_KEYS.c.workspace_id,
                TASK_KEYS.c.project_id == PROJECT_KEYS.c.project_id,
                TASK_KEYS.c.number == case((digits.regexp_match("^[0-9]{1,9}$"), cast(digits, Integer))),
            ),
        )
    )
