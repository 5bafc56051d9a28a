"""Rules and their logs in PostgreSQL; what users ask for is scoped to the workspaces they belong to."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from rota_chassis.memberships import MEMBERSHIPS, newest_visible, visible_workspaces
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
    bindparam,
    delete,
    exists,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_scheduler.access import is_visible
from rota_scheduler.rules.domain import Hold, LogEntry, Outcome, Rule
from rota_scheduler.runs.tables import given

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from rota_chassis.events.envelope import Event
    from rota_chassis.postgres.work import Reader, UnitOfWork

_METADATA = MetaData()
RULES = Table(
    "rules",
    _METADATA,
    Column("workspace_id", PgUUID, primary_key=True),
    Column("id", PgUUID, primary_key=True),
    Column("project_id", PgUUID),
    Column("name", Text, nullable=False),
    Column("events", ARRAY(Text), nullable=False),
    Column("condition", Text, nullable=False),
    Column("actions", JSONB, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("max_per_minute", Integer, nullable=False),
    Column("hold", Text),
    Column("held_at", DateTime(timezone=True)),
    Column("active_since", DateTime(timezone=True), nullable=False),
    Column("window_started_at", DateTime(timezone=True), nullable=False),
    Column("window_count", Integer, nullable=False),
    Column("owner_id", PgUUID, nullable=False),
    Column("created_by", PgUUID, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("version", Integer, nullable=False),
    Column("request_key", Text),
    Column("fingerprint", LargeBinary),
)
LOG = Table(
    "rule_log",
    _METADATA,
    Column("workspace_id", PgUUID, primary_key=True),
    Column("rule_id", PgUUID, primary_key=True),
    Column("id", PgUUID, primary_key=True),
    Column("event_id", PgUUID, nullable=False),
    Column("event_type", Text, nullable=False),
    Column("event_time", DateTime(timezone=True), nullable=False),
    Column("depth", Integer, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("run_ids", ARRAY(PgUUID), nullable=False),
    Column("problems", ARRAY(Text), nullable=False),
    Column("hold", Text),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("project_ids", JSONB),
)
_FIELDS = tuple(each.name for each in fields(Rule))
_LOG_FIELDS = tuple(each.name for each in fields(LogEntry))
_LOG_LISTS = ("run_ids", "problems", "project_ids")
_WORKSPACE = bindparam("workspace_id", type_=PgUUID)
_ID = bindparam("id", type_=PgUUID)
_BEFORE = bindparam("before", type_=PgUUID)
_ONE = (RULES.c.workspace_id == bindparam("of_workspace"), RULES.c.id == bindparam("of_id"))

_ADD = statement(
    insert(RULES)
    .values({column.name: bindparam(column.name) for column in RULES.c})
    .on_conflict_do_nothing(index_elements=[RULES.c.workspace_id, RULES.c.request_key])
)
_REQUESTED = statement(
    select(RULES).where(RULES.c.workspace_id == _WORKSPACE, RULES.c.request_key == bindparam("request_key"))
)
_LOCK_WORKSPACE = statement(select(func.pg_advisory_xact_lock(func.hashtextextended(bindparam("key", type_=Text), 0))))
_COUNT = statement(select(func.count()).select_from(RULES).where(RULES.c.workspace_id == _WORKSPACE))
_GET = statement(select(RULES).where(RULES.c.id == _ID, RULES.c.workspace_id.in_(visible_workspaces())))
_LOCK = statement(
    select(RULES, MEMBERSHIPS.c.role)
    .join_from(RULES, MEMBERSHIPS, RULES.c.workspace_id == MEMBERSHIPS.c.workspace_id)
    .where(RULES.c.id == _ID, MEMBERSHIPS.c.user_id == bindparam("user_id"), ~MEMBERSHIPS.c.removed)
    .with_for_update(of=RULES)
)
_SAVE = statement(
    update(RULES).where(*_ONE).values({name: bindparam(name) for name in _FIELDS if name not in {"workspace_id", "id"}})
)
_DELETE = statement(delete(RULES).where(*_ONE))
_DELETE_LOG = statement(
    delete(LOG).where(LOG.c.workspace_id == bindparam("of_workspace"), LOG.c.rule_id == bindparam("of_id"))
)
_LIST = statement(newest_visible(RULES)[1])
_LISTENING = statement(
    select(RULES).where(
        RULES.c.workspace_id == _WORKSPACE,
        RULES.c.enabled,
        RULES.c.hold.is_(None),
        RULES.c.active_since <= bindparam("at", type_=DateTime(timezone=True)),
        bindparam("event_type", type_=Text) == func.any(RULES.c.events),
    )
)
_EVENTS = given("events", event_ids=PgUUID(), workspace_ids=PgUUID(), types=Text(), times=DateTime(timezone=True))
_CONCERNED = statement(
    select(_EVENTS.c.event_ids).where(
        exists().where(
            RULES.c.workspace_id == _EVENTS.c.workspace_ids,
            RULES.c.enabled,
            RULES.c.hold.is_(None),
            RULES.c.active_since <= _EVENTS.c.times,
            _EVENTS.c.types == func.any(RULES.c.events),
        )
    )
)
# In the order of their ids, so that two events that set off the same rules take turns.
_LOCK_SOME = statement(
    select(RULES)
    .where(RULES.c.workspace_id == _WORKSPACE, RULES.c.id == func.any(bindparam("ids", type_=ARRAY(PgUUID))))
    .order_by(RULES.c.id)
    .with_for_update()
)
_LOG = statement(insert(LOG).values({name: bindparam(name) for name in _LOG_FIELDS}))
_LIST_LOG = statement(
    select(LOG)
    .where(
        LOG.c.workspace_id == _WORKSPACE,
        LOG.c.rule_id == bindparam("rule_id", type_=PgUUID),
        or_(_BEFORE.is_(None), LOG.c.id < _BEFORE),
        is_visible(LOG.c.project_ids),
    )
    .order_by(LOG.c.id.desc())
    .limit(bindparam("limit", type_=Integer))
)


async def count(work: UnitOfWork, *, workspace_id: UUID) -> int:
    """How many rules a workspace has; nobody else adds one until the transaction ends."""
    await work.fetch(_LOCK_WORKSPACE, key=f"rules {workspace_id}")
    found: int = await work.fetch_value(_COUNT, workspace_id=workspace_id)
    return found


async def requested(reader: Reader, *, workspace_id: UUID, request_key: str) -> tuple[Rule, bytes] | None:
    """The rule that a call with this key made, and the call's fingerprint."""
    row = await reader.fetch_one(_REQUESTED, workspace_id=workspace_id, request_key=request_key)
    return None if row is None else (_rule(row), row["fingerprint"])


async def add(work: UnitOfWork, rule: Rule, *, request_key: str | None, fingerprint: bytes | None) -> bool:
    """Write a new rule; returns whether it was written, and not another with its request key before."""
    return bool(await work.execute(_ADD, **_columns(rule), request_key=request_key, fingerprint=fingerprint))


async def get(reader: Reader, *, user_id: UUID, rule_id: UUID) -> Rule | None:
    """The rule, if the user may see it."""
    row = await reader.fetch_one(_GET, user_id=user_id, id=rule_id)
    return None if row is None else _rule(row)


async def lock(work: UnitOfWork, *, user_id: UUID, rule_id: UUID) -> tuple[Rule, str] | None:
    """The rule, locked until the transaction ends, and the user's role in its workspace."""
    row = await work.fetch_one(_LOCK, user_id=user_id, id=rule_id)
    return None if row is None else (_rule(row), row["role"])


async def save(work: UnitOfWork, rule: Rule) -> None:
    """Write a locked rule as it is now."""
    columns = _columns(rule)
    await work.execute(_SAVE, of_workspace=columns.pop("workspace_id"), of_id=columns.pop("id"), **columns)


async def remove(work: UnitOfWork, rule: Rule) -> None:
    """Delete a rule and its log."""
    await work.execute(_DELETE_LOG, of_workspace=rule.workspace_id, of_id=rule.id)
    await work.execute(_DELETE, of_workspace=rule.workspace_id, of_id=rule.id)


async def page(
    reader: Reader, *, user_id: UUID, limit: int, before: UUID | None, workspace_id: UUID | None
) -> Sequence[Rule]:
    """The newest rules that the user may see, at most `limit`, older than `before`."""
    rows = await reader.fetch(_LIST, user_id=user_id, limit=limit, before=before, workspace_id=workspace_id)
    return [_rule(row) for row in rows]


async def listening(reader: Reader, *, workspace_id: UUID, event_type: str, at: datetime) -> Sequence[Rule]:
    """The rules of a workspace that wait for events of a type, those that a time is not too early for."""
    rows = await reader.fetch(_LISTENING, workspace_id=workspace_id, event_type=event_type, at=at)
    return [_rule(row) for row in rows]


async def concerned(reader: Reader, events: Sequence[Event]) -> Collection[UUID]:
    """The ids of those of the events that a rule waits for."""
    rows = await reader.fetch(
        _CONCERNED,
        event_ids=[event.id for event in events],
        workspace_ids=[event.workspace_id for event in events],
        types=[event.type for event in events],
        times=[event.time for event in events],
    )
    return {row["event_ids"] for row in rows}


async def lock_some(work: UnitOfWork, *, workspace_id: UUID, rule_ids: Sequence[UUID]) -> Sequence[Rule]:
    """The rules that there still are, locked until the transaction ends."""
    return [_rule(row) for row in await work.fetch(_LOCK_SOME, workspace_id=workspace_id, ids=list(rule_ids))]


async def log(work: UnitOfWork, entry: LogEntry) -> None:
    """Write what came of an event."""
    values = {name: getattr(entry, name) for name in _LOG_FIELDS}
    lists = {name: list(values[name]) for name in _LOG_LISTS}
    await work.execute(_LOG, **values | lists)


async def page_of_log(
    reader: Reader, *, user_id: UUID, workspace_id: UUID, rule_id: UUID, limit: int, before: UUID | None
) -> Sequence[LogEntry]:
    """The newest entries of a rule's log that the user may see, at most `limit`, older than `before`."""
    rows = await reader.fetch(
        _LIST_LOG, user_id=user_id, workspace_id=workspace_id, rule_id=rule_id, limit=limit, before=before
    )
    return [_entry(row) for row in rows]


def _columns(rule: Rule) -> dict[str, Any]:
    columns = {name: getattr(rule, name) for name in _FIELDS}
    return columns | {"events": list(rule.events), "actions": list(rule.actions)}


def _rule(row: Mapping[str, Any]) -> Rule:
    values = {name: row[name] for name in _FIELDS}
    values |= {"events": tuple(row["events"]), "actions": tuple(row["actions"])}
    return Rule(**values | {"hold": Hold(row["hold"]) if row["hold"] else None})


def _entry(row: Mapping[str, Any]) -> LogEntry:
    values = {name: row[name] for name in _LOG_FIELDS}
    values |= {name: tuple(row[name] or ()) for name in _LOG_LISTS}
    return LogEntry(**values | {"outcome": Outcome(row["outcome"]), "hold": Hold(row["hold"]) if row["hold"] else None})
