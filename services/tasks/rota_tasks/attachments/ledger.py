"""The ledger of what is in the file store: a row for each object, written before the first byte of it.

    pending -> stored     with the event that says so, in one transaction
    pending -> deleted    its upload failed, or its process died and an hour is over
    stored  -> deleted    with the last attachment that has it: by its event, or with its task that left the trash for
                          good
    deleted -> no row     once the object is gone from the file store

An attachment that is copied has the object of the first: `uses` counts them, in the transaction of the event. What is
deleted is used by nobody again.

A workspace's quota counts what is pending, as far as it is reserved, and what is stored. The sum has a row of its own,
which changes in the same transactions, so that parallel uploads take turns on it and never go over together. Whoever
changes both takes the object's row first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.postgres.statements import statement
from sqlalchemy import BigInteger, DateTime, Integer, Text, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PgUUID

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from rota_chassis.postgres.work import Reader, UnitOfWork

_WORKSPACE = bindparam("workspace_id", type_=PgUUID)
_ID = bindparam("id", type_=PgUUID)
_BYTES = bindparam("bytes", type_=BigInteger)
_LIMIT = bindparam("limit", type_=Integer)
_IDS = bindparam("ids", type_=ARRAY(PgUUID))
_USES = bindparam("uses", type_=ARRAY(Integer))

_ADD = statement(
    text(
        """
        INSERT INTO attachment_objects (workspace_id, id, task_id, state, bytes, created_at)
        VALUES (:workspace_id, :id, :task_id, 'pending', :bytes, :now)
        """
    ).bindparams(
        _WORKSPACE,
        _ID,
        _BYTES,
        bindparam("task_id", type_=PgUUID),
        bindparam("now", type_=DateTime(timezone=True)),
    )
)
_CHANGE = statement(
    text(
        """
        UPDATE attachment_objects SET state = :state, bytes = bytes + :bytes
        WHERE workspace_id = :workspace_id AND id = :id AND state = 'pending'
        """
    ).bindparams(_WORKSPACE, _ID, _BYTES, bindparam("state", type_=Text))
)
_TAKE = statement(
    text(
        """
        INSERT INTO attachment_usage (workspace_id, bytes)
        SELECT :workspace_id, :bytes WHERE :bytes <= :quota
        ON CONFLICT (workspace_id) DO UPDATE SET bytes = attachment_usage.bytes + excluded.bytes
            WHERE attachment_usage.bytes + excluded.bytes <= :quota
        """
    ).bindparams(_WORKSPACE, _BYTES, bindparam("quota", type_=BigInteger))
)
_GIVE_BACK = statement(
    text("UPDATE attachment_usage SET bytes = bytes - :bytes WHERE workspace_id = :workspace_id").bindparams(
        _WORKSPACE, _BYTES
    )
)
_RELEASE = """
    WITH gone AS (
        UPDATE attachment_objects SET state = 'deleted' WHERE {which} RETURNING workspace_id, bytes
    ), sums AS (
        SELECT workspace_id, sum(bytes)::bigint AS bytes FROM gone GROUP BY workspace_id
    )
    UPDATE attachment_usage u SET bytes = u.bytes - s.bytes FROM sums s WHERE u.workspace_id = s.workspace_id
"""
_HOLD = statement(
    text(
        """
        SELECT id FROM attachment_objects
        WHERE workspace_id = :workspace_id AND id = ANY(:ids) AND state = 'stored' ORDER BY id FOR UPDATE
        """
    ).bindparams(_WORKSPACE, _IDS)
)
_USE = statement(
    text(
        """
        UPDATE attachment_objects o SET uses = o.uses + a.uses FROM unnest(:ids, :uses) AS a (id, uses)
        WHERE o.workspace_id = :workspace_id AND o.id = a.id
        """
    ).bindparams(_WORKSPACE, _IDS, _USES)
)
_LEAVE = statement(
    text(
        """
        UPDATE attachment_objects o SET uses = greatest(o.uses - a.uses, 0) FROM unnest(:ids, :uses) AS a (id, uses)
        WHERE o.workspace_id = :workspace_id AND o.id = a.id
        """
    ).bindparams(_WORKSPACE, _IDS, _USES)
)
_RELEASE_UNUSED = statement(
    text(
        _RELEASE.format(which="workspace_id = :workspace_id AND id = ANY(:ids) AND state = 'stored' AND uses = 0")
    ).bindparams(_WORKSPACE, _IDS)
)
_RELEASE_PENDING = statement(
    text(_RELEASE.format(which="workspace_id = :workspace_id AND id = :id AND state = 'pending'")).bindparams(
        _WORKSPACE, _ID
    )
)
_RELEASE_OVERDUE = statement(
    text(
        _RELEASE.format(
            which="""(workspace_id, id) IN (
                SELECT workspace_id, id FROM attachment_objects WHERE state = 'pending' AND created_at < :before
                ORDER BY created_at LIMIT :limit FOR UPDATE SKIP LOCKED)"""
        )
    ).bindparams(bindparam("before", type_=DateTime(timezone=True)), _LIMIT)
)
_DELETED = statement(
    text(
        "SELECT workspace_id, id FROM attachment_objects WHERE state = 'deleted' ORDER BY created_at LIMIT :limit"
    ).bindparams(_LIMIT)
)
_FORGET = statement(
    text(
        "DELETE FROM attachment_objects WHERE workspace_id = :workspace_id AND id = :id AND state = 'deleted'"
    ).bindparams(_WORKSPACE, _ID)
)


async def reserve(
    work: UnitOfWork, *, workspace_id: UUID, object_id: UUID, task_id: UUID, size: int, quota: int, now: datetime
) -> bool:
    """Begin an object that will have about `size` bytes; False when the workspace's quota does not allow it."""
    await work.execute(_ADD, workspace_id=workspace_id, id=object_id, task_id=task_id, bytes=size, now=now)
    return bool(await work.execute(_TAKE, workspace_id=workspace_id, bytes=size, quota=quota))


async def reserve_more(work: UnitOfWork, *, workspace_id: UUID, object_id: UUID, size: int, quota: int) -> bool | None:
    """Let a pending object have `size` bytes more; False when the quota does not allow it, None when it is gone."""
    if not await work.execute(_CHANGE, workspace_id=workspace_id, id=object_id, bytes=size, state="pending"):
        return None
    return bool(await work.execute(_TAKE, workspace_id=workspace_id, bytes=size, quota=quota))


async def store(work: UnitOfWork, *, workspace_id: UUID, object_id: UUID, unused: int) -> bool:
    """A pending object is stored, with so many bytes less than reserved; False when it is gone."""
    if not await work.execute(_CHANGE, workspace_id=workspace_id, id=object_id, bytes=-unused, state="stored"):
        return False
    await work.execute(_GIVE_BACK, workspace_id=workspace_id, bytes=unused)
    return True


async def abandon(work: UnitOfWork, *, workspace_id: UUID, object_id: UUID) -> None:
    """A pending object will not be stored."""
    await work.execute(_RELEASE_PENDING, workspace_id=workspace_id, id=object_id)


async def use(work: UnitOfWork, *, workspace_id: UUID, uses: Mapping[UUID, int]) -> Collection[UUID]:
    """Stored objects get so many attachments more; those of them that are stored still."""
    held = await work.fetch(_HOLD, workspace_id=workspace_id, ids=list(uses))
    stored = [row["id"] for row in held]
    await work.execute(_USE, workspace_id=workspace_id, ids=stored, uses=[uses[each] for each in stored])
    return stored


async def release(work: UnitOfWork, *, workspace_id: UUID, uses: Mapping[UUID, int]) -> None:
    """Stored objects have so many attachments less; those that have none are to go."""
    if not uses:
        return
    # In one order, so that two who release several wait for one another.
    await work.fetch(_HOLD, workspace_id=workspace_id, ids=list(uses))
    await work.execute(_LEAVE, workspace_id=workspace_id, ids=list(uses), uses=list(uses.values()))
    await work.execute(_RELEASE_UNUSED, workspace_id=workspace_id, ids=list(uses))


async def release_overdue(work: UnitOfWork, *, before: datetime, limit: int) -> None:
    """Objects that have been pending since before a time are to go, of any workspace, at most `limit`."""
    await work.execute(_RELEASE_OVERDUE, before=before, limit=limit)


async def deleted(reader: Reader, *, limit: int) -> Sequence[tuple[UUID, UUID]]:
    """Workspace and id of objects that are to go, of any workspace, at most `limit`."""
    rows = await reader.fetch(_DELETED, limit=limit)
    return [(row["workspace_id"], row["id"]) for row in rows]


async def forget(work: UnitOfWork, *, workspace_id: UUID, object_id: UUID) -> None:
    """A deleted object is gone from the file store."""
    await work.execute(_FORGET, workspace_id=workspace_id, id=object_id)
