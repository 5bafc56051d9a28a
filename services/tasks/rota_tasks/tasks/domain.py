"""A task: what it is, how it may change, and what each change is called.

Pure: functions take a task and return the events that follow; the last event holds the task as it then is.
"""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date
    from uuid import UUID

    from rota_tasks.executions.execution import Execution
    from rota_tasks.series.recurrence import Recurrence

MAX_ASSIGNEES = 50
MAX_WATCHERS = 200
MAX_LEVELS = 32
"""How deep tasks nest: a task without a parent is level 1."""


class Status(StrEnum):
    """Where a task stands."""

    BACKLOG = "backlog"
    TODO = "todo"
    IN_PROGRESS = "in_progress"
    DONE = "done"
    CANCELLED = "cancelled"


DAY_OR_INSTANT = (("due_on", "due_at"), ("start_on", "start_at"))
"""Fields that say the same: a task has at most one of each pair."""
OPEN = frozenset({Status.BACKLOG, Status.TODO, Status.IN_PROGRESS})


class Priority(StrEnum):
    """How much a task matters."""

    NONE = "none"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    URGENT = "urgent"


@dataclass(frozen=True, slots=True)
class Standing:
    """What other tasks, and the reader, make of a task, as a read found it.

    Attributes:
        open_subtasks: How many tasks directly below it are open.
        subtasks: How many are directly below it.
        blocked_by: The open tasks that block it.
        is_favourite: Whether it is a favourite of whoever reads.
        open_items: How many items of its checklist are not ticked off.
        items: How many its checklist has.
        attachments: How many it has.
    """

    open_subtasks: int = 0
    subtasks: int = 0
    blocked_by: tuple[UUID, ...] = ()
    is_favourite: bool = False
    open_items: int = 0
    items: int = 0
    attachments: int = 0


_NO_STANDING = Standing()


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A piece of work; the fields are those of rota.tasks.v1.Task.

    Attributes:
        key: Follows from its number and the key of its project, and changes with that.
        standing: None where it is not known or does not matter: it is no part of the task itself.
    """

    id: UUID
    workspace_id: UUID
    project_id: UUID | None = None
    title: str
    description: str = ""
    status: Status = Status.TODO
    priority: Priority = Priority.NONE
    due_at: datetime | None = None
    remind_at: datetime | None = None
    assignee_ids: tuple[UUID, ...] = ()
    label_ids: tuple[UUID, ...] = ()
    start_at: datetime | None = None
    deadline_at: datetime | None = None
    estimate_s: int | None = None
    progress: int = 0
    category: str = ""
    parent_id: UUID | None = None
    due_on: date | None = None
    start_on: date | None = None
    time_zone: str = ""
    watcher_ids: tuple[UUID, ...] = ()
    state_id: UUID | None = None
    section_id: UUID | None = None
    position: str | None = None
    status_before: Status | None = None
    state_id_before: UUID | None = None
    recurrence: Recurrence | None = None
    series_id: UUID | None = None
    occurrence: str | None = None
    remind_before_s: tuple[int, ...] = ()
    fields: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    execution: Execution | None = None
    number: int | None = None
    key: str | None = field(default=None, compare=False)
    created_by: UUID
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None = None
    completed_by: UUID | None = None
    version: int = 1
    standing: Standing | None = field(default=None, compare=False)

    @property
    def due(self) -> datetime | None:
        """The last instant at which it is not overdue: that of `due_at`, or the last microsecond of `due_on`."""
        return self.due_at if self.due_on is None else _instant(self.due_on, time.max, self.time_zone)

    @property
    def start(self) -> datetime | None:
        """The first instant at which work may start: that of `start_at`, or the first of `start_on`."""
        return self.start_at if self.start_on is None else _instant(self.start_on, time.min, self.time_zone)

    @property
    def etag(self) -> str:
        """Strong entity tag, quotes included: the version, and a digest of what can change without a new one."""
        plain = self.standing is None or self.standing == _NO_STANDING
        if plain and not self.label_ids and not self.fields and not self.key:
            return f'"v{self.version}"'
        seen = repr((self.label_ids, sorted(self.fields), self.standing, self.key))
        digest = hashlib.blake2b(seen.encode(), digest_size=6)
        return f'"v{self.version}.{digest.hexdigest()}"'


def _instant(day: date, clock: time, zone: str) -> datetime:
    try:
        return datetime.combine(day, clock, ZoneInfo(zone or "UTC")).astimezone(UTC)
    except OverflowError:
        # The first or the last day there is, whose rest lies beyond it in UTC.
        return datetime.combine(day, clock, UTC)


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field before and after."""

    field: str
    old: Any
    new: Any


@dataclass(frozen=True, slots=True)
class TaskEvent:
    """Something happened to a task; `task` is the task after it."""

    task: Task


@dataclass(frozen=True, slots=True)
class TaskCreated(TaskEvent):
    """It was created."""


@dataclass(frozen=True, slots=True)
class TaskUpdated(TaskEvent):
    """Fields changed, other than by the more specific events."""

    changes: tuple[FieldChange, ...]


@dataclass(frozen=True, slots=True)
class TaskAssigned(TaskEvent):
    """Its assignees changed."""

    added: tuple[UUID, ...]
    removed: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class TaskCompleted(TaskEvent):
    """It became done."""


@dataclass(frozen=True, slots=True)
class TaskReopened(TaskEvent):
    """It was done or cancelled, and is open again."""


@dataclass(frozen=True, slots=True)
class TaskDeleted(TaskEvent):
    """It was deleted; `task` is as it last was, one version on.

    Attributes:
        root_id: The task whose deletion took it along: itself, or one above it.
        deleted_by: Who deleted it.
    """

    root_id: UUID
    deleted_by: UUID


@dataclass(frozen=True, slots=True)
class TaskRestored(TaskEvent):
    """It came back from the trash."""


@dataclass(frozen=True, slots=True)
class TaskPurged(TaskEvent):
    """It left the trash for good; `task` is as it last was, one version on."""


def edit(task: Task, changes: Mapping[str, Any], *, by: UUID, now: datetime) -> Sequence[TaskEvent]:
    """Set the named fields; only what differs counts.

    Args:
        task: As it is.
        changes: New values by field: those of rota.tasks.v1.UpdateTaskRequest.
        by: Who changes it.
        now: When.

    Returns:
        One event for each kind of change, each a version on; none when nothing differs.
    """
    changes = _either_way(changes)
    fields = {name: value for name, value in changes.items() if getattr(task, name) != value}
    assignee_ids = fields.pop("assignee_ids", None)
    status = fields.get("status")
    completes = status is Status.DONE
    reopens = status in OPEN and task.status not in OPEN
    state_id = fields.get("state_id", task.state_id)
    if completes or reopens:
        del fields["status"]
        fields.pop("state_id", None)
    elif status is Status.CANCELLED and task.status is Status.DONE:
        # No longer complete.
        fields |= {"completed_at": None, "completed_by": None}
    elif status is Status.CANCELLED:
        fields |= {"status_before": task.status, "state_id_before": task.state_id}

    events: list[TaskEvent] = []
    if fields:
        named = _named(task, fields)
        task = _next(task, now, **fields)
        events.append(TaskUpdated(task, named))
    if assignee_ids is not None:
        events.extend(_reassign(task, assignee_ids, now=now))
        task = events[-1].task if events else task
    if completes:
        events.extend(complete(task, by=by, now=now, state_id=state_id))
    elif reopens and status is not None:
        events.append(_reopened(task, now, status=status, state_id=state_id))
    return events


def assign(task: Task, assignee_id: UUID, *, now: datetime) -> Sequence[TaskEvent]:
    """Add an assignee; nothing when they already are.

    Raises:
        OverflowError: the task has `MAX_ASSIGNEES` assignees.
    """
    if assignee_id in task.assignee_ids:
        return []
    if len(task.assignee_ids) >= MAX_ASSIGNEES:
        raise OverflowError(f"a task has at most {MAX_ASSIGNEES} assignees")
    return _reassign(task, (*task.assignee_ids, assignee_id), now=now)


def unassign(task: Task, assignee_id: UUID, *, now: datetime) -> Sequence[TaskEvent]:
    """Take an assignee off; nothing when they are not one."""
    return _reassign(task, tuple(each for each in task.assignee_ids if each != assignee_id), now=now)


def watch(task: Task, user_id: UUID, *, now: datetime) -> Sequence[TaskEvent]:
    """Add a watcher; nothing when they already are.

    Raises:
        OverflowError: the task has `MAX_WATCHERS` watchers.
    """
    if user_id in task.watcher_ids:
        return []
    if len(task.watcher_ids) >= MAX_WATCHERS:
        raise OverflowError(f"a task has at most {MAX_WATCHERS} watchers")
    return edit(task, {"watcher_ids": (*task.watcher_ids, user_id)}, by=user_id, now=now)


def unwatch(task: Task, user_id: UUID, *, now: datetime) -> Sequence[TaskEvent]:
    """Take a watcher off; nothing when they are not one."""
    return edit(task, {"watcher_ids": tuple(each for each in task.watcher_ids if each != user_id)}, by=user_id, now=now)


def complete(task: Task, *, by: UUID, now: datetime, state_id: UUID | None = None) -> Sequence[TaskEvent]:
    """Make it done, in this state of its project; nothing when it is."""
    if task.status is Status.DONE:
        return []
    before = {"status_before": task.status, "state_id_before": task.state_id} if task.status in OPEN else {}
    done = _next(task, now, status=Status.DONE, state_id=state_id, completed_at=now, completed_by=by, **before)
    return [TaskCompleted(done)]


def reopen(task: Task, *, now: datetime) -> Sequence[TaskEvent]:
    """Return it to the status and state it had before, `todo` when that is not known; nothing when it is open."""
    if task.status in OPEN:
        return []
    return [_reopened(task, now, status=task.status_before or Status.TODO, state_id=task.state_id_before)]


def _reopened(task: Task, now: datetime, *, status: Status, state_id: UUID | None) -> TaskReopened:
    return TaskReopened(
        _next(
            task,
            now,
            status=status,
            state_id=state_id,
            completed_at=None,
            completed_by=None,
            status_before=None,
            state_id_before=None,
        )
    )


def delete(task: Task, *, by: UUID, root_id: UUID, now: datetime) -> TaskDeleted:
    """Move it to the trash, along with the task `root_id`, which may be itself."""
    return TaskDeleted(_next(task, now), root_id, by)


def spread(task: Task, position: str, *, now: datetime) -> TaskUpdated:
    """Give it another position between the same neighbors, so that there is room for others."""
    return TaskUpdated(_next(task, now, position=position), (FieldChange("position", task.position, position),))


def execute(task: Task, execution: Execution, *, now: datetime) -> Sequence[TaskEvent]:
    """Note what became of its action; nothing when that is known."""
    if execution == task.execution:
        return []
    fields = {"execution": execution}
    return [TaskUpdated(_next(task, now, **fields), _named(task, fields))]


def undo(before: Task, task: Task, *, now: datetime) -> Sequence[TaskEvent]:
    """Give what the last change set its old values back, as a change of the same kind; nothing when nothing differs.

    Args:
        before: As it was before its last change.
        task: As it is.
        now: When.
    """
    before = replace(before, execution=_as_far_as_it_is(before.execution, task.execution))
    named = {name: getattr(before, name) for name in _RETURNING if getattr(before, name) != getattr(task, name)}
    if not named:
        return []
    after = _next(task, now, **named)
    if named.keys() == {"assignee_ids"}:
        return _reassign(task, before.assignee_ids, now=now)
    if after.status is Status.DONE and task.status is not Status.DONE:
        return [TaskCompleted(after)]
    if after.status in OPEN and task.status not in OPEN:
        return [TaskReopened(after)]
    return [TaskUpdated(after, _named(task, named))]


# What a change sets besides the marks of the change itself.
_RETURNING = tuple(
    each.name
    for each in dataclasses.fields(Task)
    if each.name
    not in {
        "id",
        "workspace_id",
        "created_by",
        "created_at",
        "updated_at",
        "version",
        "standing",
        # What it has in its project; in another it gets new ones.
        "number",
        "key",
        # A series that has begun, or ended, is not undone.
        "recurrence",
        "series_id",
        "occurrence",
    }
)


def _named(task: Task, values: Mapping[str, Any]) -> tuple[FieldChange, ...]:
    """The changes of fields; what it does, by its parts."""
    changes = [FieldChange(name, getattr(task, name), value) for name, value in values.items() if name != "execution"]
    if "execution" in values:
        old, new = task.execution, values["execution"]
        parts = ((each, getattr(old, each, None), getattr(new, each, None)) for each in _EXECUTION)
        changes += [FieldChange(*part) for part in parts if part[1] != part[2]]
    return tuple(changes)


_EXECUTION = ("action", "run_when", "complete_on_success", "unblocked_at", "run")


def _as_far_as_it_is(before: Execution | None, now: Execution | None) -> Execution | None:
    """What it did before; what became of an action since is not undone."""
    if before is None or now is None or before.id != now.id:
        return before
    return replace(before, unblocked_at=now.unblocked_at, run=now.run)


def _either_way(changes: Mapping[str, Any]) -> Mapping[str, Any]:
    """The changes, where a day that is set clears the instant that said the same, and the other way round."""
    cleared = {
        other: None
        for pair in DAY_OR_INSTANT
        for name, other in (pair, pair[::-1])
        if changes.get(name) is not None and changes.get(other) is None
    }
    return {**changes, **cleared}


def _reassign(task: Task, assignee_ids: tuple[UUID, ...], *, now: datetime) -> Sequence[TaskEvent]:
    if assignee_ids == task.assignee_ids:
        return []
    added = tuple(each for each in assignee_ids if each not in task.assignee_ids)
    removed = tuple(each for each in task.assignee_ids if each not in assignee_ids)
    return [TaskAssigned(_next(task, now, assignee_ids=assignee_ids), added, removed)]


def _next(task: Task, now: datetime, **changes: Any) -> Task:
    if changes.get("project_id", task.project_id) != task.project_id:
        changes |= {"number": None, "key": None}
    return replace(task, **changes, updated_at=now, version=task.version + 1)
