"""What a filter says: fields as declared, values as typed."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Given(str):
    """In place of a value: the name of a parameter that has it (see `shape`)."""

    __slots__ = ()


Value = str | int | float | bool | date | datetime | UUID


class Kind(Enum):
    """What a field holds."""

    TEXT = "text in quotes"
    ENUM = "a word"
    INTEGER = "a whole number"
    NUMBER = "a number"
    BOOLEAN = "true or false"
    DATE = "a date, or now, today, tomorrow, yesterday with + or - a duration such as 7d"
    INSTANT = "an instant, a date, or now, today, tomorrow, yesterday with + or - a duration such as 7d"
    ID = "an id, or me"
    IDS = "the id of one of them, or me"
    NAMES = "a name in quotes"

    @property
    def has_many(self) -> bool:
        """Whether the field holds any number of values."""
        return self in {Kind.IDS, Kind.NAMES}


@dataclass(frozen=True, slots=True)
class Field:
    """One field that a filter may name.

    Attributes:
        name: As filters write it.
        kind: What it holds.
        nullable: Whether it may be unset.
        choices: Of an ENUM: its words, the least first.
        key: Of NAMES: what two names that count as one have in common; rows hold keys.
    """

    name: str
    kind: Kind
    nullable: bool = False
    choices: tuple[str, ...] = ()
    key: Callable[[str], str] = field(default=str, compare=False)


class Operator(StrEnum):
    """How two values compare."""

    EQUAL = "="
    UNEQUAL = "!="
    LESS = "<"
    AT_MOST = "<="
    GREATER = ">"
    AT_LEAST = ">="


COMPARES: Mapping[Operator, Callable[[Any, Any], Any]] = {
    Operator.EQUAL: operator.eq,
    Operator.UNEQUAL: operator.ne,
    Operator.LESS: operator.lt,
    Operator.AT_MOST: operator.le,
    Operator.GREATER: operator.gt,
    Operator.AT_LEAST: operator.ge,
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """A field that holds one value compares so with this one."""

    field: Field
    operator: Operator
    value: Value


@dataclass(frozen=True, slots=True)
class OneOf:
    """The field is one of the values, or holds one of them."""

    field: Field
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Contains:
    """A text contains another, whatever the case of ASCII letters."""

    field: Field
    text: str


@dataclass(frozen=True, slots=True)
class IsUnset:
    """The field is not set, or holds nothing."""

    field: Field


@dataclass(frozen=True, slots=True)
class Not:
    """The part is false."""

    part: Filter


@dataclass(frozen=True, slots=True)
class And:
    """Every part is true."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """A part is true."""

    parts: tuple[Filter, ...]


Leaf = Comparison | OneOf | Contains | IsUnset
Filter = Leaf | Not | And | Or
