"""Copying a project: from what it holds follows what the copy holds. Pure.

Whatever a task, or another thing, is made of comes along as it is, unless it is said here: who made it and when, what
it refers to, and what the wish changes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from rota_tasks.boards import domain as boards
from rota_tasks.copies import dates
from rota_tasks.fields.domain import people as persons
from rota_tasks.tasks.domain import OPEN, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from datetime import tzinfo
    from uuid import UUID

    from rota_tasks.attachments.domain import Attachment
    from rota_tasks.boards.domain import Section, State
    from rota_tasks.checklists.domain import ChecklistItem
    from rota_tasks.comments.domain import Comment
    from rota_tasks.fields.domain import CustomField
    from rota_tasks.projects.domain import Project
    from rota_tasks.relations.domain import Relation
    from rota_tasks.tasks.domain import Task

MAX_TASKS = 5_000
MAX_OTHERS = 20_000
"""Checklist items, relations, comments and attachments together."""


class Part(StrEnum):
    """What comes along only if it is wanted."""

    PEOPLE = "people"
    COMMENTS = "comments"
    ATTACHMENTS = "attachments"


class Completed(StrEnum):
    """What becomes of tasks that are done or cancelled."""

    KEEP = "keep"
    REOPEN = "reopen"
    LEAVE_OUT = "leave_out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """How to copy; the fields are those of rota.tasks.v1.CopyProjectRequest."""

    name: str | None = None
    include: frozenset[Part] = frozenset()
    completed: Completed = Completed.KEEP
    start_on: date | None = None


@dataclass(slots=True, kw_only=True)
class Content:
    """A project with all that it holds.

    Attributes:
        tasks: Those above others first; a parent is one of them.
        items: Those of a task in their order.
    """

    project: Project
    states: Sequence[State] = ()
    sections: Sequence[Section] = ()
    fields: Sequence[CustomField] = ()
    tasks: Sequence[Task] = ()
    items: Sequence[ChecklistItem] = ()
    relations: Sequence[Relation] = ()
    comments: Sequence[Comment] = ()
    attachments: Sequence[Attachment] = ()


@dataclass(slots=True)
class _Ids:
    """The ids of copies by those of originals, which they are ordered as."""

    new: Callable[[], UUID]
    by_original: dict[UUID, UUID] = field(default_factory=dict)

    def give(self, originals: Iterable[Any]) -> None:
        known = sorted(each.id for each in originals)
        self.by_original.update(zip(known, sorted(self.new() for _ in known), strict=True))

    def of(self, original: UUID | None) -> UUID | None:
        return None if original is None else self.by_original.get(original)

    def __getitem__(self, original: UUID) -> UUID:
        return self.by_original[original]

    def __contains__(self, original: UUID) -> bool:
        return original in self.by_original


def people(content: Content, wish: Wish) -> set[UUID]:
    """Whom the tasks and, if wanted, their checklists would name."""
    found = {each for task in content.tasks for each in persons(task.fields).values()}
    if Part.PEOPLE in wish.include:
        found |= {each for task in content.tasks for each in (*task.assignee_ids, *task.watcher_ids)}
        found |= {item.assignee_id for item in content.items if item.assignee_id is not None}
    return found


class Copier:
    """Makes the copy of a project.

    Args:
        content: The project as it is.
        wish: How to copy it.
        by: Who does.
        now: When.
        strangers: Those of its people who do not belong to the workspace any more, or will not see the copy.
        new_id: Makes ids that grow.

    Raises:
        OverflowError: a date would lie outside the calendar.
    """

    def __init__(
        self,
        content: Content,
        wish: Wish,
        *,
        by: UUID,
        now: datetime,
        strangers: Collection[UUID],
        new_id: Callable[[], UUID],
    ) -> None:
        self._content = content
        self._wish = wish
        self._made: dict[str, Any] = {"created_by": by, "created_at": now, "updated_at": now, "version": 1}
        self._by, self._now = by, now
        self._strangers = strangers
        self._tasks = chosen(content.tasks, wish.completed)
        self._going_on = newest_occurrences(self._tasks)
        self._days = timedelta(0)
        if wish.start_on is not None:
            self._days = dates.distance(wish.start_on, (task for task in self._tasks if task.id not in self._going_on))
        self._ids = _Ids(new_id)
        self._ids.give([content.project])
        for originals in (content.states, content.sections, content.fields):
            self._ids.give(originals)
        self._ids.give(option for each in content.fields for option in each.options)
        self._names = {str(original): str(copied) for original, copied in self._ids.by_original.items()}
        self._ids.give(self._tasks)
        self._new_id = new_id
        self._project_id = self._ids[content.project.id]

    def copy(self) -> Content:
        """The copy.

        Raises:
            OverflowError: a date would lie outside the calendar.
        """
        project = replace(
            self._content.project, **self._made, id=self._project_id, name=self._name, archived=False, key=""
        )
        items = [each for each in self._content.items if each.task_id in self._ids]
        relations = [
            each for each in self._content.relations if each.source_id in self._ids and each.task_id in self._ids
        ]
        comments: list[Comment] = []
        if Part.COMMENTS in self._wish.include:
            comments = [each for each in self._content.comments if each.task_id in self._ids]
        attachments = [each for each in self._content.attachments if each.task_id in self._ids]
        for originals in (items, relations, comments, attachments):
            self._ids.give(originals)
        states = [self._state(each) for each in self._content.states]
        positions = _positions(self._tasks)
        return Content(
            project=project,
            states=states,
            sections=[
                replace(each, **self._made, id=self._ids[each.id], project_id=self._project_id)
                for each in self._content.sections
            ],
            fields=[self._field(each) for each in self._content.fields],
            tasks=[self._task(each, positions.get(each.id), states) for each in self._tasks],
            items=[self._item(each) for each in items],
            relations=[self._relation(each) for each in relations],
            comments=[
                replace(each, id=self._ids[each.id], task_id=self._ids[each.task_id], mentioned_ids=(), version=1)
                for each in comments
            ],
            attachments=[
                replace(each.shared(self._ids[each.id], self._ids[each.task_id], now=self._now), created_by=self._by)
                for each in attachments
            ],
        )

    @property
    def _name(self) -> str:
        return self._content.project.name if self._wish.name is None else self._wish.name

    @property
    def _anew(self) -> bool:
        return self._wish.completed is Completed.REOPEN

    def _state(self, state: State) -> State:
        transitions = tuple(
            replace(each, to_state_id=self._ids[each.to_state_id])
            for each in state.transitions
            if each.to_state_id in self._ids
        )
        return replace(
            state, **self._made, id=self._ids[state.id], project_id=self._project_id, transitions=transitions
        )

    def _field(self, each: CustomField) -> CustomField:
        options = tuple(replace(option, id=self._ids[option.id]) for option in each.options)
        return replace(each, **self._made, id=self._ids[each.id], project_id=self._project_id, options=options)

    def _task(self, task: Task, position: str | None, states: Sequence[State]) -> Task:
        series: dict[str, Any] = {"recurrence": None, "series_id": None, "occurrence": None}
        if task.id in self._going_on:
            series = {"series_id": self._new_id()}
        copied = replace(
            task,
            **self._made,
            **series,
            **self._dates(task),
            id=self._ids[task.id],
            project_id=self._project_id,
            parent_id=self._ids.of(task.parent_id),
            section_id=self._ids.of(task.section_id),
            state_id=self._ids.of(task.state_id),
            state_id_before=self._ids.of(task.state_id_before),
            position=position,
            assignee_ids=self._people(task.assignee_ids),
            watcher_ids=self._people(task.watcher_ids),
            fields=self._values(task.fields),
            execution=task.execution.afresh if task.execution else None,
            number=None,
            key=None,
            standing=None,
        )
        return _begun_anew(copied, states) if self._anew else copied

    def _dates(self, task: Task) -> dict[str, Any]:
        found = {name: getattr(task, name) for name in dates.MOVED}
        if self._days and task.id not in self._going_on:
            zone: tzinfo = ZoneInfo(task.time_zone) if task.time_zone else UTC
            found = {name: dates.moved(value, self._days, zone) for name, value in found.items()}
        if found["remind_at"] is not None and found["remind_at"] <= self._now:
            found["remind_at"] = None
        return found

    def _people(self, found: tuple[UUID, ...]) -> tuple[UUID, ...]:
        if Part.PEOPLE not in self._wish.include:
            return ()
        return tuple(each for each in found if each not in self._strangers)

    def _values(self, values: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
        names = self._names
        found: dict[str, Mapping[str, Any]] = {}
        named = persons(values)
        for key, value in values.items():
            if key not in names or named.get(key) in self._strangers:
                continue
            match value:
                case {"option_id": option}:
                    if option in names:
                        found[names[key]] = {"option_id": names[option]}
                case {"option_ids": {"ids": options}}:
                    found[names[key]] = {"option_ids": {"ids": [names[each] for each in options if each in names]}}
                case _:
                    found[names[key]] = value
        return found

    def _item(self, item: ChecklistItem) -> ChecklistItem:
        assignees = self._people((item.assignee_id,)) if item.assignee_id is not None else ()
        undone: dict[str, Any] = {"is_done": False, "done_by": None, "done_at": None} if self._anew else {}
        return replace(
            item,
            **self._made,
            **undone,
            id=self._ids[item.id],
            task_id=self._ids[item.task_id],
            assignee_id=assignees[0] if assignees else None,
        )

    def _relation(self, relation: Relation) -> Relation:
        return replace(
            relation,
            id=self._ids[relation.id],
            source_id=self._ids[relation.source_id],
            task_id=self._ids[relation.task_id],
            created_by=self._by,
            created_at=self._now,
        )


def chosen(tasks: Sequence[Task], completed: Completed) -> Sequence[Task]:
    """The tasks that come along, those above others first."""
    if completed is Completed.KEEP:
        return tasks
    newest = newest_occurrences(tasks)
    left_out: set[UUID] = set()
    chosen = []
    for task in tasks:
        is_past = task.series_id is not None and task.id not in newest
        is_closed = task.status not in OPEN
        if task.parent_id in left_out or (is_closed and (completed is Completed.LEAVE_OUT or is_past)):
            left_out.add(task.id)
        else:
            chosen.append(task)
    return chosen


def newest_occurrences(tasks: Iterable[Task]) -> set[UUID]:
    """The tasks with which series go on."""
    newest: dict[UUID, tuple[str, UUID]] = {}
    for task in tasks:
        if task.series_id is not None and task.recurrence is not None:
            mine = (task.occurrence or "", task.id)
            newest[task.series_id] = max(mine, newest.get(task.series_id, mine))
    return {task_id for _, task_id in newest.values()}


def _positions(tasks: Sequence[Task]) -> dict[UUID, str]:
    """Positions in the order in which the tasks stand; none where no task was ever placed by hand.

    Ranks of tasks that were not are made of their ids, so that the positions of others fit those ids only.
    """
    if all(task.position is None for task in tasks):
        return {}
    in_order = sorted(tasks, key=lambda task: boards.rank(task.id, task.position))
    keys = boards.keys_between(None, None, len(in_order))
    return {task.id: key for task, key in zip(in_order, keys, strict=True)}


def _begun_anew(task: Task, states: Sequence[State]) -> Task:
    task = replace(task, progress=0)
    if task.status in OPEN:
        return task
    task = replace(
        task,
        status=task.status_before or Status.TODO,
        state_id=task.state_id_before,
        completed_at=None,
        completed_by=None,
        status_before=None,
        state_id_before=None,
    )
    if not states:
        return task
    state = boards.target(states, task.state_id, status=task.status, state_id=task.state_id) or boards.initial(states)
    return replace(task, state_id=state.id, status=state.group)
