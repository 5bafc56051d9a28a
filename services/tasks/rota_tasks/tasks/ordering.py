"""The orders in which lists of tasks come: by one field, then by id; tasks without a value last."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rota_chassis.errors import InvalidArgument, Violation
from sqlalchemy import ColumnElement, DateTime, Integer, literal_column

from rota_tasks.fields.domain import CustomField, FieldType
from rota_tasks.tasks.custom import CustomName, in_order, order_key
from rota_tasks.tasks.tables import TASKS

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEYS: Mapping[str, ColumnElement[Any]] = {
    # Ids are UUIDv7, which grow with the time of creation.
    "created_at": TASKS.c.id,
    "updated_at": TASKS.c.updated_at,
    "due": TASKS.c.due,
    "due_at": TASKS.c.due_at,
    "start": TASKS.c.start,
    "start_at": TASKS.c.start_at,
    "deadline_at": TASKS.c.deadline_at,
    # As the index on it has it.
    "priority": literal_column(
        "array_position(ARRAY['none', 'low', 'medium', 'high', 'urgent'], tasks.priority)", Integer
    ),
    "title": TASKS.c.title.collate("C"),
}
_NULLABLE = ("due", "due_at", "start", "start_at", "deadline_at")
_WORDS = 2


@dataclass(frozen=True, slots=True)
class Order:
    """An order of tasks, and what it asks of the table."""

    field: str = "created_at"
    descending: bool = True
    custom: CustomField | None = None

    @property
    def key(self) -> ColumnElement[Any]:
        """What it goes by before the id."""
        return _KEYS[self.field] if self.custom is None else order_key(self.custom)

    @property
    def nullable(self) -> bool:
        """Whether there may be tasks without a value."""
        return self.custom is not None or self.field in _NULLABLE

    @property
    def implied(self) -> list[ColumnElement[bool]]:
        """What follows for tasks with a value."""
        return [] if self.custom is None else in_order(self.custom)

    def value(self, written: Any) -> Any:
        """A key from a page token."""
        is_instant = isinstance(self.key.type, DateTime) and written is not None
        return datetime.fromisoformat(written) if is_instant else written


def order_of(text: str, named: Mapping[str, CustomName] | None = None) -> Order:
    """The order that `order_by` names; empty is the newest first.

    Args:
        text: As above.
        named: Custom fields that it names (see `custom.names_in`).

    Raises:
        InvalidArgument: it names none (code INVALID_ORDER).
    """
    if not text.strip():
        return Order()
    field, *rest = text.split()
    custom = (named or {})[field].definition if field in (named or {}) else None
    if custom is not None and custom.type is FieldType.MULTI_SELECT:
        custom = None
    if (field not in _KEYS and custom is None) or len(rest) >= _WORDS or (rest and rest[0] not in {"asc", "desc"}):
        raise InvalidArgument(
            f"Order by one of {', '.join(_KEYS)}, or a custom field as fields.<id>, followed by asc or desc.",
            code="INVALID_ORDER",
            violations=[Violation("order_by", "is not a field to order by, then asc or desc", "invalid_order")],
        )
    return Order(field, descending=rest == ["desc"], custom=custom)
