"""Custom fields in filters and orders: `fields.<id>`.

Values are in one column, found by a GIN index: of fields that come and go none can have an index of its own. It serves
what asks for a value; what compares values reads the tasks of the field's project, by the index on that. So that the
planner knows, a condition also says what follows from it (`implied`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota_chassis.filters.ast import And, Comparison, Contains, Field, Kind, Not, OneOf, Operator, Or
from sqlalchemy import (
    Boolean,
    ColumnElement,
    Date,
    Double,
    Integer,
    Text,
    cast,
    false,
    func,
    literal,
    literal_column,
    or_,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_tasks.fields import store
from rota_tasks.fields.domain import FORMS, CustomField, FieldType
from rota_tasks.tasks.tables import TASKS
from rota_tasks.tasks.values import NAMED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from rota_chassis.filters.ast import Filter
    from rota_chassis.postgres.work import Reader

_NAME = re.compile(re.escape(NAMED) + r"([0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})(?![\w.-])")
_KINDS = {
    FieldType.TEXT: Kind.TEXT,
    FieldType.NUMBER: Kind.NUMBER,
    FieldType.MONEY: Kind.NUMBER,
    FieldType.DATE: Kind.DATE,
    FieldType.SELECT: Kind.ID,
    FieldType.MULTI_SELECT: Kind.IDS,
    FieldType.PERSON: Kind.ID,
    FieldType.URL: Kind.TEXT,
}
_SOME: ColumnElement[bool] = literal_column("tasks.fields <> '{}'", Boolean)


@dataclass(frozen=True, slots=True)
class CustomName(Field):
    """A custom field as filters and orders name it."""

    definition: CustomField | None = None


async def names_in(reader: Reader, user_id: UUID, *texts: str) -> Mapping[str, CustomName]:
    """The custom fields that filters or orders name and that the user may see, as they are written there."""
    written = {match[0]: UUID(match[1]) for text in texts for match in _NAME.finditer(text)}
    if not written:
        return {}
    found = await store.visible(reader, user_id=user_id, field_ids=list(dict.fromkeys(written.values())))
    by_id = {field.id: field for field in found}
    return {
        name: CustomName(name, _KINDS[by_id[key].type], nullable=True, definition=by_id[key])
        for name, key in written.items()
        if key in by_id
    }


def columns(found: Filter) -> Mapping[str, ColumnElement[Any]]:
    """Where the values of the custom fields in a filter are."""
    return {name.name: _value(field) for name, field in _named(found) if not name.kind.has_many}


def collections(found: Filter) -> Mapping[str, Callable[[ColumnElement[Any] | None], ColumnElement[bool]]]:
    """As `filters.sql.condition` wants it, for the custom fields in a filter that hold many values."""
    return {name.name: _holds(field) for name, field in _named(found) if name.kind.has_many}


def implied(found: Filter) -> list[ColumnElement[bool]]:
    """What follows from a filter, in words that an index knows."""
    match found:
        case And(parts):
            return [each for part in parts for each in implied(part)]
        case OneOf(CustomName(definition=CustomField() as field) as name, values):
            return [_in_project(field), _SOME, *([] if name.kind.has_many else [_is_one_of(field, values)])]
        case Comparison(CustomName(definition=CustomField() as field), sign, value):
            return [_in_project(field), _SOME, *([_is_one_of(field, (value,))] if sign is Operator.EQUAL else [])]
        case Contains(CustomName(definition=CustomField() as field)):
            return [_in_project(field), _SOME]
    return []


def order_key(field: CustomField) -> ColumnElement[Any]:
    """What tasks are ordered by."""
    match field.type:
        case FieldType.SELECT:
            ids = literal([str(option.id) for option in field.options], ARRAY(Text))
            place: ColumnElement[Any] = func.array_position(ids, _text(field), type_=Integer)
            return place
        case FieldType.NUMBER | FieldType.MONEY:
            return _value(field)
    # Days are written so that they sort as text.
    text: ColumnElement[Any] = _text(field).collate("C")
    return text


def in_order(field: CustomField) -> list[ColumnElement[bool]]:
    """What follows for tasks that have a key."""
    return [_in_project(field), _SOME]


def _named(found: Filter) -> Iterator[tuple[CustomName, CustomField]]:
    match found:
        case And(parts) | Or(parts):
            for part in parts:
                yield from _named(part)
        case Not(part):
            yield from _named(part)
        case _:
            if isinstance(found.field, CustomName) and found.field.definition is not None:
                yield found.field, found.field.definition


def _text(field: CustomField) -> Any:
    of_field = TASKS.c.fields[str(field.id)]
    if field.type is FieldType.MONEY:
        return of_field["money"]["amount"].astext
    return of_field[FORMS[field.type]].astext


def _value(field: CustomField) -> ColumnElement[Any]:
    kind = _KINDS[field.type]
    types: Mapping[Kind, Any] = {Kind.NUMBER: Double(), Kind.DATE: Date(), Kind.ID: PgUUID()}
    text: ColumnElement[Any] = _text(field)
    return cast(text, types[kind]) if kind in types else text


def _holds(field: CustomField) -> Callable[[ColumnElement[Any] | None], ColumnElement[bool]]:
    def holds(wanted: Any) -> ColumnElement[bool]:
        if wanted is None:
            return TASKS.c.fields[str(field.id)].is_not(None)
        return or_(false(), *(_has(field, {"ids": [str(each)]}) for each in wanted.value))

    return holds


def _is_one_of(field: CustomField, values: tuple[Any, ...]) -> ColumnElement[bool]:
    """Has one of the values; true where that is not asked in the form of the column."""
    if field.type is FieldType.MONEY:
        return _SOME
    written = [value if field.type is FieldType.NUMBER else str(value) for value in values]
    found: ColumnElement[bool] = or_(false(), *(_has(field, each) for each in written))
    return found


def _has(field: CustomField, value: Any) -> ColumnElement[bool]:
    found: ColumnElement[bool] = TASKS.c.fields.contains({str(field.id): {FORMS[field.type]: value}})
    return found


def _in_project(field: CustomField) -> ColumnElement[bool]:
    inside: ColumnElement[bool] = TASKS.c.project_id == literal(field.project_id, PgUUID)
    return inside
