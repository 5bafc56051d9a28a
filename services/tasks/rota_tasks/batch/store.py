"""The record of calls that did many things and carried a request id, with their answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.postgres.statements import statement
from sqlalchemy import Column, LargeBinary, MetaData, Table, Text, and_, bindparam, func, select, update
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_tasks.tasks.tables import TASKS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from rota_chassis.postgres.database import Reader, UnitOfWork

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
_PROJECTS_OF = statement(
    select(TASKS.c.project_id)
    .where(
        TASKS.c.workspace_id == bindparam("workspace_id", type_=PgUUID),
        TASKS.c.id == func.any(bindparam("ids", type_=ARRAY(PgUUID))),
        TASKS.c.project_id.is_not(None),
    )
    .distinct()
)


async def projects_of(reader: Reader, *, workspace_id: UUID, task_ids: Sequence[UUID]) -> Sequence[UUID]:
    """The projects of tasks of a workspace."""
    rows = await reader.fetch(_PROJECTS_OF, workspace_id=workspace_id, ids=list(task_ids))
    return [row["project_id"] for row in rows]


async def record(
    work: UnitOfWork, *, workspace_id: UUID, user_id: UUID, request_id: str, fingerprint: bytes
) -> tuple[bytes, bytes] | None:
    """Remember that this call is made.

    Returns:
        None when it is new; else fingerprint and answer of the first call with this request id, which another
        transaction has committed.
    """
    key = {"workspace": workspace_id, "user": user_id, "request": request_id}
    if await work.execute(_RECORD, **key, digest=fingerprint):
        return None
    row = await work.fetch_one(_GET, **key)
    if row is None:
        raise LookupError("a request that conflicted is gone")
    return row["fingerprint"], row["answer"]


async def keep_answer(work: UnitOfWork, *, workspace_id: UUID, user_id: UUID, request_id: str, answer: bytes) -> None:
    """Keep the answer to a call that was recorded."""
    await work.execute(_ANSWER, workspace=workspace_id, user=user_id, request=request_id, result=answer)
