"""Tasks in time as the contract writes them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rota.tasks.v1 import planning_pb2

from rota_tasks.tasks.messages import task_message
from rota_tasks.timestamps import timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rota_tasks.planning.domain import Edge, Plan
    from rota_tasks.tasks.domain import Task


def entry_message(task: Task) -> planning_pb2.CalendarEntry:
    """A task as the calendar shows it."""
    return planning_pb2.CalendarEntry(
        start=timestamp(task.start or task.due),
        end=timestamp(task.due or task.start),
        all_day=task.due_at is None and task.start_at is None,
        task=task_message(task),
    )


def graph_message(plan: Plan, edges: Sequence[Edge]) -> planning_pb2.GetProjectGraphResponse:
    """The graph as the API shows it."""
    critical = frozenset(plan.path)
    return planning_pb2.GetProjectGraphResponse(
        nodes=[
            planning_pb2.GraphNode(
                task=task_message(node.task),
                duration_s=int(node.duration.total_seconds()),
                earliest_start_s=int(node.earliest_start.total_seconds()),
                slack_s=int(node.slack.total_seconds()),
                critical=node.task.id in critical,
            )
            for node in plan.nodes
        ],
        edges=[
            planning_pb2.GraphEdge(from_id=str(each.before), to_id=str(each.after), lag_s=int(each.lag.total_seconds()))
            for each in edges
        ],
        critical_path=map(str, plan.path),
        duration_s=int(plan.duration.total_seconds()),
    )


def rescheduled_message(task: Task, changes: Mapping[str, Any]) -> planning_pb2.RescheduledTask:
    """A task that moves, by its dates before and after."""
    return planning_pb2.RescheduledTask(
        task_id=str(task.id), title=task.title, before=_dates(task), after=_dates(replace(task, **changes))
    )


def _dates(task: Task) -> planning_pb2.TaskDates:
    return planning_pb2.TaskDates(
        start_at=timestamp(task.start_at),
        start_on=task.start_on.isoformat() if task.start_on else None,
        due_at=timestamp(task.due_at),
        due_on=task.due_on.isoformat() if task.due_on else None,
    )
