"""What a template makes. Pure.

Things refer to one another by keys of the template's own. Texts, dates and people name variables in braces.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from rota_tasks.tasks.domain import Priority

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rota_tasks.boards.domain import Guard
    from rota_tasks.executions.execution import Execution
    from rota_tasks.fields.domain import FieldType
    from rota_tasks.relations.domain import RelationType
    from rota_tasks.series.recurrence import Recurrence
    from rota_tasks.tasks.domain import Status

MAX_TASKS = 1_000
MAX_VARIABLES = 50
MAX_ASKED = 500
"""How many tasks recur, and how many have an action: the scheduler is asked once about each."""
MAX_COMMENTS = 100
"""Of one task."""
MAX_BYTES = 500_000
"""Of the content as JSON."""
NAMED = re.compile(r"(\\?)\{\{([a-z][a-z0-9_]{0,31})\}\}")
"""A variable in a text; with a backslash before it stands for itself."""


class VariableType(StrEnum):
    """What the value of a variable is."""

    TEXT = "text"
    DATE = "date"
    USER = "user"
    NUMBER = "number"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """Something that is said when a template is used; the fields are those of rota.tasks.v1.TemplateVariable."""

    name: str
    type: VariableType = VariableType.TEXT
    description: str = ""
    default: str | None = None
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SectionPlan:
    """A section of the project."""

    key: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WayPlan:
    """A way out of a state, to the one with this key."""

    to: str
    guards: tuple[Guard, ...] = ()
    role: str | None = None
    required_fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StatePlan:
    """A state of the project."""

    key: str
    name: str
    group: Status
    color: str = ""
    wip_limit: int = 0
    transitions: tuple[WayPlan, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldPlan:
    """A custom field of the project, with the names and colours of its options."""

    name: str
    type: FieldType
    options: tuple[tuple[str, str], ...] = ()
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectPlan:
    """A project; the fields are those of rota.tasks.v1.TemplateProject."""

    name: str
    description: str = ""
    color: str = ""
    sections: tuple[SectionPlan, ...] = ()
    states: tuple[StatePlan, ...] = ()
    fields: tuple[FieldPlan, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemPlan:
    """A step of a task."""

    title: str
    assignee: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPlan:
    """A task; the fields are those of rota.tasks.v1.TemplateTask."""

    key: str = ""
    parent: str = ""
    title: str
    description: str = ""
    priority: Priority = Priority.NONE
    start: str = ""
    due: str = ""
    deadline: str = ""
    remind: str = ""
    time_zone: str = ""
    estimate_s: int | None = None
    category: str = ""
    labels: tuple[str, ...] = ()
    assignees: tuple[str, ...] = ()
    watchers: tuple[str, ...] = ()
    section: str = ""
    state: str = ""
    remind_before_s: tuple[int, ...] = ()
    checklist: tuple[ItemPlan, ...] = ()
    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    recurrence: Recurrence | None = None
    execution: Execution | None = None
    comments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RelationPlan:
    """What a task is to another."""

    source: str
    type: RelationType
    target: str
    lag_s: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a template makes; the fields are those of rota.tasks.v1.TemplateContent."""

    variables: tuple[Variable, ...] = ()
    project: ProjectPlan | None = None
    tasks: tuple[TaskPlan, ...] = ()
    relations: tuple[RelationPlan, ...] = ()


def names_in(text: str) -> Iterator[str]:
    """The variables that a text names."""
    return (found[2] for found in NAMED.finditer(text) if not found[1])
