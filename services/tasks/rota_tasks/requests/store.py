"""The records of calls with a request id, as far as it takes to forget them; who writes one has it in its own store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.postgres.statements import statement
from sqlalchemy import Column, DateTime, Integer, MetaData, Table, Text, bindparam, delete, select, tuple_
from sqlalchemy.dialects.postgresql import UUID as PgUUID

if TYPE_CHECKING:
    from datetime import datetime

    from rota_chassis.postgres.database import UnitOfWork
    from rota_chassis.postgres.statements import Statement

TABLES = (
    "requests",
    "batch_requests",
    "comment_requests",
    "checklist_requests",
    "column_requests",
    "attachment_requests",
    "saved_filter_requests",
)
_METADATA = MetaData()


def _forget(name: str) -> Statement:
    table = Table(
        name,
        _METADATA,
        Column("workspace_id", PgUUID, primary_key=True),
        Column("user_id", PgUUID, primary_key=True),
        Column("request_id", Text, primary_key=True),
        Column("created_at", DateTime(timezone=True), nullable=False),
    )
    key = list(table.primary_key.columns)
    old = (
        select(*key)
        .where(table.c.created_at < bindparam("horizon", type_=DateTime(timezone=True)))
        .limit(bindparam("limit", type_=Integer))
        .with_for_update(skip_locked=True)
    )
    return statement(delete(table).where(tuple_(*key).in_(old)))


_FORGET = tuple(_forget(name) for name in TABLES)


async def forget(work: UnitOfWork, *, before: datetime, limit: int) -> int:
    """Forget calls from before a time, at most so many of each kind; returns how many."""
    return sum([await work.execute(each, horizon=before, limit=limit) for each in _FORGET])
