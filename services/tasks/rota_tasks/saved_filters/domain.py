"""A saved filter: a list of tasks that someone comes back to.

Pure: functions take a saved filter and return the events that follow; the last event holds it as it then is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedFilter:
    """A filter with an order, under a name; the fields are those of rota.tasks.v1.SavedFilter."""

    id: UUID
    workspace_id: UUID
    name: str
    filter: str = ""
    order_by: str = ""
    project_id: UUID | None = None
    is_favourite: bool = False
    is_shared: bool = False
    owner_id: UUID
    created_at: datetime
    updated_at: datetime
    version: int = 1

    @property
    def etag(self) -> str:
        """Strong entity tag of this version, quotes included."""
        return f'"v{self.version}"'


@dataclass(frozen=True, slots=True)
class SavedFilterEvent:
    """Something happened to a saved filter; `saved_filter` is it afterwards."""

    saved_filter: SavedFilter


class SavedFilterCreated(SavedFilterEvent):
    """It was saved."""


class SavedFilterUpdated(SavedFilterEvent):
    """It changed."""


class SavedFilterDeleted(SavedFilterEvent):
    """It was deleted; `saved_filter` is as it last was, one version on."""


def edit(saved: SavedFilter, changes: Mapping[str, Any], *, now: datetime) -> Sequence[SavedFilterEvent]:
    """Set the named fields; nothing follows when nothing differs."""
    fields = {name: value for name, value in changes.items() if getattr(saved, name) != value}
    if not fields:
        return []
    return [SavedFilterUpdated(replace(saved, **fields, updated_at=now, version=saved.version + 1))]


def delete(saved: SavedFilter, *, now: datetime) -> Sequence[SavedFilterEvent]:
    """End it."""
    return [SavedFilterDeleted(replace(saved, updated_at=now, version=saved.version + 1))]
