"""The record of calls that did many things and carried a request id, with their answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.errors import Unprocessable
from rota_chassis.postgres.statements import statement
from sqlalchemy import Column, LargeBinary, MetaData, Table, Text, and_, bindparam, select, update
from sqlalchemy.dialects.postgresql import UUID as PgUUID
from sqlalchemy.dialects.postgresql import insert

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from rota_chassis.postgres.work import UnitOfWork
    from rota_chassis.requests import Request

REQUESTS = Table(
    "batch_requests",
    MetaData(),
    Column("workspace_id", PgUUID, primary_key=True),
    Column("user_id", PgUUID, primary_key=True),
    Column("request_id", Text, primary_key=True),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("answer", LargeBinary),
)
_IS_KEY = and_(
    REQUESTS.c.workspace_id == bindparam("workspace"),
    REQUESTS.c.user_id == bindparam("user"),
    REQUESTS.c.request_id == bindparam("request"),
)
_RECORD = statement(
    insert(REQUESTS)
    .values(
        workspace_id=bindparam("workspace"),
        user_id=bindparam("user"),
        request_id=bindparam("request"),
        fingerprint=bindparam("digest"),
    )
    .on_conflict_do_nothing()
)
_GET = statement(select(REQUESTS.c.fingerprint, REQUESTS.c.answer).where(_IS_KEY))
_ANSWER = statement(update(REQUESTS).values(answer=bindparam("result")).where(_IS_KEY))


async def once(
    work: UnitOfWork,
    request: Request | None,
    act: Callable[[], Awaitable[bytes]],
    *,
    workspace_id: UUID,
    user_id: UUID,
) -> bytes:
    """What `act` answers, or what it answered to the first call with this request id.

    The answer commits with what was done. Who comes while the first still acts waits for it.

    Raises:
        Unprocessable: the request id was used for another content (code REQUEST_ID_REUSED).
    """
    if request is None:
        return await act()
    key = {"workspace": workspace_id, "user": user_id, "request": request.id}
    if await work.execute(_RECORD, **key, digest=request.fingerprint):
        answer = await act()
        await work.execute(_ANSWER, **key, result=answer)
        return answer
    first = await work.fetch_one(_GET, **key)
    if first is None:
        raise LookupError("a request that conflicted is gone")
    if first["fingerprint"] != request.fingerprint:
        raise Unprocessable("This idempotency key was used for another call; use a new one.", code="REQUEST_ID_REUSED")
    known: bytes = first["answer"]
    return known
