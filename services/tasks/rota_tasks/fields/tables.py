"""The read table of custom fields, and what is left of a task's values of them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    FromClause,
    Integer,
    MetaData,
    Table,
    Text,
    and_,
    case,
    cast,
    column,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import UUID as PgUUID

CUSTOM_FIELDS = Table(
    "custom_fields",
    MetaData(),
    Column("workspace_id", PgUUID, primary_key=True),
    Column("id", PgUUID, primary_key=True),
    Column("project_id", PgUUID, nullable=False),
    Column("name", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("options", JSONB, nullable=False),
    Column("required", Boolean, nullable=False),
    Column("position", Text, nullable=False),
    Column("created_by", PgUUID, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("version", Integer, nullable=False),
)
_NONE: Any = literal_column("'{}'::jsonb", JSONB)


def living_values(tasks: FromClause) -> Any:
    """The values of a task, for a select from `tasks`, without those of fields that have been deleted."""
    given = (
        func.jsonb_each(tasks.c.fields)
        .table_valued(column("key", Text), column("value", JSONB), name="given_values")
        .render_derived()
    )
    living = (
        select(func.coalesce(func.jsonb_object_agg(given.c.key, given.c.value), _NONE))
        .join_from(
            given,
            CUSTOM_FIELDS,
            and_(
                CUSTOM_FIELDS.c.workspace_id == tasks.c.workspace_id,
                CUSTOM_FIELDS.c.id == cast(given.c.key, PgUUID),
            ),
        )
        .correlate(tasks)
        .scalar_subquery()
    )
    return case((tasks.c.fields == _NONE, tasks.c.fields), else_=living).label("fields")
