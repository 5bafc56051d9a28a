"""The record of calls that made a state or a section and carried a request id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.errors import Unprocessable
from rota_chassis.postgres.statements import statement
from sqlalchemy import Column, LargeBinary, MetaData, Table, Text, bindparam, select
from sqlalchemy.dialects.postgresql import UUID as PgUUID
from sqlalchemy.dialects.postgresql import insert

if TYPE_CHECKING:
    from uuid import UUID

    from rota_chassis.postgres.database import UnitOfWork
    from rota_chassis.requests import Request

REQUESTS = Table(
    "column_requests",
    MetaData(),
    Column("workspace_id", PgUUID, primary_key=True),
    Column("user_id", PgUUID, primary_key=True),
    Column("request_id", Text, primary_key=True),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("column_id", PgUUID, nullable=False),
)
_RECORD = statement(
    insert(REQUESTS).values({column.name: bindparam(column.name) for column in REQUESTS.c}).on_conflict_do_nothing()
)
_GET = statement(
    select(REQUESTS.c.fingerprint, REQUESTS.c.column_id).where(
        REQUESTS.c.workspace_id == bindparam("workspace_id"),
        REQUESTS.c.user_id == bindparam("user_id"),
        REQUESTS.c.request_id == bindparam("request_id"),
    )
)


async def record(
    work: UnitOfWork, request: Request, *, workspace_id: UUID, user_id: UUID, column_id: UUID
) -> UUID | None:
    """Remember that this call makes this state or section.

    Returns:
        None when the call is new; else what the first call with this request id made.

    Raises:
        Unprocessable: that call had another content (code REQUEST_ID_REUSED).
    """
    key = {"workspace_id": workspace_id, "user_id": user_id, "request_id": request.id}
    if await work.execute(_RECORD, **key, fingerprint=request.fingerprint, column_id=column_id):
        return None
    row = await work.fetch_one(_GET, **key)
    if row is None:
        raise LookupError("a request that conflicted is gone")
    if row["fingerprint"] != request.fingerprint:
        raise Unprocessable(
            "This idempotency key was used for another state or section; use a new one.", code="REQUEST_ID_REUSED"
        )
    made: UUID = row["column_id"]
    return made
