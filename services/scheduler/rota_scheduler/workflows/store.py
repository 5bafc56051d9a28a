"""Workflows in PostgreSQL; what users ask for is scoped to what they may see."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from rota_chassis.memberships import MEMBERSHIPS, newest_visible, visible_workspaces
from rota_chassis.postgres.statements import statement
from sqlalchemy import DateTime, Integer, bindparam, func, null, or_, select, update
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_scheduler.access import is_visible
from rota_scheduler.runs.tables import by_column, given
from rota_scheduler.workflows.tables import (
    ACTIONS,
    RUNS,
    SIGNALS,
    VERSIONS,
    WORKFLOWS,
    failed_json,
    run_of,
    state_json,
    state_of_json,
    workflow_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from rota_chassis.postgres.work import Reader, UnitOfWork
    from sqlalchemy import ColumnElement, Table

    from rota_scheduler.workflows.model import Workflow, WorkflowRun
    from rota_scheduler.workflows.state import State

_WORKSPACE = bindparam("workspace_id", type_=PgUUID)
_ID = bindparam("id", type_=PgUUID)
_NOW = bindparam("now", type_=DateTime(timezone=True))
_WORKFLOW_ID = bindparam("workflow_id", type_=PgUUID)
_BEFORE = bindparam("before", type_=Integer)


def _insert(table: Table) -> Any:
    return insert(table).values({column.name: bindparam(column.name) for column in table.c})


def _mine(table: Table, *conditions: ColumnElement[bool]) -> Any:
    """A row that the user may write, if their role does, and that role."""
    return (
        select(table, MEMBERSHIPS.c.role)
        .join_from(table, MEMBERSHIPS, table.c.workspace_id == MEMBERSHIPS.c.workspace_id)
        .where(table.c.id == _ID, MEMBERSHIPS.c.user_id == bindparam("user_id"), ~MEMBERSHIPS.c.removed, *conditions)
        .with_for_update(of=table)
    )


def _seen(table: Table, *conditions: ColumnElement[bool]) -> Any:
    return select(table).where(table.c.id == _ID, table.c.workspace_id.in_(visible_workspaces()), *conditions)


_ADD = statement(_insert(WORKFLOWS))
_FIND = statement(select(WORKFLOWS).where(WORKFLOWS.c.workspace_id == _WORKSPACE, WORKFLOWS.c.id == _ID))
_ADD_VERSION = statement(_insert(VERSIONS))
_GET = statement(_seen(WORKFLOWS))
_LOCK = statement(_mine(WORKFLOWS))
_SAVE = statement(
    update(WORKFLOWS)
    .where(WORKFLOWS.c.workspace_id == bindparam("of_workspace"), WORKFLOWS.c.id == bindparam("of_id"))
    .values({c.name: bindparam(c.name) for c in WORKFLOWS.c if not c.primary_key})
)
_LIST = statement(newest_visible(WORKFLOWS)[1])
_LIST_VERSIONS = statement(
    select(VERSIONS)
    .where(
        VERSIONS.c.workspace_id == _WORKSPACE,
        VERSIONS.c.id == _ID,
        or_(_BEFORE.is_(None), VERSIONS.c.version < _BEFORE),
    )
    .order_by(VERSIONS.c.version.desc())
    .limit(bindparam("limit", type_=Integer))
)
_ADD_RUN = statement(
    _insert(RUNS).on_conflict_do_nothing(index_elements=[RUNS.c.workspace_id, RUNS.c.workflow_id, RUNS.c.request_key])
)
_REQUESTED = statement(
    select(RUNS).where(
        RUNS.c.workspace_id == _WORKSPACE,
        RUNS.c.workflow_id == _WORKFLOW_ID,
        RUNS.c.request_key == bindparam("request_key"),
    )
)
_GET_RUN = statement(_seen(RUNS, is_visible(RUNS.c.project_ids)))
_LOCK_RUN = statement(_mine(RUNS, is_visible(RUNS.c.project_ids)))
_LOCK_ALONE = statement(select(RUNS).where(RUNS.c.workspace_id == _WORKSPACE, RUNS.c.id == _ID).with_for_update())
# In the order of their ids, so that two that lock some of the same take turns.
_LOCK_SOME = statement(
    select(RUNS)
    .where(RUNS.c.workspace_id == _WORKSPACE, RUNS.c.id == func.any(bindparam("ids", type_=ARRAY(PgUUID))))
    .order_by(RUNS.c.id)
    .with_for_update()
)
_CHILDREN = statement(
    select(ACTIONS.c.run_id, ACTIONS.c.key)
    .join_from(ACTIONS, RUNS, (RUNS.c.workspace_id == ACTIONS.c.workspace_id) & (RUNS.c.id == ACTIONS.c.run_id))
    .where(ACTIONS.c.workspace_id == _WORKSPACE, ACTIONS.c.workflow_run_id == _ID, RUNS.c.finished_at.is_(None))
)
_STATE = statement(select(RUNS.c.state).where(RUNS.c.workspace_id == _WORKSPACE, RUNS.c.id == _ID))
_SAVE_RUN = statement(
    update(RUNS)
    .where(RUNS.c.workspace_id == bindparam("of_workspace"), RUNS.c.id == bindparam("of_id"))
    .values({name: bindparam(name) for name in ("state", "wake_at", "finished_at", "version", "project_ids")})
)
_LIST_RUNS = statement(
    newest_visible(
        RUNS,
        or_(_WORKFLOW_ID.is_(None), RUNS.c.workflow_id == _WORKFLOW_ID),
        is_visible(RUNS.c.project_ids),
    )[1]
)
_TAKE_DUE = statement(
    select(RUNS)
    .where(RUNS.c.wake_at <= _NOW)
    .order_by(RUNS.c.wake_at)
    .limit(bindparam("limit", type_=Integer))
    .with_for_update(skip_locked=True)
)
_FAIL = statement(
    update(RUNS)
    .where(
        RUNS.c.workspace_id == bindparam("of_workspace"),
        RUNS.c.id == bindparam("of_id"),
        RUNS.c.version == bindparam("of_version", type_=Integer),
    )
    .values(
        wake_at=null(),
        finished_at=_NOW,
        version=RUNS.c.version + 1,
        state=bindparam("state", type_=RUNS.c.state.type),
    )
    .returning(RUNS)
)
_REOPEN = statement(update(RUNS).where(RUNS.c.workspace_id == _WORKSPACE, RUNS.c.id == _ID).values(finished_at=null()))
_NEXT = statement(select(func.min(RUNS.c.wake_at)).where(RUNS.c.wake_at.is_not(None)))
_NEW_ACTION = given("action", **{column.name: column.type for column in ACTIONS.c})
_ADD_ACTIONS = statement(
    insert(ACTIONS).from_select([c.name for c in ACTIONS.c], select(*(_NEW_ACTION.c[c.name] for c in ACTIONS.c)))
)
_TAKEN = statement(
    select(ACTIONS.c.run_id).where(
        ACTIONS.c.workspace_id == _WORKSPACE, ACTIONS.c.run_id == func.any(bindparam("ids", type_=ARRAY(PgUUID)))
    )
)
_RECORD_CALL = statement(_insert(SIGNALS).on_conflict_do_nothing())
_ACTION = statement(
    select(ACTIONS).where(ACTIONS.c.workspace_id == _WORKSPACE, ACTIONS.c.run_id == bindparam("run_id"))
)


async def add(work: UnitOfWork, workflow: Workflow) -> None:
    """Write a new workflow."""
    await work.execute(_ADD, **asdict(workflow))
    await work.execute(_ADD_VERSION, **asdict(workflow))


async def save(work: UnitOfWork, workflow: Workflow) -> None:
    """Write the next version of a locked workflow."""
    columns = asdict(workflow)
    await work.execute(_ADD_VERSION, **columns)
    await work.execute(_SAVE, of_workspace=columns.pop("workspace_id"), of_id=columns.pop("id"), **columns)


async def get(reader: Reader, *, user_id: UUID, workflow_id: UUID) -> Workflow | None:
    """The workflow, if the user may see it."""
    row = await reader.fetch_one(_GET, user_id=user_id, id=workflow_id)
    return None if row is None else workflow_of(row)


async def find(reader: Reader, *, workspace_id: UUID, workflow_id: UUID) -> Workflow | None:
    """The workflow of a workspace, whoever asks."""
    row = await reader.fetch_one(_FIND, workspace_id=workspace_id, id=workflow_id)
    return None if row is None else workflow_of(row)


async def lock(work: UnitOfWork, *, user_id: UUID, workflow_id: UUID) -> tuple[Workflow, str] | None:
    """The workflow, locked until the transaction ends, and the user's role in its workspace."""
    row = await work.fetch_one(_LOCK, user_id=user_id, id=workflow_id)
    return None if row is None else (workflow_of(row), row["role"])


async def page(
    reader: Reader, *, user_id: UUID, limit: int, before: UUID | None, workspace_id: UUID | None
) -> Sequence[Workflow]:
    """The newest workflows that the user may see, at most `limit`, older than `before`."""
    rows = await reader.fetch(_LIST, user_id=user_id, limit=limit, before=before, workspace_id=workspace_id)
    return [workflow_of(row) for row in rows]


async def versions(
    reader: Reader, *, workspace_id: UUID, workflow_id: UUID, limit: int, before: int | None
) -> Sequence[Workflow]:
    """The newest versions of a workflow, at most `limit`, lower than `before`."""
    rows = await reader.fetch(_LIST_VERSIONS, workspace_id=workspace_id, id=workflow_id, limit=limit, before=before)
    return [workflow_of(row) for row in rows]


async def add_run(work: UnitOfWork, run: WorkflowRun, *, wake_at: datetime | None = None) -> WorkflowRun | None:
    """Write a new run, to be woken at a time if one is given; the one that has its request key, if there is one."""
    columns = {each.name: getattr(run, each.name) for each in fields(run)}
    columns |= {"state": state_json(run.state), "project_ids": list(run.project_ids), "wake_at": wake_at}
    if await work.execute(_ADD_RUN, **columns):
        return None
    row = await work.fetch_one(
        _REQUESTED, workspace_id=run.workspace_id, workflow_id=run.workflow_id, request_key=run.request_key
    )
    return None if row is None else run_of(row)


async def save_run(work: UnitOfWork, run: WorkflowRun) -> None:
    """Write a locked run as it is now."""
    await work.execute(
        _SAVE_RUN,
        of_workspace=run.workspace_id,
        of_id=run.id,
        state=state_json(run.state),
        wake_at=run.state.wake_at,
        finished_at=run.finished_at,
        version=run.version,
        project_ids=list(run.project_ids),
    )


async def reopen(work: UnitOfWork, run: WorkflowRun) -> None:
    """Let a locked run that had finished count as one that goes on; `save_run` writes the rest."""
    await work.execute(_REOPEN, workspace_id=run.workspace_id, id=run.id)


async def get_run(reader: Reader, *, user_id: UUID, run_id: UUID) -> WorkflowRun | None:
    """The run, if the user may see it."""
    row = await reader.fetch_one(_GET_RUN, user_id=user_id, id=run_id)
    return None if row is None else run_of(row)


async def lock_run(work: UnitOfWork, *, user_id: UUID, run_id: UUID) -> tuple[WorkflowRun, str] | None:
    """The run, locked until the transaction ends, and the user's role in its workspace."""
    row = await work.fetch_one(_LOCK_RUN, user_id=user_id, id=run_id)
    return None if row is None else (run_of(row), row["role"])


async def lock_alone(work: UnitOfWork, *, workspace_id: UUID, run_id: UUID) -> WorkflowRun | None:
    """The run, locked until the transaction ends, whoever asks."""
    row = await work.fetch_one(_LOCK_ALONE, workspace_id=workspace_id, id=run_id)
    return None if row is None else run_of(row)


async def lock_some(work: UnitOfWork, *, workspace_id: UUID, run_ids: Iterable[UUID]) -> Sequence[WorkflowRun]:
    """Those of the runs that there still are, locked until the transaction ends."""
    return [run_of(row) for row in await work.fetch(_LOCK_SOME, workspace_id=workspace_id, ids=list(run_ids))]


async def children(reader: Reader, *, workspace_id: UUID, run_id: UUID) -> Mapping[UUID, str]:
    """The runs that go on within a run, and the keys under which it ordered them."""
    rows = await reader.fetch(_CHILDREN, workspace_id=workspace_id, id=run_id)
    return {row["run_id"]: row["key"] for row in rows}


async def state_of(reader: Reader, *, workspace_id: UUID, run_id: UUID) -> State | None:
    """The state of a run, whoever asks."""
    stored = await reader.fetch_value(_STATE, workspace_id=workspace_id, id=run_id)
    return None if stored is None else state_of_json(stored)


async def page_of_runs(
    reader: Reader,
    *,
    user_id: UUID,
    limit: int,
    before: UUID | None,
    workspace_id: UUID | None,
    workflow_id: UUID | None,
) -> Sequence[WorkflowRun]:
    """The newest runs that the user may see, at most `limit`, older than `before`."""
    rows = await reader.fetch(
        _LIST_RUNS, user_id=user_id, limit=limit, before=before, workspace_id=workspace_id, workflow_id=workflow_id
    )
    return [run_of(row) for row in rows]


async def take_due(work: UnitOfWork, *, now: datetime, limit: int) -> Sequence[Mapping[str, Any]]:
    """Lock at most `limit` runs that have waited long enough and that nobody else has locked; their rows."""
    return list(await work.fetch(_TAKE_DUE, now=now, limit=limit))


async def fail(work: UnitOfWork, row: Mapping[str, Any], *, error: str, now: datetime) -> Mapping[str, Any] | None:
    """End a run as it was taken, whatever its state is; its row as it then is, which can be read."""
    taken = {"of_workspace": row["workspace_id"], "of_id": row["id"], "of_version": row["version"]}
    return await work.fetch_one(_FAIL, **taken, state=failed_json(row["state"], error=error), now=now)


async def next_due(reader: Reader) -> datetime | None:
    """When the next run has waited long enough, over all workspaces."""
    found: datetime | None = await reader.fetch_value(_NEXT)
    return found


async def add_actions(work: UnitOfWork, run: WorkflowRun, keys: Mapping[UUID, str]) -> None:
    """Note which runs take the actions of steps, and which are workflows within it, by their ids."""
    if keys:
        rows = [
            {"workspace_id": run.workspace_id, "run_id": run_id, "workflow_run_id": run.id, "key": key}
            for run_id, key in keys.items()
        ]
        await work.execute(_ADD_ACTIONS, **by_column(rows))


async def taken(reader: Reader, *, workspace_id: UUID, run_ids: Iterable[UUID]) -> frozenset[UUID]:
    """Those of the runs that take actions of steps, or are workflows within a run."""
    rows = await reader.fetch(_TAKEN, workspace_id=workspace_id, ids=list(run_ids))
    return frozenset(row["run_id"] for row in rows)


async def record_call(work: UnitOfWork, run: WorkflowRun, *, request_key: str) -> bool:
    """Note that a locked run has got the signal of a call, or its retry; returns whether it had not before."""
    return bool(
        await work.execute(_RECORD_CALL, workspace_id=run.workspace_id, workflow_run_id=run.id, request_key=request_key)
    )


async def action_of(work: UnitOfWork, *, workspace_id: UUID, run_id: UUID) -> tuple[UUID, str] | None:
    """The workflow run that a run takes an action for, and the action's key."""
    row = await work.fetch_one(_ACTION, workspace_id=workspace_id, run_id=run_id)
    return None if row is None else (row["workflow_run_id"], row["key"])
