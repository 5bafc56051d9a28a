"""A relation: what a task is to another, and so what the other is to it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    Projects = tuple[UUID | None, UUID | None]

MAX_RELATIONS = 200
"""Of one task, of all types together."""


class RelationType(StrEnum):
    """What a task is to another."""

    BLOCKS = "blocks"
    IS_BLOCKED_BY = "is_blocked_by"
    RELATES = "relates"
    DUPLICATES = "duplicates"
    IS_DUPLICATED_BY = "is_duplicated_by"
    STARTS_AFTER = "starts_after"
    FINISHES_BEFORE = "finishes_before"


_INVERSES = {
    RelationType.BLOCKS: RelationType.IS_BLOCKED_BY,
    RelationType.RELATES: RelationType.RELATES,
    RelationType.DUPLICATES: RelationType.IS_DUPLICATED_BY,
    RelationType.FINISHES_BEFORE: RelationType.STARTS_AFTER,
}
INVERSES = _INVERSES | {inverse: kind for kind, inverse in _INVERSES.items()}

# Types that point the same way: a walk along them must not come back to where it began.
_DIRECTED = (
    frozenset({RelationType.BLOCKS, RelationType.FINISHES_BEFORE}),
    frozenset({RelationType.DUPLICATES}),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """A relation as one of its tasks, the source, sees it; the fields are those of rota.tasks.v1.Relation.

    Attributes:
        lag_s: Of types that order: how long after the one has finished the other may begin, in seconds.
    """

    id: UUID
    workspace_id: UUID
    source_id: UUID
    type: RelationType
    task_id: UUID
    created_by: UUID
    created_at: datetime
    lag_s: int = 0

    @property
    def inverse(self) -> Relation:
        """As the other task sees it."""
        return replace(self, source_id=self.task_id, type=INVERSES[self.type], task_id=self.source_id)


@dataclass(frozen=True, slots=True)
class Walk:
    """A way that must not exist for a relation to be added.

    Attributes:
        types: Along these.
        start: From this task.
        end: To this one.
    """

    types: frozenset[RelationType]
    start: UUID
    end: UUID


def closing_walk(relation: Relation) -> Walk | None:
    """The walk that the relation would close to a circle; None when its type may form circles."""
    for seen in (relation, relation.inverse):
        for types in _DIRECTED:
            if seen.type in types:
                return Walk(types, start=seen.task_id, end=seen.source_id)
    return None


@dataclass(frozen=True, slots=True)
class RelationEvent:
    """Something happened to a relation.

    Attributes:
        relation: The relation.
        version: Of the relation after it: 1 when it was added, 2 when it ended.
        time: When.
        projects: Those of its source and of its other task.
    """

    relation: Relation
    version: int
    time: datetime
    projects: Projects = field(default=(None, None), kw_only=True)


class RelationAdded(RelationEvent):
    """Two tasks were related."""


class RelationRemoved(RelationEvent):
    """It ended."""


def add(relation: Relation, projects: Projects = (None, None)) -> RelationAdded:
    """Relate the tasks."""
    return RelationAdded(relation, 1, relation.created_at, projects=projects)


def remove(relation: Relation, projects: Projects = (None, None), *, now: datetime) -> RelationRemoved:
    """End it."""
    return RelationRemoved(relation, 2, now, projects=projects)
