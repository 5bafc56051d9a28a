"""What conditions and expressions of rules know of an event.

A condition names members of what the event is about, as filters of lists name them; what it would take a query to know
(the names of labels, what blocks a task) is not among them. All is read from the event itself, so that a rule decides
alike whenever it looks at it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota.events.v1 import events_pb2
from rota.scheduler.v1 import schedules_pb2, workflows_pb2
from rota.tasks.v1 import relations_pb2, tasks_pb2
from rota_chassis.codec.words import enum_words
from rota_chassis.events.types import event_type_of
from rota_chassis.filters.ast import Field, Kind
from rota_chassis.filters.literals import Context
from rota_chassis.filters.parser import parse
from rota_chassis.filters.predicate import predicate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rota_chassis.events.envelope import Event

    from rota_scheduler.rules.domain import Rule

VARIABLES = frozenset({"event", "rule"})
_STATUSES = ("backlog", "todo", "in_progress", "done", "cancelled")
_MEMBERS = tuple(sorted(field.name for field in tasks_pb2.Task.DESCRIPTOR.fields))
_CHANGED_BY = {
    "task.assigned": frozenset({"assignee_ids"}),
    "task.completed": frozenset({"status"}),
    "task.reopened": frozenset({"status"}),
}
_USER = "user:"
_RELATIVE = re.compile("now|today|tomorrow|yesterday")
_ANY_TIME = datetime(1970, 1, 1, tzinfo=UTC)


def _member(name: str) -> str:
    if name not in _MEMBERS:
        raise ValueError(name)
    return name


def _words(enum: Any) -> tuple[str, ...]:
    return tuple(enum_words(enum.DESCRIPTOR))


_ACTOR = Field("actor", Kind.ID, nullable=True)
_CHANGED = Field("changed", Kind.NAMES, choices=_MEMBERS, key=_member)


@dataclass(frozen=True, slots=True)
class _Subject:
    """What events of some types are about: by field, the member of their data that holds it."""

    fields: Mapping[Field, str]
    has_changes: bool = False

    @property
    def schema(self) -> Mapping[str, Field]:
        extra = (_ACTOR, _CHANGED) if self.has_changes else (_ACTOR,)
        return {field.name: field for field in (*self.fields, *extra)}


_TASK = _Subject(
    {
        Field("id", Kind.ID): "task.id",
        Field("project_id", Kind.ID, nullable=True): "task.project_id",
        Field("title", Kind.TEXT): "task.title",
        Field("description", Kind.TEXT): "task.description",
        Field("category", Kind.TEXT): "task.category",
        Field("status", Kind.ENUM, choices=_STATUSES): "task.status",
        Field("priority", Kind.ENUM, choices=_words(tasks_pb2.TaskPriority)): "task.priority",
        Field("due_at", Kind.INSTANT, nullable=True): "task.due_at",
        Field("remind_at", Kind.INSTANT, nullable=True): "task.remind_at",
        Field("start_at", Kind.INSTANT, nullable=True): "task.start_at",
        Field("deadline_at", Kind.INSTANT, nullable=True): "task.deadline_at",
        Field("created_at", Kind.INSTANT): "task.created_at",
        Field("updated_at", Kind.INSTANT): "task.updated_at",
        Field("completed_at", Kind.INSTANT, nullable=True): "task.completed_at",
        Field("created_by", Kind.ID): "task.created_by",
        Field("completed_by", Kind.ID, nullable=True): "task.completed_by",
        Field("estimate_s", Kind.INTEGER, nullable=True): "task.estimate_s",
        Field("progress", Kind.INTEGER): "task.progress",
        Field("version", Kind.INTEGER): "task.version",
        Field("parent_id", Kind.ID, nullable=True): "task.parent_id",
        Field("subtask_of", Kind.ID, nullable=True): "task.parent_id",
        Field("state_id", Kind.ID, nullable=True): "task.state_id",
        Field("section_id", Kind.ID, nullable=True): "task.section_id",
        Field("assignee", Kind.IDS): "task.assignee_ids",
        Field("watcher", Kind.IDS): "task.watcher_ids",
        Field("label_id", Kind.IDS): "task.label_ids",
    },
    has_changes=True,
)
_COMMENT = _Subject(
    {
        Field("id", Kind.ID): "comment.id",
        Field("task_id", Kind.ID): "comment.task_id",
        Field("task_title", Kind.TEXT): "task_title",
        Field("text", Kind.TEXT): "comment.text",
        Field("author_id", Kind.ID): "comment.author_id",
        Field("mentioned", Kind.IDS): "comment.mentioned_ids",
        Field("created_at", Kind.INSTANT): "comment.created_at",
        Field("version", Kind.INTEGER): "comment.version",
    }
)
_RELATION = _Subject(
    {
        Field("id", Kind.ID): "relation.id",
        Field("source_id", Kind.ID): "relation.source_id",
        Field("type", Kind.ENUM, choices=_words(relations_pb2.RelationType)): "relation.type",
        Field("task_id", Kind.ID): "relation.task_id",
        Field("created_by", Kind.ID): "relation.created_by",
    }
)
_PROJECT = _Subject(
    {
        Field("id", Kind.ID): "project.id",
        Field("name", Kind.TEXT): "project.name",
        Field("description", Kind.TEXT): "project.description",
        Field("archived", Kind.BOOLEAN): "project.archived",
        Field("created_by", Kind.ID): "project.created_by",
    }
)
_REMINDER = _Subject(
    {
        Field("kind", Kind.ENUM, choices=_words(events_pb2.ReminderKind)): "kind",
        Field("task_id", Kind.ID): "task_id",
        Field("title", Kind.TEXT): "title",
        Field("fire_at", Kind.INSTANT): "fire_at",
        Field("recipient", Kind.IDS): "recipient_ids",
    }
)
_RUN = _Subject(
    {
        Field("id", Kind.ID): "run.id",
        Field("schedule_id", Kind.ID, nullable=True): "run.schedule_id",
        Field("status", Kind.ENUM, choices=_words(schedules_pb2.RunStatus)): "run.status",
        Field("attempts", Kind.INTEGER): "run.attempts",
        Field("http_status", Kind.INTEGER, nullable=True): "run.http_status",
        Field("manual", Kind.BOOLEAN): "run.manual",
    }
)
_WORKFLOW_RUN = _Subject(
    {
        Field("id", Kind.ID): "workflow_run.id",
        Field("workflow_id", Kind.ID): "workflow_run.workflow_id",
        Field("status", Kind.ENUM, choices=_words(workflows_pb2.WorkflowRunStatus)): "workflow_run.status",
        Field("started_by", Kind.ID): "workflow_run.started_by",
    }
)
_CUSTOM = _Subject(
    {
        Field("name", Kind.TEXT): "name",
        Field("run_id", Kind.ID, nullable=True): "run_id",
        Field("schedule_id", Kind.ID, nullable=True): "schedule_id",
    }
)
_SUBJECTS: Mapping[str, _Subject] = {
    **{
        f"task.{what}": _TASK
        for what in ("created", "updated", "assigned", "completed", "reopened", "deleted", "restored")
    },
    **{f"comment.{what}": _COMMENT for what in ("created", "updated", "deleted")},
    **{f"relation.{what}": _RELATION for what in ("added", "removed")},
    **{f"project.{what}": _PROJECT for what in ("created", "updated", "deleted")},
    "reminder.fired": _REMINDER,
    "run.finished": _RUN,
    "workflow_run.finished": _WORKFLOW_RUN,
    "custom.published": _CUSTOM,
}
EVENT_TYPES = tuple(_SUBJECTS)
"""What rules may wait for."""
OF_PROJECTS = frozenset(name for name, subject in _SUBJECTS.items() if subject in (_TASK, _PROJECT))
"""Those that tell which project they belong to."""

_PROJECTS: Mapping[str, tuple[str, ...]] = {
    "task": ("task.project_id",),
    "project": ("project.id",),
    "comment": ("project_id",),
    "relation": ("project_id", "other_project_id"),
    "reminder": ("project_id",),
    "run": ("run.project_ids",),
    "workflow_run": ("workflow_run.project_ids",),
    "custom": ("project_ids",),
}


@dataclass(frozen=True)
class Facts:
    """An event as rules see it; `data` is in the JSON form of the REST API."""

    event: Event
    data: Mapping[str, Any]

    @classmethod
    def of(cls, event: Event) -> Facts:
        """Read an event of `EVENT_TYPES`."""
        return cls(event, event_type_of(type(event.data)).encode(event.data))

    @property
    def project_id(self) -> UUID | None:
        """The project that the event belongs to, as far as it says."""
        if self.event.type.startswith("project."):
            return self.event.aggregate_id
        found = _look(self.data, "task.project_id") if self.event.type in OF_PROJECTS else None
        return UUID(found) if found else None

    @property
    def project_ids(self) -> tuple[str, ...] | None:
        """The projects that it is about, each of which has to be seen; None for a task whose project is not known."""
        if self.event.type.startswith("reminder.") and not self.event.data.HasField("project_id"):
            return None
        found: list[str | None] = []
        for path in _PROJECTS.get(self.event.type.partition(".")[0], ()):
            named = _look(self.data, path)
            found += named if isinstance(named, list) else [named]
        return tuple(each for each in found if each)

    @property
    def run_id(self) -> UUID | None:
        """The run that the event tells of, if it tells of one."""
        found = _look(self.data, "run.id" if self.event.type == "run.finished" else "run_id")
        return UUID(found) if found else None

    def variables(self, rule: Rule) -> Mapping[str, Any]:
        """What the expressions of a rule's actions know."""
        event = self.event
        return {
            "event": {
                "id": str(event.id),
                "type": event.type,
                "time": event.time.isoformat().replace("+00:00", "Z"),
                "actor": event.actor,
                "data": self.data,
            },
            "rule": {"id": str(rule.id), "name": rule.name},
        }

    @cached_property
    def row(self) -> Mapping[str, Any]:
        """The values of the fields that a condition may name."""
        subject, actor = _SUBJECTS[self.event.type], self.event.actor
        row = {field.name: _value(field, _look(self.data, path)) for field, path in subject.fields.items()}
        row[_ACTOR.name] = UUID(actor.removeprefix(_USER)) if actor.startswith(_USER) else None
        if subject.has_changes:
            changes = frozenset(change["field"] for change in self.data.get("changes") or ())
            row[_CHANGED.name] = changes | _CHANGED_BY.get(self.event.type, frozenset())
        return row


def check_condition(condition: str, event_types: tuple[str, ...], context: Context) -> None:
    """Return if the condition can be asked of events of each of the types.

    Raises:
        InvalidArgument: it cannot (code INVALID_FILTER); says where.
    """
    if condition.strip():
        for event_type in event_types:
            parse(condition, _SUBJECTS[event_type].schema, context)


def lets_through(rule: Rule, facts: Facts) -> bool:
    """Whether the event is of the rule's project, if it has one, and its condition holds.

    Raises:
        InvalidArgument: the condition cannot be asked of the event (code INVALID_FILTER).
    """
    if rule.project_id is not None and rule.project_id != facts.project_id:
        return False
    return holds(rule.condition, facts, me=rule.owner_id)


def holds(condition: str, facts: Facts, *, me: UUID) -> bool:
    """Whether a condition holds for an event; one that is empty does.

    Raises:
        InvalidArgument: it cannot be asked of the event (code INVALID_FILTER).
    """
    if not condition.strip():
        return True
    now = facts.event.time if _RELATIVE.search(condition) else _ANY_TIME
    return _asked(condition, facts.event.type, now, me)(facts.row)


@lru_cache(maxsize=4096)
def _asked(condition: str, event_type: str, now: datetime, me: UUID) -> Callable[[Mapping[str, Any]], bool]:
    """A condition, read; reading costs more than asking, and only what speaks of now has to be read for each event."""
    return predicate(parse(condition, _SUBJECTS[event_type].schema, Context(now=now, me=me)))


def _look(data: Mapping[str, Any], path: str) -> Any:
    found: Any = data
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _value(field: Field, found: Any) -> Any:
    match field.kind:
        case Kind.ID:
            return UUID(found) if found else None
        case Kind.IDS:
            return frozenset(UUID(each) for each in found or ())
        case Kind.INSTANT:
            return datetime.fromisoformat(found) if found else None
        case Kind.TEXT:
            return found or ""
        case Kind.INTEGER:
            return None if found is None else int(found)
        case _:
            return found
