"""What happened to a task, as its people read it.

Pure: works on events in the form of the log, whose `data` holds the whole thing after each change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

_VERBS = {"comment.created": "commented"}
# Marks of the change itself, of identity, and what is not the thing's own.
_UNTOLD = frozenset(
    {
        "id",
        "workspace_id",
        "created_by",
        "created_at",
        "updated_at",
        "version",
        "etag",
        "author_id",
        "status_before",
        "state_id_before",
    }
    | {"action_state"}
    | {"subtasks", "is_blocked", "blocked_by", "checklist"}
)


@dataclass(frozen=True, slots=True)
class Change:
    """One field before and after, as JSON values."""

    field: str
    old: Any
    new: Any


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that happened; the fields are those of rota.tasks.v1.HistoryEntry.

    Attributes:
        position: Its place in the log.
    """

    event_id: UUID
    time: datetime
    actor: str
    verb: str
    subject_id: UUID
    version: int
    changes: Sequence[Change]
    position: int


def verb_of(event_type: str) -> str:
    """What someone did: "updated" to the task itself, "comment_updated" to what belongs to it."""
    aggregate, _, past = event_type.partition(".")
    return _VERBS.get(event_type) or (past if aggregate == "task" else f"{aggregate}_{past}")


def changes_between(before: Mapping[str, Any], after: Mapping[str, Any]) -> Sequence[Change]:
    """The fields that differ, by name; an absent one equals an empty one."""
    found = []
    for name in sorted((before.keys() | after.keys()) - _UNTOLD):
        old, new = before.get(name), after.get(name)
        if old != new and (old or new):
            found.append(Change(name, old, new))
    return found
