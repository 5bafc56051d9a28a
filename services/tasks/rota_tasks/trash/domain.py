"""The trash: tasks that were deleted, until they are restored or purged.

Pure: functions take deleted tasks and return the events that follow.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rota_tasks.tasks.domain import TaskPurged, TaskRestored

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from rota_tasks.tasks.domain import Task


@dataclass(frozen=True, slots=True)
class Trashed:
    """A deleted task.

    Attributes:
        task: As it last was.
        root_id: The task whose deletion took it along: itself, or one above it.
        deleted_at: When.
        deleted_by: The user who deleted it.
    """

    task: Task
    root_id: UUID
    deleted_at: datetime
    deleted_by: UUID


def by_level(tasks: Sequence[Task]) -> Sequence[Sequence[Task]]:
    """The tasks of one deletion, level by level: the root, then what is directly below it, and so on."""
    known = {task.id for task in tasks}
    below: dict[UUID | None, list[Task]] = {}
    for task in tasks:
        below.setdefault(task.parent_id if task.parent_id in known else None, []).append(task)
    levels = [below.get(None, [])]
    while levels[-1]:
        levels.append([child for task in levels[-1] for child in below.get(task.id, [])])
    return levels[:-1]


def restore(task: Task, *, now: datetime) -> TaskRestored:
    """Bring it back."""
    return TaskRestored(replace(task, updated_at=now, version=task.version + 1))


def purge(task: Task, *, now: datetime) -> TaskPurged:
    """End it for good."""
    return TaskPurged(replace(task, updated_at=now, version=task.version + 1))
