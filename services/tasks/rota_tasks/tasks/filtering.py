"""What filters may say of tasks, and where in the tables that is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota_chassis.filters.ast import And, Field, Kind, Not, OneOf, Or
from rota_chassis.filters.parser import parse
from rota_chassis.filters.sql import condition
from rota_chassis.memberships import MEMBERSHIPS
from sqlalchemy import ColumnElement, and_, exists, func, or_, select, true

from rota_tasks.keys.tables import tasks_with
from rota_tasks.labels.domain import name_key
from rota_tasks.labels.store import LABELS
from rota_tasks.projects.access import is_visible
from rota_tasks.relations.domain import RelationType
from rota_tasks.relations.store import RELATIONS
from rota_tasks.tasks import custom, rare
from rota_tasks.tasks.domain import OPEN, Priority, Status
from rota_tasks.tasks.tables import TASKS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from uuid import UUID

    from rota_chassis.filters.ast import Filter
    from rota_chassis.filters.literals import Context
    from sqlalchemy import Column

SCHEMA: Mapping[str, Field] = {
    field.name: field
    for field in (
        Field("id", Kind.ID),
        Field("workspace_id", Kind.ID),
        Field("project_id", Kind.ID, nullable=True),
        Field("title", Kind.TEXT),
        Field("description", Kind.TEXT),
        Field("category", Kind.TEXT),
        Field("status", Kind.ENUM, choices=tuple(Status)),
        Field("priority", Kind.ENUM, choices=tuple(Priority)),
        Field("due", Kind.INSTANT, nullable=True),
        Field("due_at", Kind.INSTANT, nullable=True),
        Field("remind_at", Kind.INSTANT, nullable=True),
        Field("start", Kind.INSTANT, nullable=True),
        Field("start_at", Kind.INSTANT, nullable=True),
        Field("deadline", Kind.INSTANT, nullable=True),
        Field("deadline_at", Kind.INSTANT, nullable=True),
        Field("created_at", Kind.INSTANT),
        Field("updated_at", Kind.INSTANT),
        Field("completed_at", Kind.INSTANT, nullable=True),
        Field("created_by", Kind.ID),
        Field("completed_by", Kind.ID, nullable=True),
        Field("estimate_s", Kind.INTEGER, nullable=True),
        Field("progress", Kind.INTEGER),
        Field("version", Kind.INTEGER),
        Field("state_id", Kind.ID, nullable=True),
        Field("section_id", Kind.ID, nullable=True),
        Field("parent_id", Kind.ID, nullable=True),
        Field("subtask_of", Kind.ID, nullable=True),
        Field("is_blocked", Kind.BOOLEAN),
        Field("assignee", Kind.IDS),
        Field("watcher", Kind.IDS),
        Field("key", Kind.NAMES, key=lambda text: text.strip().upper()),
        Field("label", Kind.NAMES, key=name_key),
        Field("label_id", Kind.IDS),
        Field("blocked_by", Kind.IDS),
    )
}

_BLOCKERS = TASKS.alias("blockers")


def _users(ids: Column[Any]) -> Callable[[ColumnElement[Any] | None], ColumnElement[bool]]:
    def holds(wanted: ColumnElement[Any] | None) -> ColumnElement[bool]:
        return func.cardinality(ids) > 0 if wanted is None else ids.overlap(wanted)

    return holds


def _labels(of_label: ColumnElement[bool]) -> ColumnElement[bool]:
    """The task has one of these labels: as an array that does not depend on the task, for the index of its labels."""
    ids = (
        select(LABELS.c.id)
        .where(LABELS.c.workspace_id == MEMBERSHIPS.c.workspace_id, of_label)
        .correlate(MEMBERSHIPS)
        .scalar_subquery()
    )
    holds: ColumnElement[bool] = TASKS.c.label_ids.overlap(func.array(ids))
    return holds


def _label_ids(wanted: ColumnElement[Any] | None) -> ColumnElement[bool]:
    if wanted is None:
        return _labels(true())
    # The array as it is as well: of it, the planner knows how many tasks hold it.
    return and_(TASKS.c.label_ids.overlap(wanted), _labels(LABELS.c.id == func.any(wanted)))


def _label_names(wanted: ColumnElement[Any] | None) -> ColumnElement[bool]:
    return _labels(true() if wanted is None else LABELS.c.name_key == func.any(wanted))


def _blockers(wanted: ColumnElement[Any] | None) -> ColumnElement[bool]:
    return (
        exists()
        .where(
            RELATIONS.c.workspace_id == TASKS.c.workspace_id,
            RELATIONS.c.source_id == TASKS.c.id,
            RELATIONS.c.type == RelationType.IS_BLOCKED_BY.value,
            _BLOCKERS.c.workspace_id == RELATIONS.c.workspace_id,
            _BLOCKERS.c.id == RELATIONS.c.task_id,
            or_(*(_BLOCKERS.c.status == status.value for status in sorted(OPEN))),
            is_visible(_BLOCKERS.c.project_id),
            true() if wanted is None else RELATIONS.c.task_id == func.any(wanted),
        )
        .correlate(TASKS)
    )


def _keys(wanted: ColumnElement[Any] | None) -> ColumnElement[bool]:
    if wanted is None:
        return TASKS.c.number.is_not(None)
    ids = tasks_with(wanted, MEMBERSHIPS.c.workspace_id).correlate(MEMBERSHIPS).scalar_subquery()
    # As an array that does not depend on the task, for the index of their ids.
    has: ColumnElement[bool] = TASKS.c.id == func.any(func.array(ids))
    return has


_COLUMNS: Mapping[str, ColumnElement[Any]] = {
    **{name: TASKS.c[name] for name in SCHEMA if name in TASKS.c},
    "deadline": TASKS.c.deadline_at,
    "subtask_of": TASKS.c.parent_id,
    "is_blocked": _blockers(None),
}
_COLLECTIONS = {
    "assignee": _users(TASKS.c.assignee_ids),
    "watcher": _users(TASKS.c.watcher_ids),
    "label": _label_names,
    "key": _keys,
    "label_id": _label_ids,
    rare.LIVING.name: TASKS.c.label_ids.overlap,
    **rare.COLLECTIONS,
    "blocked_by": _blockers,
}


def filter_of(
    text: str, context: Context, equal: Mapping[str, Any], named: Mapping[str, Field] | None = None
) -> Filter | None:
    """What a list asks for, None for everything.

    Args:
        text: A filter, or empty.
        context: What now, today and me mean.
        equal: By field of the schema, the one value that it must be or hold; None for any.
        named: Custom fields that the text names (see `custom.names_in`).

    Raises:
        InvalidArgument: the text is not a filter on tasks (code INVALID_FILTER).
    """
    parts = [parse(text, {**SCHEMA, **(named or {})}, context)] if text.strip() else []
    parts += [OneOf(SCHEMA[name], (value,)) for name, value in equal.items() if value is not None]
    return And(tuple(parts)) if parts else None


def both(one: Filter | None, other: Filter | None) -> Filter | None:
    """What both ask for, None for everything."""
    parts = [each for each in (one, other) if each is not None]
    return And(tuple(parts)) if parts else None


def labels_named(found: Filter | None) -> Sequence[OneOf]:
    """The parts of a filter that name labels, or their ids."""
    match found:
        case Not(part):
            return labels_named(part)
        case And(parts) | Or(parts):
            return [each for part in parts for each in labels_named(part)]
        case OneOf(field) if field.name in ("label", "label_id"):
            return [found]
    return []


def with_labels(found: Filter, ids: Mapping[OneOf, Sequence[UUID]]) -> Filter:
    """The filter with the ids of labels that exist in place of what names them.

    So the planner knows how many tasks have them: of a few it reads those, of many the newest.
    """
    match found:
        case Not(part):
            return Not(with_labels(part, ids))
        case And(parts):
            return And(tuple(with_labels(part, ids) for part in parts))
        case Or(parts):
            return Or(tuple(with_labels(part, ids) for part in parts))
        case OneOf() if found in ids:
            return OneOf(rare.LIVING, tuple(ids[found]))
    return found


def matches(found: Filter | None) -> ColumnElement[bool]:
    """The filter as a condition on tasks, in a query that joins memberships by workspace."""
    if found is None:
        return true()
    columns = {**_COLUMNS, **custom.columns(found)}
    collections = {**_COLLECTIONS, **custom.collections(found)}
    return and_(condition(found, columns, collections), *custom.implied(found))
