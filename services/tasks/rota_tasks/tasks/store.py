"""Tasks in PostgreSQL: the read table, and the record of calls that carried a request id.

Every query is scoped to the workspaces that the caller belongs to.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota_chassis.events.log import DATA, EVENTS, data_of
from rota_chassis.memberships import MEMBERSHIPS, newest_visible, visible_workspaces
from rota_chassis.postgres.statements import statement
from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    Integer,
    Text,
    bindparam,
    cast,
    delete,
    exists,
    func,
    or_,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_tasks.executions.messages import execution_json
from rota_tasks.keys.tables import tasks_with
from rota_tasks.labels.store import LABELS
from rota_tasks.projects.access import is_visible, role_in
from rota_tasks.requests.store import Records
from rota_tasks.search import documents
from rota_tasks.series import occurrences
from rota_tasks.series.recurrence_messages import recurrence_json
from rota_tasks.tasks import favourites
from rota_tasks.tasks.domain import TaskCreated
from rota_tasks.tasks.messages import task_of
from rota_tasks.tasks.tables import (
    DERIVED,
    FIELDS,
    KEY,
    LISTS,
    TASKS,
    is_favourite,
    shown,
    task_of_row,
)
from rota_tasks.trash.tables import TRASH

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from rota_chassis.postgres.work import Reader, UnitOfWork

    from rota_tasks.tasks.domain import Standing, Task, TaskEvent

_IS_VISIBLE = is_visible(TASKS.c.project_id)
_GET = statement(
    select(*shown(TASKS), is_favourite(TASKS)).where(
        TASKS.c.id == bindparam("id"), TASKS.c.workspace_id.in_(visible_workspaces()), _IS_VISIBLE
    )
)
_IN_WORKSPACE = bindparam("workspace_id", type_=PgUUID)
_GET_BY_KEY = statement(
    select(*shown(TASKS), is_favourite(TASKS)).where(
        TASKS.c.workspace_id == _IN_WORKSPACE,
        TASKS.c.workspace_id.in_(visible_workspaces()),
        TASKS.c.id.in_(tasks_with(bindparam("keys", type_=ARRAY(Text)), _IN_WORKSPACE)),
        _IS_VISIBLE,
    )
)
_STANDING = statement(
    select(*shown(TASKS, to_user=False)).where(
        TASKS.c.workspace_id == _IN_WORKSPACE, TASKS.c.id == bindparam("id", type_=PgUUID)
    )
)
_PURGED = EVENTS.alias("purged")
# The past of a task is seen by who sees the task now, alive or in the trash, and saw what it was in then.
_AS_OF = statement(
    select(*DATA, (~is_visible(cast(EVENTS.c.data["task"]["project_id"].astext, PgUUID))).label("hidden"))
    .where(
        or_(
            exists().where(
                TASKS.c.workspace_id == EVENTS.c.workspace_id, TASKS.c.id == EVENTS.c.aggregate_id, _IS_VISIBLE
            ),
            exists().where(
                TRASH.c.workspace_id == EVENTS.c.workspace_id,
                TRASH.c.id == EVENTS.c.aggregate_id,
                is_visible(TRASH.c.project_id),
            ),
        ),
        EVENTS.c.workspace_id.in_(visible_workspaces()),
        EVENTS.c.aggregate == "task",
        EVENTS.c.aggregate_id == bindparam("id"),
        EVENTS.c.time <= bindparam("time", type_=DateTime(timezone=True)),
        ~exists().where(
            _PURGED.c.workspace_id == EVENTS.c.workspace_id,
            _PURGED.c.aggregate_id == EVENTS.c.aggregate_id,
            _PURGED.c.type == "task.purged",
        ),
    )
    .order_by(EVENTS.c.aggregate_version.desc())
    .limit(1)
)
_LOCK = statement(
    select(*shown(TASKS), is_favourite(TASKS), role_in(TASKS.c.project_id))
    .join_from(TASKS, MEMBERSHIPS, TASKS.c.workspace_id == MEMBERSHIPS.c.workspace_id)
    .where(
        TASKS.c.id == bindparam("id"),
        MEMBERSHIPS.c.user_id == bindparam("user_id"),
        ~MEMBERSHIPS.c.removed,
    )
    .with_for_update(of=TASKS)
)
_SUBTASKS = statement(
    select(*shown(TASKS), is_favourite(TASKS))
    .where(
        TASKS.c.workspace_id == bindparam("workspace_id"),
        TASKS.c.parent_id == bindparam("parent_id"),
        or_(bindparam("after", type_=PgUUID).is_(None), TASKS.c.id > bindparam("after", type_=PgUUID)),
        _IS_VISIBLE,
    )
    .order_by(TASKS.c.id)
    .limit(bindparam("limit", type_=Integer))
)
_IDS = bindparam("ids", type_=ARRAY(PgUUID))
_PLACES = statement(
    select(TASKS.c.id, TASKS.c.project_id, role_in(TASKS.c.project_id))
    .join_from(TASKS, MEMBERSHIPS, TASKS.c.workspace_id == MEMBERSHIPS.c.workspace_id)
    .where(
        TASKS.c.workspace_id == _IN_WORKSPACE,
        TASKS.c.id == func.any(_IDS),
        MEMBERSHIPS.c.user_id == bindparam("user_id"),
        ~MEMBERSHIPS.c.removed,
    )
)
_PROJECTS = statement(
    select(TASKS.c.id, TASKS.c.project_id).where(TASKS.c.workspace_id == _IN_WORKSPACE, TASKS.c.id == func.any(_IDS))
)
_WRITTEN = (*FIELDS, *DERIVED)
_NO_ID = UUID(int=0)
_ALL = statement(
    select(*shown(TASKS, to_user=False))
    .where(
        tuple_(TASKS.c.workspace_id, TASKS.c.id)
        > tuple_(bindparam("after_workspace", type_=PgUUID), bindparam("after", type_=PgUUID)),
        or_(bindparam("workspace_id", type_=PgUUID).is_(None), TASKS.c.workspace_id == bindparam("workspace_id")),
    )
    .order_by(TASKS.c.workspace_id, TASKS.c.id)
    .limit(bindparam("limit", type_=Integer))
)
_NEW = insert(TASKS).values({name: bindparam(name) for name in _WRITTEN})
_SAVE = statement(
    _NEW.on_conflict_do_update(
        index_elements=list(KEY), set_={name: _NEW.excluded[name] for name in _WRITTEN if name not in KEY}
    )
)
_DELETE = statement(
    delete(TASKS).where(
        TASKS.c.workspace_id == bindparam("workspace_id"),
        TASKS.c.id == func.any(bindparam("ids", type_=ARRAY(PgUUID))),
    )
)
REQUESTS = Records("requests", "task_id", "task")


_HAS_VALUE = statement(
    select(
        exists().where(
            TASKS.c.workspace_id == bindparam("workspace_id"),
            TASKS.c.project_id == bindparam("project_id"),
            TASKS.c.fields.contains(bindparam("value", type_=JSONB)),
        )
    )
)


def _wanted(column: Column[Any], name: str) -> Any:
    """The column equals the parameter, or the parameter is null."""
    parameter = bindparam(name, type_=column.type)
    return or_(parameter.is_(None), column == parameter)


def _holds(column: Column[Any], name: str) -> Any:
    """The list in the column holds the parameter, or the parameter is null."""
    parameter = bindparam(name, type_=PgUUID)
    return or_(parameter.is_(None), parameter == func.any(column))


def _exists(label_id: str) -> Any:
    """The label in the parameter exists, or the parameter is null: tasks may name labels that have been deleted."""
    parameter = bindparam(label_id, type_=PgUUID)
    found = exists().where(LABELS.c.workspace_id == TASKS.c.workspace_id, LABELS.c.id == parameter)
    return or_(parameter.is_(None), found)


_PAGE, _PAGE_ROWS = newest_visible(
    TASKS,
    _IS_VISIBLE,
    _wanted(TASKS.c.project_id, "project_id"),
    _wanted(TASKS.c.status, "status"),
    _holds(TASKS.c.assignee_ids, "assignee_id"),
    _holds(TASKS.c.label_ids, "label_id"),
    _exists("label_id"),
    or_(~bindparam("favourite", type_=Boolean), is_favourite(TASKS).element),
)
_ROWS = _PAGE_ROWS.with_only_columns(*shown(_PAGE), is_favourite(_PAGE))
_LIST, _LIST_FILTERED = statement(_ROWS), statement(_ROWS, replan=True)


async def get(reader: Reader, *, user_id: UUID, task_id: UUID) -> Task | None:
    """The task, if the user may see it."""
    row = await reader.fetch_one(_GET, user_id=user_id, id=task_id)
    return None if row is None else task_of_row(row)


async def get_by_key(reader: Reader, *, user_id: UUID, workspace_id: UUID, key: str) -> Task | None:
    """The task of the workspace that has the key, or had it, if the user may see it."""
    row = await reader.fetch_one(_GET_BY_KEY, user_id=user_id, workspace_id=workspace_id, keys=[key])
    return None if row is None else task_of_row(row)


async def get_as_of(reader: Reader, *, user_id: UUID, task_id: UUID, time: datetime) -> Task | None:
    """The task as its last event at or before a time left it, if the user may see it and it was not deleted then.

    A task that has been purged since has no past.
    """
    row = await reader.fetch_one(_AS_OF, user_id=user_id, id=task_id, time=time)
    if row is None or row["hidden"] or row["type"] in ("task.deleted", "task.purged"):
        return None
    return task_of(data_of(row).task)


async def lock(work: UnitOfWork, *, user_id: UUID, task_id: UUID) -> tuple[Task, str] | None:
    """The task, if the user may see it, locked until the transaction ends, and their role in its project."""
    row = await work.fetch_one(_LOCK, user_id=user_id, id=task_id)
    return None if row is None or row["role"] is None else (task_of_row(row), row["role"])


async def standing(reader: Reader, task: Task) -> Standing | None:
    """What other tasks make of a task, whoever may see them."""
    row = await reader.fetch_one(_STANDING, workspace_id=task.workspace_id, id=task.id)
    return None if row is None else task_of_row(row).standing


async def places(
    reader: Reader, *, user_id: UUID, workspace_id: UUID, task_ids: Sequence[UUID]
) -> Mapping[UUID, tuple[UUID | None, str]]:
    """By each of the tasks that the user may see: its project, and their role in that."""
    rows = await reader.fetch(_PLACES, user_id=user_id, workspace_id=workspace_id, ids=list(task_ids))
    return {row["id"]: (row["project_id"], row["role"]) for row in rows if row["role"] is not None}


async def projects_of(reader: Reader, *, workspace_id: UUID, task_ids: Sequence[UUID]) -> Mapping[UUID, UUID | None]:
    """The project, if any, of each of the tasks that the workspace has and that is not deleted, whoever may see it."""
    rows = await reader.fetch(_PROJECTS, workspace_id=workspace_id, ids=list(task_ids))
    return {row["id"]: row["project_id"] for row in rows}


async def page(
    reader: Reader,
    *,
    user_id: UUID,
    limit: int,
    before: UUID | None = None,
    filters: Mapping[str, Any],
) -> Sequence[Task]:
    """The newest tasks that the user may see, at most `limit`, older than `before`.

    Args:
        reader: Where to look.
        user_id: Who asks.
        limit: At most this many.
        before: Id of the last task of the page before.
        filters: workspace_id, project_id, status, assignee_id, label_id, None for any; favourite, whether only theirs.
    """
    rows = await reader.fetch(
        _LIST_FILTERED if any(filters.values()) else _LIST, user_id=user_id, limit=limit, before=before, **filters
    )
    return [task_of_row(row) for row in rows]


async def all_tasks(
    reader: Reader, *, workspace_id: UUID | None, limit: int, after: tuple[UUID, UUID] | None
) -> Sequence[Task]:
    """Tasks of any workspace, or of one, by workspace and id, at most `limit`, behind `after`."""
    after_workspace, after_id = after or (workspace_id or _NO_ID, _NO_ID)
    rows = await reader.fetch(
        _ALL, workspace_id=workspace_id, limit=limit, after_workspace=after_workspace, after=after_id
    )
    return [task_of_row(row) for row in rows]


async def subtasks(reader: Reader, task: Task, *, user_id: UUID, limit: int, after: UUID | None) -> Sequence[Task]:
    """The oldest tasks directly below a task, at most `limit`, younger than `after`."""
    rows = await reader.fetch(
        _SUBTASKS, workspace_id=task.workspace_id, parent_id=task.id, user_id=user_id, limit=limit, after=after
    )
    return [task_of_row(row) for row in rows]


async def project(work: UnitOfWork, event: TaskEvent) -> None:
    """Bring the read table up to date with an event; the rebuild uses the same function.

    Not with those of the trash (see `trash.store`).
    """
    task = event.task
    await work.write(_SAVE, **_row(task))
    if isinstance(event, TaskCreated) and not task.label_ids:
        await documents.write_new(work, task)
    else:
        await documents.write_of_tasks(
            work,
            workspace_id=task.workspace_id,
            task_ids=[task.id],
            labelled=bool(task.label_ids),
            new=isinstance(event, TaskCreated),
        )
    await occurrences.write(work, [task])


async def save(work: UnitOfWork, tasks: Sequence[Task]) -> None:
    """Write many tasks of one workspace in one round trip, those above others first."""
    await work.execute_many(_SAVE, [_row(task) for task in tasks])
    if tasks:
        ids = [task.id for task in tasks]
        labelled = any(task.label_ids for task in tasks)
        await documents.write_of_tasks(work, workspace_id=tasks[0].workspace_id, task_ids=ids, labelled=labelled)
    await occurrences.write(work, tasks)


async def add_many(work: UnitOfWork, tasks: Sequence[Task]) -> None:
    """Write many new tasks of one workspace at once, in any order; their search documents are left to the caller."""
    plain = attrgetter(*_WRITTEN)
    records = (
        plain(task) if task.recurrence is None and task.execution is None else tuple(_row(task).values())
        for task in tasks
    )
    connection = await work.begin()
    await connection.copy_records_to_table(TASKS.name, columns=_WRITTEN, records=records)


async def remove(work: UnitOfWork, *, workspace_id: UUID, task_ids: Sequence[UUID]) -> None:
    """Take tasks out of the read table, in one statement: none may be left that is a part of one of them."""
    await work.execute(_DELETE, workspace_id=workspace_id, ids=list(task_ids))
    await favourites.forget(work, workspace_id=workspace_id, task_ids=task_ids)


async def has_value(reader: Reader, *, workspace_id: UUID, project_id: UUID, value: Mapping[str, Any]) -> bool:
    """Whether a task of the project has this value, by the id of its custom field."""
    found: bool = await reader.fetch_value(_HAS_VALUE, workspace_id=workspace_id, project_id=project_id, value=value)
    return found


def _row(task: Task) -> dict[str, Any]:
    values = {name: getattr(task, name) for name in _WRITTEN}
    values["recurrence"] = recurrence_json(task.recurrence)
    values["execution"] = execution_json(task.execution)
    return values | {name: list(values[name]) for name in LISTS}
