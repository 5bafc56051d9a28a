"""What comes of a template: from its content, with all texts as they will be, follow the new things. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo

from rota_tasks.boards import domain as boards
from rota_tasks.boards.domain import Section, State, Transition
from rota_tasks.checklists.domain import ChecklistItem
from rota_tasks.comments.domain import Comment
from rota_tasks.fields.domain import CustomField, Option
from rota_tasks.fields.domain import people as persons
from rota_tasks.labels.domain import Label, name_key
from rota_tasks.projects.domain import Project
from rota_tasks.relations.domain import Relation
from rota_tasks.tasks.domain import Status, Task
from rota_tasks.templates.checking import Problem
from rota_tasks.templates.dates import moment
from rota_tasks.templates.values import UnfitError, value_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from datetime import tzinfo

    from rota_tasks.executions.execution import Execution
    from rota_tasks.templates.content import Content, ProjectPlan, TaskPlan

_MORNING, _NIGHT = time(9), time(23, 59, 59)


class UnmakeableError(Exception):
    """What a template says cannot be made; `problems` say why."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(f"{each.field} {each.description}" for each in problems))
        self.problems = problems


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """When and how a template is used.

    Attributes:
        by: Who uses it.
        now: When.
        start_on: The day from which its dates count.
        time_zone: That of tasks which have none of their own, possibly empty.
        values: Of its variables.
        project_id: Where tasks go, if the template makes no project.
        states: Those of that project, in order.
        fields: Those of that project.
        labels: Those of the workspace, by the keys of their names.
        strangers: People whom it names, and who have left, or will not see it.
        series: Dates and series of the tasks that recur, by their places.
        executions: What tasks do, by their places.
    """

    workspace_id: UUID
    by: UUID
    now: datetime
    start_on: date
    time_zone: str
    values: Mapping[str, str]
    project_id: UUID | None = None
    states: Sequence[State] = ()
    fields: Sequence[CustomField] = ()
    labels: Mapping[str, UUID] = field(default_factory=dict)
    strangers: Collection[UUID] = ()
    series: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    executions: Mapping[int, Execution] = field(default_factory=dict)


@dataclass(slots=True)
class Made:
    """The new things, those that others refer to first."""

    project: Project | None = None
    states: list[State] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    fields: list[CustomField] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    items: list[ChecklistItem] = field(default_factory=list)
    relations: list[Relation] = field(default_factory=list)
    comments: list[Comment] = field(default_factory=list)


class Maker:
    """Makes the things of a template.

    Args:
        content: What it says, filled (see `filling.fill`).
        occasion: When and how.
        new_id: Makes ids that grow.
    """

    def __init__(self, content: Content, occasion: Occasion, new_id: Callable[[], UUID]) -> None:
        self._content = content
        self._occasion = occasion
        self._new_id = new_id
        self._made = Made()
        self._problems: list[Problem] = []
        self._sections: dict[str, UUID] = {}
        self._states: dict[str, State] = {}
        self._ordered: Sequence[State] = occasion.states
        self._fields = {each.name: each for each in occasion.fields}
        self._labels = dict(occasion.labels)
        self._project_id = occasion.project_id

    def make(self) -> Made:
        """All of them.

        Raises:
            UnmakeableError: something cannot be as it would be.
            OverflowError: a date would lie outside the calendar.
        """
        if self._content.project is not None:
            self._project(self._content.project)
        ids = sorted(self._new_id() for _ in self._content.tasks)
        by_key = {task.key: task_id for task, task_id in zip(self._content.tasks, ids, strict=True) if task.key}
        for index, (task, task_id) in enumerate(zip(self._content.tasks, ids, strict=True)):
            self._task(index, task, task_id, by_key.get(task.parent))
        for each in self._content.relations:
            self._made.relations.append(
                Relation(
                    id=self._new_id(),
                    workspace_id=self._occasion.workspace_id,
                    source_id=by_key[each.source],
                    type=each.type,
                    task_id=by_key[each.target],
                    created_by=self._occasion.by,
                    created_at=self._occasion.now,
                    lag_s=each.lag_s,
                )
            )
        if self._problems:
            raise UnmakeableError(self._problems)
        return self._made

    def _stamp(self) -> dict[str, Any]:
        return {
            "workspace_id": self._occasion.workspace_id,
            "created_by": self._occasion.by,
            "created_at": self._occasion.now,
            "updated_at": self._occasion.now,
        }

    def _named(self, place: str, text: str) -> str:
        if not text.strip():
            self._problems.append(Problem(place, "is empty with the values that are given", "required"))
        return text

    def _project(self, plan: ProjectPlan) -> None:
        project = Project(
            id=self._new_id(),
            name=self._named("project.name", plan.name),
            description=plan.description,
            color=plan.color,
            **self._stamp(),
        )
        self._made.project, self._project_id = project, project.id
        places = boards.keys_between(None, None, max(len(plan.sections), len(plan.states), len(plan.fields)))
        for index, (section, position) in enumerate(zip(plan.sections, places, strict=False)):
            name = self._named(f"project.sections[{index}].name", section.name)
            made = Section(id=self._new_id(), project_id=project.id, name=name, position=position, **self._stamp())
            self._sections[section.key] = made.id
            self._made.sections.append(made)
        ids = {state.key: self._new_id() for state in plan.states}
        for index, (state, position) in enumerate(zip(plan.states, places, strict=False)):
            self._states[state.key] = State(
                id=ids[state.key],
                project_id=project.id,
                name=self._named(f"project.states[{index}].name", state.name),
                position=position,
                group=state.group,
                color=state.color,
                wip_limit=state.wip_limit,
                transitions=tuple(
                    Transition(ids[way.to], way.guards, way.role, way.required_fields) for way in state.transitions
                ),
                **self._stamp(),
            )
        self._ordered = self._made.states = list(self._states.values())
        for each, position in zip(plan.fields, places, strict=False):
            options = tuple(Option(self._new_id(), name, color) for name, color in each.options)
            self._fields[each.name] = CustomField(
                id=self._new_id(),
                project_id=project.id,
                name=each.name,
                type=each.type,
                options=options,
                required=each.required,
                position=position,
                **self._stamp(),
            )
        self._made.fields = list(self._fields.values())

    def _task(self, index: int, plan: TaskPlan, task_id: UUID, parent_id: UUID | None) -> None:
        place = f"tasks[{index}]"
        task = Task(
            id=task_id,
            project_id=self._project_id,
            parent_id=parent_id,
            title=self._named(f"{place}.title", plan.title),
            description=plan.description,
            priority=plan.priority,
            category=plan.category,
            estimate_s=plan.estimate_s,
            label_ids=self._label_ids(plan.labels),
            assignee_ids=self._people(plan.assignees),
            watcher_ids=self._people(plan.watchers),
            section_id=self._sections.get(plan.section),
            remind_before_s=plan.remind_before_s,
            fields=self._values(place, plan),
            execution=self._occasion.executions.get(index),
            **self._times(index, plan),
            **self._state(plan),
            **self._stamp(),
        )
        self._made.tasks.append(task)
        places = boards.keys_between(None, None, len(plan.checklist))
        for step, (item, position) in enumerate(zip(plan.checklist, places, strict=True)):
            self._made.items.append(
                ChecklistItem(
                    id=self._new_id(),
                    task_id=task_id,
                    title=self._named(f"{place}.checklist[{step}].title", item.title),
                    assignee_id=next(iter(self._people([item.assignee])), None),
                    position=position,
                    **self._stamp(),
                )
            )

        for number, text in enumerate(plan.comments):
            self._made.comments.append(
                Comment(
                    id=self._new_id(),
                    workspace_id=self._occasion.workspace_id,
                    task_id=task_id,
                    text=self._named(f"{place}.comments[{number}]", text),
                    author_id=self._occasion.by,
                    created_at=self._occasion.now,
                    updated_at=self._occasion.now,
                )
            )

    def _times(self, index: int, plan: TaskPlan) -> Mapping[str, Any]:
        if index in self._occasion.series:
            return self._occasion.series[index]
        name, occasion = plan.time_zone or self._occasion.time_zone, self._occasion
        zone = ZoneInfo(name) if name else UTC
        return {"time_zone": name, **dates_of(plan, occasion.values, occasion.start_on, zone, occasion.now)}

    def _state(self, plan: TaskPlan) -> dict[str, Any]:
        if not self._ordered:
            return {}
        state = self._states.get(plan.state) or boards.initial(self._ordered)
        done: dict[str, Any] = {}
        if state.group is Status.DONE:
            done = {"completed_at": self._occasion.now, "completed_by": self._occasion.by}
        return {"state_id": state.id, "status": state.group, **done}

    def _label_ids(self, names: Iterable[str]) -> tuple[UUID, ...]:
        ids = []
        for name in names:
            if not name.strip():
                continue
            key = name_key(name)
            if key not in self._labels:
                label = Label(id=self._new_id(), name=name, **self._stamp())
                self._made.labels.append(label)
                self._labels[key] = label.id
            ids.append(self._labels[key])
        return tuple(dict.fromkeys(ids))

    def _people(self, people: Iterable[str]) -> tuple[UUID, ...]:
        found = (UUID(each) for each in people if each)
        return tuple(dict.fromkeys(each for each in found if each not in self._occasion.strangers))

    def _values(self, place: str, plan: TaskPlan) -> dict[str, Mapping[str, Any]]:
        found: dict[str, Mapping[str, Any]] = {}
        for name, texts in plan.fields.items():
            custom = self._fields.get(name)
            given = [each for each in texts if each.strip()]
            if custom is None:
                self._problems.append(
                    Problem(f"{place}.fields.{name}", "is no custom field of the project it goes into", "not_found")
                )
            elif given:
                try:
                    value = self._value_of(custom, given)
                    if persons({name: value}).get(name) not in self._occasion.strangers:
                        found[str(custom.id)] = value
                except UnfitError as error:
                    self._problems.append(Problem(f"{place}.fields.{name}", str(error), "unfit"))
        for name, custom in self._fields.items():
            if custom.required and str(custom.id) not in found and name not in plan.fields:
                self._problems.append(Problem(f"{place}.fields.{name}", "needs a value", "required"))
        return found

    def _value_of(self, custom: CustomField, given: Sequence[str]) -> Mapping[str, Any]:
        return value_of(custom, given, lambda text: moment(text, self._occasion.values, self._occasion.start_on))


def dates_of(plan: TaskPlan, values: Mapping[str, str], start_on: date, zone: tzinfo, now: datetime) -> dict[str, Any]:
    """The dates of a task that a template makes; a reminder that is past is left out.

    Raises:
        OverflowError: one would lie outside the calendar.
    """
    found: dict[str, Any] = {}
    for name in ("start", "due"):
        when = moment(getattr(plan, name), values, start_on)
        if when is not None and when.clock is None:
            found[f"{name}_on"] = when.day
        elif when is not None:
            found[f"{name}_at"] = when.instant(zone, _MORNING)
    for name, clock in (("deadline", _NIGHT), ("remind", _MORNING)):
        when = moment(getattr(plan, name), values, start_on)
        if when is not None:
            found[f"{name}_at"] = when.instant(zone, clock)
    if found.get("remind_at") is not None and found["remind_at"] <= now:
        del found["remind_at"]
    return found
