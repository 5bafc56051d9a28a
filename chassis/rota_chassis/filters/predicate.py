"""A filter as a predicate on rows in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota_chassis.filters.ast import COMPARES, And, Comparison, Contains, Filter, IsUnset, Not, OneOf, Or

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def predicate(condition: Filter) -> Callable[[Mapping[str, Any]], bool]:
    """Whether a row is one that the filter lets through.

    The row maps names of fields to values: None or absent is unset; a field with many values is a collection. What SQL
    would find for a row with these values, it finds too.
    """
    return lambda row: _holds(condition, row)


def _holds(condition: Filter, row: Mapping[str, Any]) -> bool:  # noqa: PLR0911 (one answer for each kind of node)
    match condition:
        case And(parts):
            return all(_holds(part, row) for part in parts)
        case Or(parts):
            return any(_holds(part, row) for part in parts)
        case Not(part):
            return not _holds(part, row)
        case IsUnset(field):
            value = row.get(field.name)
            return not value if field.kind.has_many else value is None
        case OneOf(field, values):
            value = row.get(field.name)
            return not set(values).isdisjoint(value or ()) if field.kind.has_many else value in values
        case Contains(field, text):
            value = row.get(field.name)
            return value is not None and text.translate(_LOWER) in value.translate(_LOWER)
        case Comparison(field, sign, given):
            value = row.get(field.name)
            return value is not None and COMPARES[sign](value, given)
