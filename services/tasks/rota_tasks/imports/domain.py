"""An import: a job that creates what a file holds, and the records that any format comes down to.

Pure. A record has a key, the name it has in its file, by which others refer to it and by which it is known when the
file comes again.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from rota_tasks.projects.domain import Visibility

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from rota_tasks.fields.domain import FieldType
    from rota_tasks.relations.domain import RelationType
    from rota_tasks.series.recurrence import Recurrence
    from rota_tasks.tasks.domain import Status as TaskStatus

MAX_CHARACTERS = 32 * 1024 * 1024
MAX_RECORDS = 250_000
"""Of one file: its reader keeps something for each."""
MAX_PROBLEMS = 100
"""How many problems of one import are kept; all are counted."""
LEASE = timedelta(seconds=30)
MAX_ATTEMPTS = 5
"""How often an import is begun anew from one place before it is given up."""
WAITS_FOR = timedelta(days=1)
"""How long an import waits for another part."""


class Format(StrEnum):
    """What a file is."""

    ROTA = "rota"
    CSV = "csv"
    TODOIST_CSV = "todoist_csv"
    TODOIST = "todoist"
    VIKUNJA = "vikunja"
    TRELLO = "trello"


class Status(StrEnum):
    """Where an import stands."""

    WAITING = "waiting"
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED = frozenset({Status.DONE, Status.FAILED, Status.CANCELLED})


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong in a file; the fields are those of rota.tasks.v1.ImportProblem."""

    place: str
    code: str
    detail: str
    left_out: bool = False


@dataclass(frozen=True, slots=True)
class Count:
    """What became of the records of one kind."""

    created: int = 0
    skipped: int = 0
    failed: int = 0

    def plus(self, other: Count) -> Count:
        """Both together."""
        return Count(self.created + other.created, self.skipped + other.skipped, self.failed + other.failed)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an import is.

    Attributes:
        cursor: How many records it went through.
        counts: What became of them, by kind.
        problems: The first of them.
        problem_count: How many there were.
    """

    cursor: int = 0
    counts: Mapping[str, Count] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    problem_count: int = 0

    def after(self, records: int, counts: Mapping[str, Count], problems: Sequence[Problem]) -> Progress:
        """Some records on."""
        kinds = dict.fromkeys([*self.counts, *counts])
        return Progress(
            self.cursor + records,
            {kind: self.counts.get(kind, Count()).plus(counts.get(kind, Count())) for kind in kinds},
            (*self.problems, *problems)[:MAX_PROBLEMS],
            self.problem_count + len(problems),
        )

    def stopped_by(self, problem: Problem) -> Progress:
        """With the problem that ended it, which is kept in any case."""
        return replace(
            self, problems=(*self.problems[: MAX_PROBLEMS - 1], problem), problem_count=self.problem_count + 1
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """A job; the fields are those of rota.tasks.v1.Import.

    Attributes:
        people: E-mail addresses by what the file calls someone.
        columns: Headers by the column of the format that they stand for.
        fence: Grows with each claim, so that one who slept over their lease cannot write.
        attempts: Claims since it last went on.
    """

    id: UUID
    workspace_id: UUID
    created_by: UUID
    format: Format
    source: str
    project_id: UUID | None
    dry_run: bool
    people: Mapping[str, str]
    columns: Mapping[str, str]
    status: Status
    characters: int = 0
    parts: int = 0
    progress: Progress = Progress()
    fence: int = 0
    attempts: int = 0
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Something in a file.

    Attributes:
        place: Where it stands: `line 12`, or a JSON pointer.
        key: What it is called there, with its kind, for example `task:12`.
        notes: What of it cannot be taken over.
    """

    place: str
    key: str
    notes: tuple[Problem, ...] = ()

    @property
    def kind(self) -> str:
        """What it is, as counts name it."""
        return self.key.partition(":")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class StateRecord:
    """A state of a project; `transitions` name others by their keys."""

    key: str
    name: str
    group: TaskStatus
    position: str | None = None
    color: str = ""
    wip_limit: int = 0
    transitions: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectRecord(Record):
    """A project with its states."""

    name: str
    description: str = ""
    color: str = ""
    archived: bool = False
    visibility: Visibility = Visibility.WORKSPACE
    states: tuple[StateRecord, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SectionRecord(Record):
    """A section of a project."""

    project: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldRecord(Record):
    """A custom field of a project; each option with its key, name and colour."""

    project: str
    name: str
    type: FieldType
    options: tuple[tuple[str, str, str], ...] = ()
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRecord(Record):
    """A label; the workspace's own of the same name is taken if there is one."""

    name: str
    color: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRecord(Record):
    """A task.

    Attributes:
        fields: Of `tasks.domain.Task`, those that refer to nothing else.
        project: Key of its project; None leaves it to the import.
        section: Key of its section.
        state: Key of its state.
        state_before: Key of the state before it was done.
        parent: Key of the task it is a part of.
        labels: Names.
        assignees: Names of people.
        watchers: Names of people.
        values: Of custom fields, by the keys of these; what they refer to is named as in the file.
        recurrence: How it recurs, if it begins a series here.
        recurs: That as the file says it.
        occurrence: Which occurrence of the rule it is, where the file says so; otherwise the first.
    """

    fields: Mapping[str, Any]
    project: str | None = None
    section: str | None = None
    state: str | None = None
    state_before: str | None = None
    parent: str | None = None
    labels: tuple[str, ...] = ()
    assignees: tuple[str, ...] = ()
    watchers: tuple[str, ...] = ()
    values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    recurrence: Recurrence | None = None
    recurs: str = ""
    occurrence: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RelationRecord(Record):
    """What a task is to another, by their keys."""

    task: str
    type: RelationType
    other: str
    lag_s: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CommentRecord(Record):
    """Something said about a task.

    Attributes:
        author: The name of whoever said it.
        created_at: When, if that is known.
    """

    task: str
    text: str
    author: str = ""
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReactionRecord(Record):
    """An emoji to a comment.

    Attributes:
        user: The name of whoever reacted.
        created_at: When, if that is known.
    """

    comment: str
    emoji: str
    user: str
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemRecord(Record):
    """A step on the checklist of a task, behind those before it in the file.

    Attributes:
        assignee: The name of whoever is to do it.
        done_at: When it was ticked off, if that is known.
    """

    task: str
    title: str
    is_done: bool = False
    assignee: str = ""
    done_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedRecord(Record):
    """A record that cannot be read; its only note says why."""


class Unreadable(Exception):
    """The file cannot be read on from here."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem
