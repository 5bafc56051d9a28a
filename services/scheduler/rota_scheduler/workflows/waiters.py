"""Who waits for events, in PostgreSQL: found by workspace and type. Each row follows from the state of a locked run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota_chassis.postgres.statements import statement
from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    MetaData,
    Table,
    Text,
    and_,
    bindparam,
    delete,
    exists,
    func,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_scheduler.runs.tables import by_column, given
from rota_scheduler.workflows.waits import DECISIONS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from rota_chassis.events.envelope import Event
    from rota_chassis.postgres.work import Reader, UnitOfWork

    from rota_scheduler.workflows.model import WorkflowRun
    from rota_scheduler.workflows.waits import Waiter

WAITERS = Table(
    "workflow_waiters",
    MetaData(),
    Column("workspace_id", PgUUID, primary_key=True),
    Column("workflow_run_id", PgUUID, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("event_type", Text, nullable=False),
    Column("subject", PgUUID),
    Column("condition", Text, nullable=False),
    Column("since", DateTime(timezone=True)),
    Column("acts_for", PgUUID, nullable=False),
)
_WORKSPACE = bindparam("workspace_id", type_=PgUUID)
_NEW = given("new", **{column.name: column.type for column in WAITERS.c})
_ADD = statement(insert(WAITERS).from_select([c.name for c in WAITERS.c], select(*(_NEW.c[c.name] for c in WAITERS.c))))
_REMOVE = statement(
    delete(WAITERS).where(
        WAITERS.c.workspace_id == _WORKSPACE,
        WAITERS.c.workflow_run_id == bindparam("workflow_run_id", type_=PgUUID),
        WAITERS.c.key == func.any(bindparam("keys", type_=ARRAY(Text))),
    )
)
_REMOVE_ALL = statement(
    delete(WAITERS).where(
        WAITERS.c.workspace_id == _WORKSPACE,
        WAITERS.c.workflow_run_id == bindparam("workflow_run_id", type_=PgUUID),
    )
)
_COUNT = statement(
    select(func.count()).where(
        WAITERS.c.workspace_id == _WORKSPACE, WAITERS.c.event_type == bindparam("event_type", type_=Text)
    )
)
_LISTENING = statement(
    select(WAITERS).where(
        WAITERS.c.workspace_id == _WORKSPACE,
        WAITERS.c.event_type == func.any(bindparam("event_types", type_=ARRAY(Text))),
        or_(WAITERS.c.subject.is_(None), WAITERS.c.subject == bindparam("subject", type_=PgUUID)),
        or_(WAITERS.c.since.is_(None), WAITERS.c.since <= bindparam("at", type_=DateTime(timezone=True))),
    )
)
_EVENTS = given(
    "events",
    event_ids=PgUUID(),
    workspace_ids=PgUUID(),
    types=Text(),
    deciding=Boolean(),
    subjects=PgUUID(),
    times=DateTime(timezone=True),
)
_CONCERNED = statement(
    select(_EVENTS.c.event_ids).where(
        exists().where(
            WAITERS.c.workspace_id == _EVENTS.c.workspace_ids,
            or_(WAITERS.c.event_type == _EVENTS.c.types, and_(WAITERS.c.event_type == DECISIONS, _EVENTS.c.deciding)),
            or_(WAITERS.c.subject.is_(None), WAITERS.c.subject == _EVENTS.c.subjects),
            or_(WAITERS.c.since.is_(None), WAITERS.c.since <= _EVENTS.c.times),
        )
    )
)


async def change(work: UnitOfWork, run: WorkflowRun, *, gone: Collection[Waiter], new: Collection[Waiter]) -> None:
    """Write who waits no more and who waits now, of a locked run."""
    if gone:
        keys = [waiter.key for waiter in gone]
        await work.execute(_REMOVE, workspace_id=run.workspace_id, workflow_run_id=run.id, keys=keys)
    if new:
        rows = [
            {
                "workspace_id": run.workspace_id,
                "workflow_run_id": run.id,
                "key": waiter.key,
                "event_type": waiter.event_type,
                "subject": None if waiter.subject is None else UUID(waiter.subject),
                "condition": waiter.where,
                "since": waiter.since,
                "acts_for": run.started_by,
            }
            for waiter in new
        ]
        await work.execute(_ADD, **by_column(rows))


async def remove_all(work: UnitOfWork, *, workspace_id: UUID, run_id: UUID) -> None:
    """Let no step of a locked run wait any more."""
    await work.execute(_REMOVE_ALL, workspace_id=workspace_id, workflow_run_id=run_id)


async def count(reader: Reader, *, workspace_id: UUID, event_type: str) -> int:
    """How many steps of a workspace wait for events of a type."""
    found: int = await reader.fetch_value(_COUNT, workspace_id=workspace_id, event_type=event_type)
    return found


async def concerned(reader: Reader, events: Sequence[Event], *, deciding: Collection[str]) -> Collection[UUID]:
    """The ids of those of the events that a step waits for; those of the types `deciding` may decide approvals."""
    rows = await reader.fetch(
        _CONCERNED,
        event_ids=[event.id for event in events],
        workspace_ids=[event.workspace_id for event in events],
        types=[event.type for event in events],
        deciding=[event.type in deciding for event in events],
        subjects=[event.aggregate_id for event in events],
        times=[event.time for event in events],
    )
    return {row["event_ids"] for row in rows}


async def listening(
    reader: Reader, *, workspace_id: UUID, event_types: Sequence[str], subject: UUID, at: datetime
) -> Sequence[Mapping[str, Any]]:
    """The waiters of a workspace that an event of these types, about this, at this time, may concern."""
    return list(
        await reader.fetch(_LISTENING, workspace_id=workspace_id, event_types=list(event_types), subject=subject, at=at)
    )
