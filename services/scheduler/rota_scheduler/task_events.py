"""What each feature that follows tasks asks of their events."""

from __future__ import annotations

from rota.tasks.v1 import tasks_pb2

CHANGES = ("task.created", "task.updated", "task.assigned", "task.completed", "task.reopened", "task.restored")
"""The events after which a task is there, as their data say it is."""
_OPEN = frozenset({tasks_pb2.TASK_STATUS_BACKLOG, tasks_pb2.TASK_STATUS_TODO, tasks_pb2.TASK_STATUS_IN_PROGRESS})


def is_open(task: tasks_pb2.Task) -> bool:
    """Whether the task is still to be done; one of a status that this version does not know is not."""
    return task.status in _OPEN
