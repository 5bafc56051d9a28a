"""The table of the trash: which tasks are in it, and of which project they are."""

from __future__ import annotations

from sqlalchemy import Column, DateTime, Integer, MetaData, Table
from sqlalchemy.dialects.postgresql import UUID as PgUUID

TRASH = Table(
    "trash",
    MetaData(),
    Column("workspace_id", PgUUID, primary_key=True),
    Column("id", PgUUID, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("root_id", PgUUID, nullable=False),
    Column("deleted_at", DateTime(timezone=True), nullable=False),
    Column("deleted_by", PgUUID, nullable=False),
    Column("project_id", PgUUID),
)
