"""A filter as a condition in SQL, its values bound, or those of its shape named.

Negation is pushed down to the leaves, where it is `IS NOT TRUE`: above them nothing negates, so that what is null acts
as false, and a leaf that is not negated is one that an index serves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Date,
    DateTime,
    Double,
    Text,
    and_,
    bindparam,
    cast,
    false,
    func,
    literal,
    not_,
    or_,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY, array
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_chassis.filters.ast import (
    COMPARES,
    And,
    Comparison,
    Contains,
    Filter,
    Given,
    IsUnset,
    Kind,
    Leaf,
    Not,
    OneOf,
    Or,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rota_chassis.filters.ast import Field, Value

_TYPES: Mapping[Kind, Any] = {
    Kind.TEXT: Text(),
    Kind.ENUM: Text(),
    Kind.INTEGER: BigInteger(),
    Kind.NUMBER: Double(),
    Kind.BOOLEAN: Boolean(),
    Kind.DATE: Date(),
    Kind.INSTANT: DateTime(timezone=True),
    Kind.ID: PgUUID(),
    Kind.IDS: PgUUID(),
    Kind.NAMES: Text(),
}


def condition(
    found: Filter,
    columns: Mapping[str, ColumnElement[Any]],
    collections: Mapping[str, Callable[[ColumnElement[Any] | None], ColumnElement[bool]]],
) -> ColumnElement[bool]:
    """The filter as a condition.

    Args:
        found: The filter.
        columns: By field, where one value is.
        collections: By field with many values: a condition, never null, that it holds one of an array of values, or
            with None that it holds any at all.
    """

    def one(leaf: Leaf) -> ColumnElement[bool]:
        if leaf.field.kind.has_many:
            holds = collections[leaf.field.name]
            return holds(_array(leaf.field, leaf.values)) if isinstance(leaf, OneOf) else not_(holds(None))
        return _of_one_value(leaf, columns[leaf.field.name])

    def render(part: Filter, *, negated: bool) -> ColumnElement[bool]:
        match part:
            case Not(inner):
                return render(inner, negated=not negated)
            case And(parts) | Or(parts):
                join = and_ if isinstance(part, And) != negated else or_
                return join(*(render(each, negated=negated) for each in parts))
            case _:
                return one(part).is_not(true()) if negated else one(part)

    return render(found, negated=False)


def _of_one_value(leaf: Leaf, column: ColumnElement[Any]) -> ColumnElement[bool]:
    # The order of texts is that of their bytes, and so are indexes; equal are the same in any.
    compared = column.collate("C") if leaf.field.kind is Kind.TEXT else column
    match leaf:
        case IsUnset():
            return column.is_(None)
        case OneOf(field, ()):
            return false()
        case OneOf(field, (value,)):
            # As an equation, by which an index may have the rows in the order of what follows in it.
            equal: ColumnElement[bool] = compared == _bound(value, _TYPES[field.kind])
            return equal
        case OneOf(field, values):
            return compared == func.any(_array(field, values))
        case Contains(_, text):
            return contains(column, _bound(text, Text()))
        case Comparison(field, sign, value):
            holds: ColumnElement[bool] = COMPARES[sign](compared, _bound(value, _TYPES[field.kind]))
            return holds


def contains(text: ColumnElement[Any], part: ColumnElement[Any]) -> ColumnElement[bool]:
    """A text contains another, as `Contains` has it: in the collation C, lower() changes ASCII letters only."""
    found: ColumnElement[bool] = func.strpos(func.lower(text.collate("C")), func.lower(part.collate("C"))) > 0
    return found


def _array(field: Field, values: Sequence[Value]) -> ColumnElement[Any]:
    kind = _TYPES[field.kind]
    if any(isinstance(each, Given) for each in values):
        return cast(array([_bound(each, kind) for each in values]), ARRAY(kind))
    return literal(list(values), ARRAY(kind))


def _bound(value: Value, kind: Any) -> ColumnElement[Any]:
    return bindparam(str(value), type_=kind) if isinstance(value, Given) else literal(value, kind)
