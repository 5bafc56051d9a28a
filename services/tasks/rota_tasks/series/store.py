"""Series in PostgreSQL.

A series is found by way of its tasks, which are scoped to the workspaces that the caller belongs to. Its row is locked
after those of its tasks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota_chassis.memberships import MEMBERSHIPS
from rota_chassis.postgres.statements import statement
from sqlalchemy import Boolean, Column, Integer, MetaData, Table, Text, and_, bindparam, exists, func, or_, select
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_tasks.labels.store import LABELS
from rota_tasks.projects.access import is_visible, may_write, role_in
from rota_tasks.series import occurrences
from rota_tasks.series.messages import series_json, series_of_json
from rota_tasks.series.occurrences import OCCURRENCES
from rota_tasks.tasks.domain import OPEN
from rota_tasks.tasks.tables import TASKS, is_favourite, own, shown, task_of_row

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from rota_chassis.postgres.work import Reader, UnitOfWork

    from rota_tasks.series.domain import Series, SeriesEvent
    from rota_tasks.tasks.domain import Task

SERIES = Table(
    "task_series",
    MetaData(),
    Column("workspace_id", PgUUID, primary_key=True),
    Column("id", PgUUID, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("data", JSONB, nullable=False),
)
_WORKSPACE, _SERIES = bindparam("workspace_id", type_=PgUUID), bindparam("series_id", type_=PgUUID)
_GET = select(SERIES.c.data).where(SERIES.c.workspace_id == _WORKSPACE, SERIES.c.id == _SERIES)
_READ, _LOCK = statement(_GET), statement(_GET.with_for_update())
_NEW = insert(SERIES).values({column.name: bindparam(column.name) for column in SERIES.c})
_SAVE = statement(
    _NEW.on_conflict_do_update(
        index_elements=[SERIES.c.workspace_id, SERIES.c.id],
        set_={name: _NEW.excluded[name] for name in ("version", "data")},
    )
)
_FROM = bindparam("since", type_=Text)
_LOCK_TASKS = statement(
    select(*shown(TASKS), is_favourite(TASKS), role_in(TASKS.c.project_id))
    .join_from(TASKS, MEMBERSHIPS, TASKS.c.workspace_id == MEMBERSHIPS.c.workspace_id)
    .where(
        TASKS.c.workspace_id == _WORKSPACE,
        TASKS.c.series_id == _SERIES,
        or_(
            TASKS.c.id == bindparam("id", type_=PgUUID),
            and_(
                or_(_FROM.is_(None), TASKS.c.occurrence >= _FROM),
                may_write(TASKS.c.project_id),
                or_(bindparam("closed_too", type_=Boolean), *(TASKS.c.status == each.value for each in sorted(OPEN))),
            ),
        ),
        MEMBERSHIPS.c.user_id == bindparam("user_id", type_=PgUUID),
        ~MEMBERSHIPS.c.removed,
    )
    .order_by(TASKS.c.id)
    .with_for_update(of=TASKS)
)
_AFTER = bindparam("after", type_=Text)
_PAGE = statement(
    select(OCCURRENCES.c.occurrence, OCCURRENCES.c.task_id, TASKS.c.status)
    .join_from(
        OCCURRENCES,
        TASKS,
        and_(
            TASKS.c.workspace_id == OCCURRENCES.c.workspace_id,
            TASKS.c.id == OCCURRENCES.c.task_id,
            is_visible(TASKS.c.project_id),
        ),
        isouter=True,
    )
    .where(
        OCCURRENCES.c.workspace_id == _WORKSPACE,
        OCCURRENCES.c.series_id == _SERIES,
        or_(_AFTER.is_(None), OCCURRENCES.c.occurrence > _AFTER),
    )
    .order_by(OCCURRENCES.c.occurrence)
    .limit(bindparam("limit", type_=Integer))
)
_FIND = statement(
    select(OCCURRENCES.c.task_id).where(
        OCCURRENCES.c.workspace_id == _WORKSPACE,
        OCCURRENCES.c.series_id == _SERIES,
        OCCURRENCES.c.occurrence == bindparam("occurrence", type_=Text),
    )
)
_EXISTS = statement(
    select(
        exists().where(
            OCCURRENCES.c.workspace_id == _WORKSPACE,
            OCCURRENCES.c.series_id == _SERIES,
            OCCURRENCES.c.occurrence == bindparam("occurrence", type_=Text),
        )
    )
)
_NEWEST = statement(
    select(*own(TASKS))
    .where(TASKS.c.workspace_id == _WORKSPACE, TASKS.c.series_id == _SERIES)
    .order_by(TASKS.c.occurrence.desc())
    .limit(1)
)
_IDS = bindparam("ids", type_=ARRAY(PgUUID))
_MEMBERS = statement(
    select(MEMBERSHIPS.c.user_id.label("id")).where(
        MEMBERSHIPS.c.workspace_id == _WORKSPACE,
        MEMBERSHIPS.c.user_id == func.any(_IDS),
        ~MEMBERSHIPS.c.removed,
        role_in(bindparam("project_id", type_=PgUUID)).element.is_not(None),
    )
)
_LABELS = statement(select(LABELS.c.id).where(LABELS.c.workspace_id == _WORKSPACE, LABELS.c.id == func.any(_IDS)))


async def get(reader: Reader, *, workspace_id: UUID, series_id: UUID) -> Series | None:
    """The series."""
    data = await reader.fetch_value(_READ, workspace_id=workspace_id, series_id=series_id)
    return None if data is None else series_of_json(data)


async def lock(work: UnitOfWork, *, workspace_id: UUID, series_id: UUID) -> Series | None:
    """The series, locked until the transaction ends."""
    data = await work.fetch_value(_LOCK, workspace_id=workspace_id, series_id=series_id)
    return None if data is None else series_of_json(data)


async def lock_tasks(
    work: UnitOfWork, task: Task, *, user_id: UUID, since: str | None, closed_too: bool
) -> tuple[Sequence[Task], str] | None:
    """The open tasks of the series that a task is of, itself in any case, and the user's role there.

    They are locked in one order. Those that are where the user may not write stay as they are.

    Args:
        work: The transaction.
        task: One of them, as it was seen.
        user_id: Who asks.
        since: From this occurrence on; None for all.
        closed_too: Whether also those that are done or cancelled.

    Returns:
        None when the task is not of that series any more, or not for the user.
    """
    rows = await work.fetch(
        _LOCK_TASKS,
        workspace_id=task.workspace_id,
        series_id=task.series_id,
        id=task.id,
        user_id=user_id,
        since=since,
        closed_too=closed_too,
    )
    role = next((row["role"] for row in rows if row["id"] == task.id), None)
    return None if role is None else ([task_of_row(row) for row in rows], role)


async def page(
    reader: Reader, *, user_id: UUID, workspace_id: UUID, series_id: UUID, after: str | None, limit: int
) -> Sequence[tuple[str, UUID | None, str | None]]:
    """The occurrences that were, after one of them, at most `limit`: name, task, and its status if the user sees it."""
    scope = {"user_id": user_id, "workspace_id": workspace_id, "series_id": series_id}
    rows = await reader.fetch(_PAGE, **scope, after=after, limit=limit)
    return [(row["occurrence"], row["task_id"], row["status"]) for row in rows]


async def task_of(reader: Reader, *, workspace_id: UUID, series_id: UUID, occurrence: str) -> UUID | None:
    """The task of an occurrence, if it has had one."""
    task_id: UUID | None = await reader.fetch_value(
        _FIND, workspace_id=workspace_id, series_id=series_id, occurrence=occurrence
    )
    return task_id


async def has(reader: Reader, *, workspace_id: UUID, series_id: UUID, occurrence: str) -> bool:
    """Whether there has been such an occurrence."""
    found: bool = await reader.fetch_value(
        _EXISTS, workspace_id=workspace_id, series_id=series_id, occurrence=occurrence
    )
    return found


async def newest_task(reader: Reader, *, workspace_id: UUID, series_id: UUID) -> Task | None:
    """The task of the newest occurrence that has one which lives."""
    row = await reader.fetch_one(_NEWEST, workspace_id=workspace_id, series_id=series_id)
    return None if row is None else task_of_row(row)


async def members(
    reader: Reader, *, workspace_id: UUID, project_id: UUID | None, user_ids: Sequence[UUID]
) -> tuple[UUID, ...]:
    """Those of the users who are known to belong to the workspace, and see the project, in the order given."""
    return await _among(reader, _MEMBERS, workspace_id, user_ids, project_id=project_id)


async def labels(reader: Reader, *, workspace_id: UUID, label_ids: Sequence[UUID]) -> tuple[UUID, ...]:
    """Those of the labels that the workspace has, in the order given."""
    return await _among(reader, _LABELS, workspace_id, label_ids)


async def add(work: UnitOfWork, several: Sequence[Series]) -> None:
    """Write new series, in one round trip."""
    await work.execute_many(_SAVE, [_row(each) for each in several])


async def project(work: UnitOfWork, event: SeriesEvent) -> None:
    """Bring the row up to date with an event; the rebuild uses the same function."""
    series = event.series
    await work.execute(_SAVE, **_row(series))
    await occurrences.write_skipped(work, series)


def _row(series: Series) -> dict[str, Any]:
    return {
        "workspace_id": series.workspace_id,
        "id": series.id,
        "version": series.version,
        "data": series_json(series),
    }


async def _among(reader: Reader, query: Any, workspace_id: UUID, ids: Sequence[UUID], **more: Any) -> tuple[UUID, ...]:
    if not ids:
        return ()
    found = {row["id"] for row in await reader.fetch(query, workspace_id=workspace_id, ids=list(ids), **more)}
    return tuple(each for each in ids if each in found)
