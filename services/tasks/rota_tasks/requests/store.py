"""The records of calls with a request id: what a call made that is repeated, and how it is forgotten in the end.

Each feature has a table of its own, so that none waits for another's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.errors import Unprocessable
from rota_chassis.postgres.statements import statement
from sqlalchemy import Column, DateTime, Integer, LargeBinary, MetaData, Table, Text, bindparam, delete, select, tuple_
from sqlalchemy.dialects.postgresql import UUID as PgUUID
from sqlalchemy.dialects.postgresql import insert

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from rota_chassis.postgres.statements import Statement
    from rota_chassis.postgres.work import UnitOfWork
    from rota_chassis.requests import Request

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


class Records:
    """The records of calls that make one thing each.

    Args:
        table: Their table, one of `TABLES`.
        made: Its column for the id of what a call made.
        thing: What that is called.
    """

    def __init__(self, table: str, made: str, thing: str) -> None:
        calls = Table(
            table,
            MetaData(),
            Column("workspace_id", PgUUID, primary_key=True),
            Column("user_id", PgUUID, primary_key=True),
            Column("request_id", Text, primary_key=True),
            Column("fingerprint", LargeBinary, nullable=False),
            Column(made, PgUUID, nullable=False),
        )
        key = [each == bindparam(each.name) for each in calls.primary_key.columns]
        self._made = made
        self._thing = thing
        self._record = statement(
            insert(calls).values({each.name: bindparam(each.name) for each in calls.c}).on_conflict_do_nothing()
        )
        self._first = statement(select(calls.c.fingerprint, calls.c[made]).where(*key))

    async def record(
        self, work: UnitOfWork, request: Request | None, *, workspace_id: UUID, user_id: UUID, makes: UUID
    ) -> UUID | None:
        """Remember that this call makes this, if it carries a request id.

        Returns:
            None when the call is new, or carries none; else what the first call with this request id made, which
            another transaction has committed.

        Raises:
            Unprocessable: that call had another content (code REQUEST_ID_REUSED).
        """
        if request is None:
            return None
        key = {"workspace_id": workspace_id, "user_id": user_id, "request_id": request.id}
        if await work.execute(self._record, **key, fingerprint=request.fingerprint, **{self._made: makes}):
            return None
        row = await work.fetch_one(self._first, **key)
        if row is None:
            raise LookupError("a request that conflicted is gone")
        if row["fingerprint"] != request.fingerprint:
            raise Unprocessable(
                f"This idempotency key was used for another {self._thing}; use a new one.", code="REQUEST_ID_REUSED"
            )
        made: UUID = row[self._made]
        return made


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
