"""Imports in PostgreSQL: the jobs with their progress, the parts of their files, and what has been imported.

A job is seen by the user who started it, as long as they belong to its workspace. The worker claims one under a lease;
whoever writes its progress holds its row and shows the fence of the claim.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rota_chassis.memberships import MEMBERSHIPS, visible_workspaces
from rota_chassis.postgres.statements import statement
from sqlalchemy import (
    Boolean,
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
    func,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_tasks.imports.domain import Count, Format, Import, Problem, Progress, Status

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from rota_chassis.postgres.work import Reader, UnitOfWork

IMPORTS = Table(
    "imports",
    MetaData(),
    Column("workspace_id", PgUUID, primary_key=True),
    Column("id", PgUUID, primary_key=True),
    Column("created_by", PgUUID, nullable=False),
    Column("format", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("project_id", PgUUID),
    Column("dry_run", Boolean, nullable=False),
    Column("people", JSONB, nullable=False),
    Column("columns", JSONB, nullable=False),
    Column("status", Text, nullable=False),
    Column("characters", Integer, nullable=False),
    Column("parts", Integer, nullable=False),
    Column("progress", JSONB, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("finished_at", DateTime(timezone=True)),
    Column("lease_until", DateTime(timezone=True)),
    Column("request_id", Text),
    Column("fingerprint", LargeBinary),
)
PARTS = Table(
    "import_parts",
    MetaData(),
    Column("workspace_id", PgUUID, primary_key=True),
    Column("import_id", PgUUID, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("content", Text, nullable=False),
)
IMPORTED = Table(
    "imported",
    MetaData(),
    Column("workspace_id", PgUUID, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("id", PgUUID, nullable=False),
)
_OWN = tuple(column.name for column in IMPORTS.c if column.name not in ("lease_until", "request_id", "fingerprint"))
_SHOWN = [IMPORTS.c[name] for name in _OWN]
_WORKSPACE, _ID = bindparam("workspace_id", type_=PgUUID), bindparam("id", type_=PgUUID)
_NOW = bindparam("now", type_=DateTime(timezone=True))
_IS_KEY = and_(IMPORTS.c.workspace_id == _WORKSPACE, IMPORTS.c.id == _ID)
_IS_OWN = and_(
    IMPORTS.c.created_by == bindparam("user_id", type_=PgUUID), IMPORTS.c.workspace_id.in_(visible_workspaces())
)
_UNFINISHED = or_(IMPORTS.c.status == Status.QUEUED.value, IMPORTS.c.status == Status.RUNNING.value)

_INSERT = statement(
    insert(IMPORTS)
    .values({column.name: bindparam(column.name, type_=column.type) for column in IMPORTS.c})
    .on_conflict_do_nothing()
)
_FIRST = statement(
    select(IMPORTS.c.id, IMPORTS.c.fingerprint).where(
        IMPORTS.c.workspace_id == _WORKSPACE,
        IMPORTS.c.created_by == bindparam("user_id", type_=PgUUID),
        IMPORTS.c.request_id == bindparam("request_id", type_=Text),
    )
)
_GET = statement(select(*_SHOWN).where(IMPORTS.c.id == _ID, _IS_OWN))
_LOCK = statement(select(*_SHOWN).where(IMPORTS.c.id == _ID, _IS_OWN).with_for_update())
_BEFORE, _IN = bindparam("before", type_=PgUUID), bindparam("in_workspace", type_=PgUUID)
_PAGE = statement(
    select(*_SHOWN)
    .where(_IS_OWN, or_(_BEFORE.is_(None), IMPORTS.c.id < _BEFORE), or_(_IN.is_(None), IMPORTS.c.workspace_id == _IN))
    .order_by(IMPORTS.c.id.desc())
    .limit(bindparam("limit", type_=Integer))
)
_SAVED = ("status", "characters", "parts", "progress", "attempts", "updated_at", "finished_at")
_SAVE = statement(
    update(IMPORTS)
    .where(_IS_KEY)
    .values({name: bindparam(f"new_{name}", type_=IMPORTS.c[name].type) for name in _SAVED})
)
_CLAIMABLE = (
    select(IMPORTS.c.workspace_id, IMPORTS.c.id)
    .where(_UNFINISHED, or_(IMPORTS.c.lease_until.is_(None), IMPORTS.c.lease_until < _NOW))
    .order_by(IMPORTS.c.id)
    .limit(1)
    .with_for_update(skip_locked=True)
    .cte("claimable")
)
_LEASE_UNTIL = bindparam("lease", type_=DateTime(timezone=True))
_CLAIM = statement(
    update(IMPORTS)
    .where(IMPORTS.c.workspace_id == _CLAIMABLE.c.workspace_id, IMPORTS.c.id == _CLAIMABLE.c.id)
    .values(
        status=Status.RUNNING.value,
        fence=IMPORTS.c.fence + 1,
        attempts=IMPORTS.c.attempts + 1,
        lease_until=_LEASE_UNTIL,
    )
    .returning(*_SHOWN)
)
_RENEW = statement(
    update(IMPORTS)
    .where(
        _IS_KEY,
        IMPORTS.c.fence == bindparam("held_fence", type_=Integer),
        IMPORTS.c.status == Status.RUNNING.value,
    )
    .values(lease_until=_LEASE_UNTIL)
)
_RELEASE = statement(
    update(IMPORTS)
    .where(_IS_KEY, IMPORTS.c.fence == bindparam("held_fence", type_=Integer))
    .values(lease_until=_NOW, attempts=bindparam("new_attempts", type_=Integer))
)
_STALE = (
    select(IMPORTS.c.workspace_id, IMPORTS.c.id)
    .where(IMPORTS.c.status == Status.WAITING.value, IMPORTS.c.updated_at < bindparam("stale", type_=_NOW.type))
    .limit(100)
    .with_for_update(skip_locked=True)
    .cte("stale_imports")
)
_GIVE_UP = statement(
    update(IMPORTS)
    .where(IMPORTS.c.workspace_id == _STALE.c.workspace_id, IMPORTS.c.id == _STALE.c.id)
    .values(status=Status.CANCELLED.value, finished_at=_NOW, updated_at=_NOW)
    .returning(IMPORTS.c.workspace_id, IMPORTS.c.id)
)
_IS_PART = and_(PARTS.c.workspace_id == _WORKSPACE, PARTS.c.import_id == _ID)
_ADD_PART = statement(
    insert(PARTS)
    .values(workspace_id=_WORKSPACE, import_id=_ID, number=bindparam("number"), content=bindparam("content"))
    .on_conflict_do_nothing()
)
_GET_PART = statement(select(PARTS.c.content).where(_IS_PART, PARTS.c.number == bindparam("number", type_=Integer)))
_HIGHEST_PART = statement(select(func.coalesce(func.max(PARTS.c.number), 0)).where(_IS_PART))
_PARTS = statement(select(PARTS.c.content).where(_IS_PART).order_by(PARTS.c.number))
_DROP_PARTS = statement(delete(PARTS).where(_IS_PART))
_KNOWN = statement(
    select(IMPORTED.c.key, IMPORTED.c.id).where(
        IMPORTED.c.workspace_id == _WORKSPACE,
        IMPORTED.c.source == bindparam("source"),
        IMPORTED.c.key == func.any(bindparam("keys", type_=ARRAY(Text))),
    )
)
_NEW = (
    func.unnest(bindparam("keys", type_=ARRAY(Text)), bindparam("ids", type_=ARRAY(PgUUID)))
    .table_valued(Column("key", Text), Column("id", PgUUID), name="new")
    .render_derived()
)
_REMEMBERED = insert(IMPORTED).from_select(
    ["workspace_id", "source", "key", "id"],
    select(_WORKSPACE, bindparam("source", type_=Text), _NEW.c.key, _NEW.c.id),
)
_REMEMBER = statement(
    _REMEMBERED.on_conflict_do_update(
        index_elements=["workspace_id", "source", "key"], set_={"id": _REMEMBERED.excluded.id}
    )
)
_MEMBERS = statement(
    select(MEMBERSHIPS.c.user_id)
    .where(MEMBERSHIPS.c.workspace_id == _WORKSPACE, ~MEMBERSHIPS.c.removed)
    .order_by(MEMBERSHIPS.c.user_id)
    .limit(bindparam("limit", type_=Integer))
)


async def insert_job(
    work: UnitOfWork, job: Import, *, request_id: str | None, fingerprint: bytes | None
) -> tuple[UUID, bytes] | None:
    """Add a job.

    Returns:
        None when it is new; else the id and the fingerprint of the first with this request id.
    """
    values = _values(job) | {"request_id": request_id, "fingerprint": fingerprint, "lease_until": None}
    if await work.execute(_INSERT, **values):
        return None
    row = await work.fetch_one(_FIRST, workspace_id=job.workspace_id, user_id=job.created_by, request_id=request_id)
    if row is None:
        raise LookupError("a request that conflicted is gone")
    return row["id"], row["fingerprint"]


async def get(reader: Reader, *, user_id: UUID, import_id: UUID) -> Import | None:
    """The user's import."""
    row = await reader.fetch_one(_GET, user_id=user_id, id=import_id)
    return None if row is None else _job(row)


async def lock(work: UnitOfWork, *, user_id: UUID, import_id: UUID) -> Import | None:
    """The user's import, locked until the transaction ends."""
    row = await work.fetch_one(_LOCK, user_id=user_id, id=import_id)
    return None if row is None else _job(row)


async def page(
    reader: Reader, *, user_id: UUID, workspace_id: UUID | None, limit: int, before: UUID | None
) -> Sequence[Import]:
    """The user's newest imports, at most `limit`, older than `before`."""
    rows = await reader.fetch(_PAGE, user_id=user_id, in_workspace=workspace_id, limit=limit, before=before)
    return [_job(row) for row in rows]


async def save(work: UnitOfWork, job: Import) -> None:
    """Write what changes in the course of a job, whose row is locked."""
    values = _values(job)
    await work.execute(
        _SAVE, workspace_id=job.workspace_id, id=job.id, **{f"new_{name}": values[name] for name in _SAVED}
    )


async def claim(work: UnitOfWork, *, now: datetime, lease_until: datetime) -> Import | None:
    """Take the oldest job that nobody works on."""
    row = await work.fetch_one(_CLAIM, now=now, lease=lease_until)
    return None if row is None else _job(row)


async def renew(work: UnitOfWork, job: Import, *, lease_until: datetime) -> bool:
    """Hold the row and prolong the lease; whether the job is still this claim's, and goes on."""
    renewed = await work.execute(
        _RENEW, workspace_id=job.workspace_id, id=job.id, held_fence=job.fence, lease=lease_until
    )
    return renewed == 1


async def release(work: UnitOfWork, job: Import, *, now: datetime) -> None:
    """Let others claim the job from `now` on, with the attempts that the job says."""
    await work.execute(
        _RELEASE,
        workspace_id=job.workspace_id,
        id=job.id,
        held_fence=job.fence,
        now=now,
        new_attempts=job.attempts,
    )


async def give_up_waiting(work: UnitOfWork, *, now: datetime, stale: datetime) -> None:
    """Cancel jobs that wait for parts and got none since `stale`."""
    for row in await work.fetch(_GIVE_UP, now=now, stale=stale):
        await work.execute(_DROP_PARTS, workspace_id=row["workspace_id"], id=row["id"])


async def add_part(work: UnitOfWork, job: Import, *, number: int, content: str) -> bool:
    """Add a part; whether it is new."""
    return bool(await work.execute(_ADD_PART, workspace_id=job.workspace_id, id=job.id, number=number, content=content))


async def get_part(reader: Reader, job: Import, *, number: int) -> str | None:
    """The content of a part."""
    found: str | None = await reader.fetch_value(_GET_PART, workspace_id=job.workspace_id, id=job.id, number=number)
    return found


async def highest_part(reader: Reader, job: Import) -> int:
    """The highest number of a part; 0 when there is none."""
    number: int = await reader.fetch_value(_HIGHEST_PART, workspace_id=job.workspace_id, id=job.id)
    return number


async def parts(reader: Reader, job: Import) -> Sequence[str]:
    """The file, in its parts."""
    return [row["content"] for row in await reader.fetch(_PARTS, workspace_id=job.workspace_id, id=job.id)]


async def drop_parts(work: UnitOfWork, job: Import) -> None:
    """Forget the file."""
    await work.execute(_DROP_PARTS, workspace_id=job.workspace_id, id=job.id)


async def known(reader: Reader, job: Import, keys: Collection[str]) -> dict[str, UUID]:
    """What has been created from the job's source, by the keys of records."""
    rows = await reader.fetch(_KNOWN, workspace_id=job.workspace_id, source=job.source, keys=list(keys))
    return {row["key"]: row["id"] for row in rows}


async def remember(work: UnitOfWork, job: Import, made: Mapping[str, UUID]) -> None:
    """Remember what has been created from the job's source."""
    if made:
        await work.execute(
            _REMEMBER, workspace_id=job.workspace_id, source=job.source, keys=list(made), ids=list(made.values())
        )


async def members(reader: Reader, workspace_id: UUID, *, limit: int) -> Sequence[UUID]:
    """Who belongs to a workspace, at most `limit`."""
    return [row["user_id"] for row in await reader.fetch(_MEMBERS, workspace_id=workspace_id, limit=limit)]


def _values(job: Import) -> dict[str, Any]:
    return {name: getattr(job, name) for name in _OWN} | {
        "people": dict(job.people),
        "columns": dict(job.columns),
        "progress": asdict(job.progress),
    }


def _job(row: Mapping[str, Any]) -> Import:
    found = row["progress"]
    progress = Progress(
        found["cursor"],
        {kind: Count(**count) for kind, count in found["counts"].items()},
        tuple(Problem(**problem) for problem in found["problems"]),
        found["problem_count"],
    )
    values = {name: row[name] for name in _OWN}
    return Import(**values | {"format": Format(row["format"]), "status": Status(row["status"]), "progress": progress})
