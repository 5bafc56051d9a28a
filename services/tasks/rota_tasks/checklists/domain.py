"""The checklist of a task: its items, their order, and how each may change.

Pure: functions take an item and return the events that follow; the last event holds the item as it then is.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from rota_tasks.boards.domain import between

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

MAX_ITEMS = 200
"""Of one task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChecklistItem:
    """A step of a task; the fields are those of rota.tasks.v1.ChecklistItem."""

    id: UUID
    workspace_id: UUID
    task_id: UUID
    title: str
    is_done: bool = False
    done_by: UUID | None = None
    done_at: datetime | None = None
    assignee_id: UUID | None = None
    position: str
    created_by: UUID
    created_at: datetime
    updated_at: datetime
    version: int = 1

    @property
    def etag(self) -> str:
        """Strong entity tag of this version, quotes included."""
        return f'"v{self.version}"'


@dataclass(frozen=True, slots=True)
class ChecklistItemEvent:
    """Something happened to an item; `item` is the item after it, and `project_id` the project of its task."""

    item: ChecklistItem
    project_id: UUID | None = field(default=None, kw_only=True)


class ChecklistItemCreated(ChecklistItemEvent):
    """It was added."""


class ChecklistItemUpdated(ChecklistItemEvent):
    """It changed."""


class ChecklistItemDeleted(ChecklistItemEvent):
    """It was deleted; `item` is as it last was, one version on."""


def edit(item: ChecklistItem, changes: Mapping[str, Any], *, by: UUID, now: datetime) -> Sequence[ChecklistItemUpdated]:
    """Set title, is_done, assignee_id or position; nothing follows when nothing differs."""
    fields = {name: value for name, value in changes.items() if getattr(item, name) != value}
    if not fields:
        return []
    if "is_done" in fields:
        fields |= {"done_by": by, "done_at": now} if fields["is_done"] else {"done_by": None, "done_at": None}
    return [ChecklistItemUpdated(replace(item, **fields, updated_at=now, version=item.version + 1))]


def delete(item: ChecklistItem, *, now: datetime) -> ChecklistItemDeleted:
    """End it."""
    return ChecklistItemDeleted(replace(item, updated_at=now, version=item.version + 1))


def place(items: Sequence[ChecklistItem], item: ChecklistItem, *, before_id: UUID | None, after_id: UUID | None) -> str:
    """The position right before or after another item; the one it has, when it stands there.

    Args:
        items: The checklist in its order.
        item: Which of them moves.
        before_id: The other item; None without an `after_id` means behind all.
        after_id: The other item.

    Raises:
        KeyError: there is no such other item.
    """
    others = [each for each in items if each.id != item.id]
    ends = [None, *(each.position for each in others), None]
    index = len(others)
    neighbor_id = before_id or after_id
    if neighbor_id is not None:
        known = [each.id for each in others]
        if neighbor_id not in known:
            raise KeyError(neighbor_id)
        index = known.index(neighbor_id) + (before_id is None)
    return _within(item.position, ends[index], ends[index + 1])


def first_place(items: Sequence[ChecklistItem], item: ChecklistItem) -> str:
    """The position in front of all others; the one it has, when it stands there."""
    others = [each for each in items if each.id != item.id]
    return _within(item.position, None, others[0].position if others else None)


def _within(position: str, lower: str | None, upper: str | None) -> str:
    if (lower is None or lower < position) and (upper is None or position < upper):
        return position
    return between(lower, upper)
