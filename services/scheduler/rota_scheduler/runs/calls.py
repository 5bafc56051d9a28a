"""Runs that people order, look at and end, in PostgreSQL; every query is scoped to what one user may see.

A run that waits for others is buffered, as one that waits for those of its schedule, and has a row in `run_waits` for
each of them. `let_start` looks which have nothing left to wait for; whoever ends runs does not have to know of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota_chassis.memberships import MEMBERSHIPS
from rota_chassis.postgres.statements import statement
from sqlalchemy import (
    Column,
    DateTime,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    and_,
    bindparam,
    delete,
    false,
    func,
    literal_column,
    or_,
    select,
    true,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_scheduler.access import is_run_visible
from rota_scheduler.origins import ORIGINS
from rota_scheduler.runs.domain import Status
from rota_scheduler.runs.store import as_it_ended, to_history
from rota_scheduler.runs.tables import FIELDS, HISTORY, RUNS, run_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from uuid import UUID

    from rota_chassis.postgres.work import Reader, UnitOfWork
    from sqlalchemy import ColumnElement, Select

    from rota_scheduler.runs.domain import Run

WAITS = Table(
    "run_waits",
    MetaData(),
    Column("workspace_id", PgUUID, primary_key=True),
    Column("run_id", PgUUID, primary_key=True),
    Column("after_id", PgUUID, primary_key=True),
)
REQUESTS = Table(
    "run_requests",
    MetaData(),
    Column("workspace_id", PgUUID, primary_key=True),
    Column("user_id", PgUUID, primary_key=True),
    Column("request_id", Text, primary_key=True),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("run_id", PgUUID, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
)
_INSTANT = DateTime(timezone=True)
_WORKSPACE, _ID = bindparam("workspace_id", type_=PgUUID), bindparam("id", type_=PgUUID)
_BEFORE, _STATUS = bindparam("before", type_=PgUUID), bindparam("status", type_=Text)
_LIMIT = bindparam("limit", type_=Integer)


def _of_members(table: Table, visible: Callable[[Table], ColumnElement[bool]] = is_run_visible) -> Select[Any]:
    return (
        select(*(table.c[name] for name in FIELDS), MEMBERSHIPS.c.role)
        .join_from(table, MEMBERSHIPS, MEMBERSHIPS.c.workspace_id == table.c.workspace_id)
        .where(
            table.c.id == _ID,
            MEMBERSHIPS.c.user_id == bindparam("user_id", type_=PgUUID),
            ~MEMBERSHIPS.c.removed,
            visible(table),
        )
    )


def _is_for_workers(table: Table) -> ColumnElement[bool]:
    queue = func.jsonb_extract_path_text(table.c.action, literal_column("'job'"), literal_column("'queue'"))
    return or_(is_run_visible(table), queue.is_not(None))


def _page(*tables: tuple[Table, Sequence[ColumnElement[bool]]]) -> Any:
    """The newest runs of each of the user's workspaces by the primary keys, and of those the newest."""
    newest = [
        select(*(table.c[name] for name in FIELDS))
        .where(
            table.c.workspace_id == MEMBERSHIPS.c.workspace_id,
            or_(_BEFORE.is_(None), table.c.id < _BEFORE),
            *conditions,
            is_run_visible(table),
        )
        .order_by(table.c.id.desc())
        .limit(_LIMIT)
        .correlate(MEMBERSHIPS)
        for table, conditions in tables
    ]
    page = union_all(*newest).lateral("page") if len(newest) > 1 else newest[0].lateral("page")
    return statement(
        select(*(page.c[name] for name in FIELDS))
        .select_from(MEMBERSHIPS.join(page, true()))
        .where(
            MEMBERSHIPS.c.user_id == bindparam("user_id", type_=PgUUID),
            ~MEMBERSHIPS.c.removed,
            or_(_WORKSPACE.is_(None), MEMBERSHIPS.c.workspace_id == _WORKSPACE),
        )
        .order_by(page.c.id.desc())
        .limit(_LIMIT)
    )


_FIND = statement(union_all(_of_members(RUNS), _of_members(HISTORY)))
_FIND_JOB = statement(union_all(_of_members(RUNS, _is_for_workers), _of_members(HISTORY, _is_for_workers)))
_LOCK_OPEN = statement(_of_members(RUNS).where(RUNS.c.finished_at.is_(None)).with_for_update(of=RUNS))
_LOCK_ENDED = statement(_of_members(HISTORY).with_for_update(of=HISTORY))
_NEWEST = _page(*((table, [or_(_STATUS.is_(None), table.c.status == _STATUS)]) for table in (RUNS, HISTORY)))
_DEAD = _page(
    (
        HISTORY,
        [
            # As a constant, which the index of the failed asks for.
            HISTORY.c.status == literal_column(f"'{Status.FAILED}'"),
            ~select(literal_column("1"))
            .where(ORIGINS.c.workspace_id == HISTORY.c.workspace_id, ORIGINS.c.retry_of == HISTORY.c.id)
            .exists(),
        ],
    )
)
_CANCEL = statement(
    to_history(
        delete(RUNS)
        .where(RUNS.c.workspace_id == _WORKSPACE, RUNS.c.id == _ID)
        .returning(
            *as_it_ended(
                status=literal_column(f"'{Status.CANCELLED}'"),
                finished_at=bindparam("finished_at", type_=_INSTANT),
                error=bindparam("error", type_=Text),
            )
        )
        .cte("ended")
    ).returning(*(HISTORY.c[name] for name in FIELDS))
)
_AMONG = statement(
    union_all(
        *(
            select(table.c.id).where(
                table.c.workspace_id == _WORKSPACE,
                table.c.id == func.any(bindparam("ids", type_=ARRAY(PgUUID))),
                is_run_visible(table),
            )
            for table in (RUNS, HISTORY)
        )
    )
)
_WAIT = statement(insert(WAITS).values({column.name: bindparam(column.name) for column in WAITS.c}))
_READY = (
    select(WAITS.c.workspace_id, WAITS.c.run_id)
    .outerjoin(RUNS, and_(RUNS.c.workspace_id == WAITS.c.workspace_id, RUNS.c.id == WAITS.c.after_id))
    .group_by(WAITS.c.workspace_id, WAITS.c.run_id)
    # What an older replica has ended is there still.
    .having(func.count(RUNS.c.id).filter(RUNS.c.finished_at.is_(None)) == 0)
    .limit(_LIMIT)
    .cte("ready")
)
_DONE = (
    delete(WAITS)
    .where(WAITS.c.workspace_id == _READY.c.workspace_id, WAITS.c.run_id == _READY.c.run_id)
    .returning(WAITS.c.workspace_id, WAITS.c.run_id)
    .cte("done")
)
_LET_START = statement(
    update(RUNS)
    .where(
        RUNS.c.workspace_id == _DONE.c.workspace_id,
        RUNS.c.id == _DONE.c.run_id,
        RUNS.c.buffered,
    )
    .values(buffered=false(), available_at=func.greatest(RUNS.c.nominal_time, bindparam("now", type_=_INSTANT)))
)
_RECORD_REQUEST = statement(
    insert(REQUESTS).values({column.name: bindparam(column.name) for column in REQUESTS.c}).on_conflict_do_nothing()
)
_GET_REQUEST = statement(
    select(REQUESTS.c.fingerprint, REQUESTS.c.run_id).where(
        REQUESTS.c.workspace_id == _WORKSPACE,
        REQUESTS.c.user_id == bindparam("user_id"),
        REQUESTS.c.request_id == bindparam("request_id"),
    )
)
_POINT_REQUEST = statement(
    update(REQUESTS)
    .where(
        REQUESTS.c.workspace_id == bindparam("of_workspace", type_=PgUUID),
        REQUESTS.c.user_id == bindparam("of_user", type_=PgUUID),
        REQUESTS.c.request_id == bindparam("of_request", type_=Text),
    )
    .values(run_id=bindparam("run_id", type_=PgUUID))
)
_RETRY_OF = statement(
    select(ORIGINS.c.run_id).where(ORIGINS.c.workspace_id == _WORKSPACE, ORIGINS.c.retry_of == _ID).limit(1)
)


async def find(reader: Reader, *, user_id: UUID, run_id: UUID) -> tuple[Run, str] | None:
    """The run, if the user may see it, and their role in its workspace."""
    return _with_role(await reader.fetch(_FIND, user_id=user_id, id=run_id))


async def find_job(reader: Reader, *, user_id: UUID, run_id: UUID) -> tuple[Run, str] | None:
    """As `find`, for workers: who works for a queue knows what is in it, whatever projects that came of."""
    return _with_role(await reader.fetch(_FIND_JOB, user_id=user_id, id=run_id))


async def lock_open(work: UnitOfWork, *, user_id: UUID, run_id: UUID) -> tuple[Run, str] | None:
    """As `find`, of runs that have not ended, locked until the transaction ends."""
    return _with_role(await work.fetch(_LOCK_OPEN, user_id=user_id, id=run_id))


async def lock_ended(work: UnitOfWork, *, user_id: UUID, run_id: UUID) -> tuple[Run, str] | None:
    """As `find`, of runs that have ended, locked until the transaction ends."""
    return _with_role(await work.fetch(_LOCK_ENDED, user_id=user_id, id=run_id))


async def page(
    reader: Reader,
    *,
    user_id: UUID,
    workspace_id: UUID | None,
    status: Status | None,
    limit: int,
    before: UUID | None,
) -> Sequence[Run]:
    """The newest runs that the user may see, at most `limit`, older than `before`."""
    rows = await reader.fetch(
        _NEWEST, user_id=user_id, workspace_id=workspace_id, status=status, limit=limit, before=before
    )
    return [run_of(row) for row in rows]


async def dead(
    reader: Reader, *, user_id: UUID, workspace_id: UUID | None, limit: int, before: UUID | None
) -> Sequence[Run]:
    """The newest runs that have failed and have not been tried once more, at most `limit`, older than `before`."""
    rows = await reader.fetch(_DEAD, user_id=user_id, workspace_id=workspace_id, limit=limit, before=before)
    return [run_of(row) for row in rows]


async def cancel(work: UnitOfWork, run: Run, *, error: str, finished_at: datetime) -> Run:
    """End a locked run; its holder, if it has one, is fenced off."""
    row = await work.fetch_one(_CANCEL, workspace_id=run.workspace_id, id=run.id, error=error, finished_at=finished_at)
    if row is None:
        raise LookupError("a locked run is gone")
    return run_of(row)


async def strangers(reader: Reader, *, user_id: UUID, workspace_id: UUID, run_ids: Sequence[UUID]) -> Sequence[UUID]:
    """Those of the ids that are of no run of the workspace that the user may see."""
    rows = await reader.fetch(_AMONG, user_id=user_id, workspace_id=workspace_id, ids=list(run_ids))
    return sorted(set(run_ids) - {row["id"] for row in rows})


async def wait_for(work: UnitOfWork, run: Run, after: Sequence[UUID]) -> None:
    """Note what a new run waits for."""
    await work.execute_many(
        _WAIT, [{"workspace_id": run.workspace_id, "run_id": run.id, "after_id": each} for each in after]
    )


async def let_start(work: UnitOfWork, *, now: datetime, limit: int) -> int:
    """Let runs start whose others have ended, or at the time they were ordered for; returns how many."""
    return await work.execute(_LET_START, now=now, limit=limit)


async def record_request(
    work: UnitOfWork,
    *,
    workspace_id: UUID,
    user_id: UUID,
    request_id: str,
    fingerprint: bytes,
    run_id: UUID,
    now: datetime,
) -> tuple[bytes, UUID] | None:
    """Remember that this call makes this run.

    Returns:
        None when the call is new; else the fingerprint and the run of the first call with this request id, which
        another transaction has committed.
    """
    key = {"workspace_id": workspace_id, "user_id": user_id, "request_id": request_id}
    if await work.execute(_RECORD_REQUEST, **key, fingerprint=fingerprint, run_id=run_id, created_at=now):
        return None
    row = await work.fetch_one(_GET_REQUEST, **key)
    if row is None:
        raise LookupError("a request that conflicted is gone")
    return row["fingerprint"], row["run_id"]


async def point_request(work: UnitOfWork, *, user_id: UUID, request_id: str, run: Run) -> None:
    """Let a call that has been recorded stand for another run."""
    await work.execute(
        _POINT_REQUEST, of_workspace=run.workspace_id, of_user=user_id, of_request=request_id, run_id=run.id
    )


async def retry_of(reader: Reader, run: Run) -> UUID | None:
    """A run that takes the action of a run once more, if there is one."""
    found: UUID | None = await reader.fetch_value(_RETRY_OF, workspace_id=run.workspace_id, id=run.id)
    return found


def _with_role(rows: Sequence[Any]) -> tuple[Run, str] | None:
    return (run_of(rows[0]), rows[0]["role"]) if rows else None
