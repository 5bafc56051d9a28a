"""A label: a mark on the tasks of a workspace.

Pure: functions take a label and return the events that follow; the last event holds the label as it then is.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A mark on tasks; the fields are those of rota.tasks.v1.Label."""

    id: UUID
    workspace_id: UUID
    name: str
    color: str = ""
    created_by: UUID
    created_at: datetime
    updated_at: datetime
    version: int = 1

    @property
    def etag(self) -> str:
        """Strong entity tag of this version, quotes included."""
        return f'"v{self.version}"'

    @property
    def name_key(self) -> str:
        """What must be unique in a workspace: the name without its case (Unicode, section 3.13) and outer blanks."""
        return name_key(self.name)


@dataclass(frozen=True, slots=True)
class LabelEvent:
    """Something happened to a label; `label` is the label after it."""

    label: Label


class LabelCreated(LabelEvent):
    """It was created."""


class LabelUpdated(LabelEvent):
    """It changed."""


class LabelDeleted(LabelEvent):
    """It was deleted; `label` is as it last was, one version on."""


def name_key(name: str) -> str:
    """What two names have in common that count as one."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).strip().casefold())


def edit(label: Label, changes: Mapping[str, Any], *, now: datetime) -> Sequence[LabelEvent]:
    """Set name or color; nothing follows when nothing differs."""
    fields = {name: value for name, value in changes.items() if getattr(label, name) != value}
    if not fields:
        return []
    return [LabelUpdated(replace(label, **fields, updated_at=now, version=label.version + 1))]


def delete(label: Label, *, now: datetime) -> Sequence[LabelEvent]:
    """End it."""
    return [LabelDeleted(replace(label, updated_at=now, version=label.version + 1))]
