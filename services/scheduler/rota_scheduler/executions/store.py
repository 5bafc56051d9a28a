"""Actions of tasks in PostgreSQL: what the newest version of each task wants, and the secrets that actions hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota_chassis.events.log import EVENTS
from rota_chassis.memberships import MEMBERSHIPS
from rota_chassis.postgres.statements import statement
from sqlalchemy import (
    Column,
    DateTime,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    and_,
    bindparam,
    case,
    delete,
    func,
    literal_column,
    null,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_scheduler.executions.domain import Fired
from rota_scheduler.runs.domain import Status
from rota_scheduler.runs.tables import FIELDS, RUNS, given, run_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from rota_chassis.postgres.work import Reader, UnitOfWork

    from rota_scheduler.executions.domain import Armed, Due
    from rota_scheduler.runs.domain import Run

METADATA = MetaData()
TASK_ACTIONS = Table(
    "task_actions",
    METADATA,
    Column("workspace_id", PgUUID, primary_key=True),
    Column("task_id", PgUUID, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("action_id", PgUUID),
    Column("acts_for", PgUUID),
    Column("action", JSONB),
    Column("fire_at", DateTime(timezone=True)),
    Column("causation_depth", SmallInteger, nullable=False),
    Column("fired_action_id", PgUUID),
    Column("fired_for", DateTime(timezone=True)),
    Column("run_id", PgUUID),
    Column("project_id", PgUUID),
)
ACTION_SECRETS = Table(
    "action_secrets",
    METADATA,
    Column("workspace_id", PgUUID, primary_key=True),
    Column("id", PgUUID, primary_key=True),
    Column("action", JSONB, nullable=False),
)
# Bits of a UUIDv7 below its milliseconds.
_BELOW_TIME = 80
_KEY = ("workspace_id", "task_id")
_TOLD = ("version", "action_id", "acts_for", "action", "fire_at", "causation_depth", "project_id")
_NEW = insert(TASK_ACTIONS).values({name: bindparam(name) for name in (*_KEY, *_TOLD)})
_HAS_FIRED = and_(
    _NEW.excluded.fire_at == TASK_ACTIONS.c.fired_for, _NEW.excluded.action_id == TASK_ACTIONS.c.fired_action_id
)
_ARM = statement(
    _NEW.on_conflict_do_update(
        index_elements=list(_KEY),
        set_={
            **{name: _NEW.excluded[name] for name in _TOLD},
            "fire_at": case((_HAS_FIRED, null()), else_=_NEW.excluded.fire_at),
        },
        where=TASK_ACTIONS.c.version < _NEW.excluded.version,
    ).returning(TASK_ACTIONS.c.run_id, TASK_ACTIONS.c.fired_action_id, TASK_ACTIONS.c.fired_for)
)
_TAKE = statement(
    select(
        TASK_ACTIONS.c.workspace_id,
        TASK_ACTIONS.c.task_id,
        TASK_ACTIONS.c.action_id,
        TASK_ACTIONS.c.acts_for,
        func.coalesce(ACTION_SECRETS.c.action, TASK_ACTIONS.c.action).label("action"),
        TASK_ACTIONS.c.fire_at,
        TASK_ACTIONS.c.causation_depth,
        TASK_ACTIONS.c.project_id,
        MEMBERSHIPS.c.role,
    )
    .join_from(
        TASK_ACTIONS,
        ACTION_SECRETS,
        and_(
            ACTION_SECRETS.c.workspace_id == TASK_ACTIONS.c.workspace_id,
            ACTION_SECRETS.c.id == TASK_ACTIONS.c.action_id,
        ),
        isouter=True,
    )
    .join(
        MEMBERSHIPS,
        and_(
            MEMBERSHIPS.c.workspace_id == TASK_ACTIONS.c.workspace_id,
            MEMBERSHIPS.c.user_id == TASK_ACTIONS.c.acts_for,
            ~MEMBERSHIPS.c.removed,
        ),
        isouter=True,
    )
    .where(TASK_ACTIONS.c.fire_at <= bindparam("now"))
    .order_by(TASK_ACTIONS.c.fire_at)
    .limit(bindparam("limit", type_=Integer))
    .with_for_update(of=TASK_ACTIONS, skip_locked=True)
)
_FIRED = statement(
    update(TASK_ACTIONS)
    .where(TASK_ACTIONS.c.workspace_id == bindparam("of_workspace"), TASK_ACTIONS.c.task_id == bindparam("of_task"))
    .values(
        fire_at=null(),
        fired_for=TASK_ACTIONS.c.fire_at,
        fired_action_id=TASK_ACTIONS.c.action_id,
        run_id=bindparam("fired_run", type_=PgUUID),
    )
)
_SET_ASIDE = statement(
    update(TASK_ACTIONS)
    .where(
        TASK_ACTIONS.c.workspace_id == bindparam("of_workspace"),
        TASK_ACTIONS.c.task_id == bindparam("of_task"),
        TASK_ACTIONS.c.fire_at == bindparam("due"),
    )
    .values(fire_at=null(), fired_for=TASK_ACTIONS.c.fire_at, fired_action_id=TASK_ACTIONS.c.action_id)
)
_TOLD_OF = given("task_run", workspace_id=PgUUID(), aggregate_id=PgUUID())
_HAVE_FIRED = statement(
    select(EVENTS.c.aggregate_id)
    .join_from(
        EVENTS,
        _TOLD_OF,
        and_(
            EVENTS.c.workspace_id == _TOLD_OF.c.workspace_id,
            EVENTS.c.aggregate_id == _TOLD_OF.c.aggregate_id,
        ),
    )
    .distinct()
)
_NEXT = statement(select(func.min(TASK_ACTIONS.c.fire_at)).where(TASK_ACTIONS.c.fire_at.is_not(None)))
_KEEP = statement(insert(ACTION_SECRETS).values({each.name: bindparam(each.name) for each in ACTION_SECRETS.c}))
_FORGET_SECRETS = statement(
    delete(ACTION_SECRETS).where(
        tuple_(ACTION_SECRETS.c.workspace_id, ACTION_SECRETS.c.id).in_(
            select(ACTION_SECRETS.c.workspace_id, ACTION_SECRETS.c.id)
            .where(
                # The ids grow with time (UUIDv7).
                ACTION_SECRETS.c.id < bindparam("before_id", type_=PgUUID),
                ~select(literal_column("1"))
                .where(
                    TASK_ACTIONS.c.workspace_id == ACTION_SECRETS.c.workspace_id,
                    TASK_ACTIONS.c.action_id == ACTION_SECRETS.c.id,
                )
                .exists(),
            )
            .limit(bindparam("limit", type_=Integer))
            .with_for_update(skip_locked=True)
        )
    )
)
_LOCK_WAITING = statement(
    select(*(RUNS.c[name] for name in FIELDS))
    .where(
        RUNS.c.workspace_id == bindparam("workspace_id", type_=PgUUID),
        RUNS.c.id == bindparam("id", type_=PgUUID),
        RUNS.c.status == literal_column(f"'{Status.PENDING}'"),
    )
    .with_for_update()
)


async def arm(work: UnitOfWork, armed: Armed) -> tuple[bool, Fired | None]:
    """Write what a version of a task wants, unless a later one is known; what has fired does not fire again.

    Returns:
        Whether it was written, and what had fired last.
    """
    row = await work.fetch_one(_ARM, **{name: getattr(armed, name) for name in (*_KEY, *_TOLD)})
    if row is None:
        return False, None
    if row["run_id"] is None:
        return True, None
    return True, Fired(run_id=row["run_id"], action_id=row["fired_action_id"], fired_for=row["fired_for"])


async def take(work: UnitOfWork, *, now: datetime, limit: int) -> Sequence[Mapping[str, Any]]:
    """The rows of at most `limit` actions whose time has come and that nobody else is taking, locked."""
    return list(await work.fetch(_TAKE, now=now, limit=limit))


async def set_aside(work: UnitOfWork, row: Mapping[str, Any]) -> bool:
    """Do not take an action that `take` returned at this time; whether it would have been."""
    of = {"of_workspace": row["workspace_id"], "of_task": row["task_id"]}
    return bool(await work.execute(_SET_ASIDE, **of, due=row["fire_at"]))


async def without_fired(work: UnitOfWork, taken: Sequence[Due]) -> Sequence[Due]:
    """Those that have not fired before: a time may come back after another has fired."""
    if not taken:
        return taken
    rows = await work.fetch(
        _HAVE_FIRED,
        workspace_id=[each.workspace_id for each in taken],
        aggregate_id=[each.told_as for each in taken],
    )
    told_of = {row["aggregate_id"] for row in rows}
    return [each for each in taken if each.told_as not in told_of]


async def fired(work: UnitOfWork, taken: Sequence[Due]) -> None:
    """Note that actions have been taken."""
    await work.execute_many(
        _FIRED,
        [{"of_workspace": each.workspace_id, "of_task": each.task_id, "fired_run": each.run_id} for each in taken],
    )


async def next_due(reader: Reader) -> datetime | None:
    """When the next action is to be taken, over all workspaces."""
    due: datetime | None = await reader.fetch_value(_NEXT)
    return due


async def keep_secrets(work: UnitOfWork, workspace_id: UUID, actions: Mapping[UUID, Mapping[str, Any]]) -> None:
    """Keep actions that hold secrets, by the ids by which tasks know them."""
    await work.execute_many(
        _KEEP,
        [{"workspace_id": workspace_id, "id": each, "action": dict(action)} for each, action in actions.items()],
    )


async def forget_secrets(work: UnitOfWork, *, before: datetime, limit: int) -> int:
    """Forget at most `limit` secrets that were kept before a time and that no task has; returns how many."""
    before_id = UUID(int=int(before.timestamp() * 1000) << _BELOW_TIME)
    return await work.execute(_FORGET_SECRETS, before_id=before_id, limit=limit)


async def lock_waiting(work: UnitOfWork, *, workspace_id: UUID, run_id: UUID) -> Run | None:
    """A run that nobody executes now and that has not ended, locked."""
    row = await work.fetch_one(_LOCK_WAITING, workspace_id=workspace_id, id=run_id)
    return None if row is None else run_of(row)
