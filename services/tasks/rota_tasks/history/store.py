"""The history of tasks in the event log; every query is scoped to a workspace that the caller may see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota_chassis.events.log import DATA, EVENTS, data_of, json_of
from rota_chassis.postgres.statements import statement
from sqlalchemy import BigInteger, Integer, Text, and_, bindparam, cast, column, func, or_, select, union_all
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_tasks.history.domain import Entry, changes_between, verb_of
from rota_tasks.projects.access import HIDDEN, is_visible

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from rota_chassis.postgres.work import Reader

_WORKSPACE = bindparam("workspace_id", type_=PgUUID)
_BEFORE, _LIMIT = bindparam("before", type_=BigInteger), bindparam("limit", type_=Integer)
_TEXT = bindparam("task_text", type_=Text)


def _seen(data: Any) -> list[Any]:
    """That the event was in projects that the user sees: a task, or what belongs to one; of a relation, both tasks."""
    projects = func.coalesce(data["task"]["project_id"].astext, data["project_id"].astext, "")
    hidden = [func.nullif(each, "") for each in (projects, data["other_project_id"].astext)]
    return [and_(*(is_visible(cast(each, PgUUID)) for each in hidden))]


def _newest(*conditions: Any) -> Any:
    return (
        select(EVENTS)
        .where(
            EVENTS.c.workspace_id == _WORKSPACE,
            or_(_BEFORE.is_(None), EVENTS.c.position < _BEFORE),
            *conditions,
            or_(func.cardinality(HIDDEN) == 0, *_seen(EVENTS.c.data)),
        )
        .order_by(EVENTS.c.position.desc())
        .limit(_LIMIT)
        .subquery()
        .select()
    )


def _names(aggregate: str, field: str) -> Any:
    return and_(EVENTS.c.aggregate == aggregate, EVENTS.c.data.op("->")(aggregate).op("->>")(field) == _TEXT)


_ALL = union_all(
    _newest(EVENTS.c.aggregate_id == bindparam("task_id", type_=PgUUID)),
    _newest(_names("comment", "task_id")),
    _newest(_names("checklist_item", "task_id")),
    _newest(_names("relation", "source_id")),
    _newest(_names("relation", "task_id")),
).subquery("found")
_EARLIER, _BEFORE_IT = EVENTS.alias("earlier"), "before_"
_PAGE = statement(
    select(
        _ALL,
        *(_EARLIER.c[each.name].label(f"{_BEFORE_IT}{each.name}") for each in DATA),
        and_(*_seen(_EARLIER.c.data)).label("earlier_seen"),
    )
    .join_from(
        _ALL,
        _EARLIER,
        and_(
            _EARLIER.c.workspace_id == _ALL.c.workspace_id,
            _EARLIER.c.aggregate_id == _ALL.c.aggregate_id,
            _EARLIER.c.aggregate_version == _ALL.c.aggregate_version - 1,
        ),
        isouter=True,
    )
    .order_by(_ALL.c.position.desc())
    .limit(_LIMIT)
)
_VERSIONS = (
    func.unnest(bindparam("ids", type_=ARRAY(PgUUID)), bindparam("versions", type_=ARRAY(Integer)))
    .table_valued(column("id", PgUUID), column("version", Integer), name="asked")
    .render_derived()
)
_AT_VERSIONS = statement(
    select(EVENTS.c.aggregate_id, *DATA)
    .join_from(
        _VERSIONS,
        EVENTS,
        and_(EVENTS.c.aggregate_id == _VERSIONS.c.id, EVENTS.c.aggregate_version == _VERSIONS.c.version),
    )
    .where(EVENTS.c.workspace_id == _WORKSPACE)
)
_SINCE = statement(
    select(EVENTS.c.type, EVENTS.c.actor)
    .where(
        EVENTS.c.workspace_id == _WORKSPACE,
        EVENTS.c.aggregate_id == bindparam("task_id", type_=PgUUID),
        EVENTS.c.aggregate_version > bindparam("version", type_=Integer),
    )
    .distinct()
)


async def page(
    reader: Reader, *, user_id: UUID, workspace_id: UUID, task_id: UUID, limit: int, before: int | None
) -> Sequence[Entry]:
    """What happened last to a task and what belongs to it, at most `limit`, before the position `before`.

    Of what happened in a project that is hidden from the user, nothing.
    """
    rows = await reader.fetch(
        _PAGE,
        user_id=user_id,
        workspace_id=workspace_id,
        task_id=task_id,
        task_text=str(task_id),
        limit=limit,
        before=before,
    )
    return [_entry(row) for row in rows]


async def at_versions(
    reader: Reader, *, workspace_id: UUID, versions: Sequence[tuple[UUID, int]]
) -> Mapping[UUID, Any]:
    """The data of the events that made these versions of things, by the id of the thing."""
    if not versions:
        return {}
    ids, numbers = zip(*versions, strict=True)
    rows = await reader.fetch(_AT_VERSIONS, workspace_id=workspace_id, ids=list(ids), versions=list(numbers))
    return {row["aggregate_id"]: data_of(row) for row in rows}


async def since(reader: Reader, *, workspace_id: UUID, task_id: UUID, version: int) -> set[tuple[str, str]]:
    """Which types of events have happened to a task since a version of it, and by whom."""
    rows = await reader.fetch(_SINCE, workspace_id=workspace_id, task_id=task_id, version=version)
    return {(row["type"], row["actor"]) for row in rows}


def _entry(row: Mapping[str, Any]) -> Entry:
    aggregate = row["aggregate"]
    before = {each.name: row[f"{_BEFORE_IT}{each.name}"] for each in DATA}
    # What it was in a project that is hidden from the user is not told.
    earlier = json_of(before) if before["type"] is not None and row["earlier_seen"] else {}
    return Entry(
        event_id=row["id"],
        time=row["time"],
        actor=row["actor"],
        verb=verb_of(row["type"]),
        subject_id=row["aggregate_id"],
        version=row["aggregate_version"],
        changes=changes_between(earlier.get(aggregate) or {}, json_of(row).get(aggregate) or {}),
        position=row["position"],
    )
