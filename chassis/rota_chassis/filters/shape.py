"""What filters have in common that differ in values alone, so that what is made of one can be kept for the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.filters.ast import And, Comparison, Contains, Filter, Given, Not, OneOf, Or

if TYPE_CHECKING:
    from collections.abc import Callable

    from rota_chassis.filters.ast import Field, Value


def shape_of(found: Filter, is_kept: Callable[[Field], bool]) -> tuple[Filter, dict[str, Value]]:
    """The filter with names of parameters in place of its values, and the values by name.

    Args:
        found: The filter.
        is_kept: Whether the values of a field stay, because what is made of the filter depends on them.
    """
    values: dict[str, Value] = {}

    def given(value: Value) -> Given:
        name = Given(f"value_{len(values)}")
        values[name] = value
        return name

    def shape(part: Filter) -> Filter:
        match part:
            case And(parts) | Or(parts):
                return type(part)(tuple(shape(each) for each in parts))
            case Not(inner):
                return Not(shape(inner))
            case OneOf(field, several) if not is_kept(field):
                return OneOf(field, tuple(given(each) for each in several))
            case Contains(field, text) if not is_kept(field):
                return Contains(field, given(text))
            case Comparison(field, sign, value) if not is_kept(field):
                return Comparison(field, sign, given(value))
        return part

    return shape(found), values
