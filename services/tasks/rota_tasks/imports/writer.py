"""Creates what records say, some hundred at a time and in one transaction: each kind at once, not one by one.

Imports of one workspace take turns, a transaction each; so what one has created the other finds. The structure of the
workspace and the boards that tasks enter are held as by any other writer (see `locks`).

A dry run goes the same way and leaves out the writing; what it would have created it keeps in mind for the records
that refer to it.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from rota_chassis.errors import RotaError
from rota_chassis.ids import uuid7

from rota_tasks import bulk, locks
from rota_tasks.boards import domain as boards
from rota_tasks.boards import store as board_store
from rota_tasks.boards.domain import MAX_COLUMNS, Guard, Section, State, Transition
from rota_tasks.bulk import Bulk
from rota_tasks.checklists.domain import MAX_ITEMS, ChecklistItem
from rota_tasks.comments.domain import Comment
from rota_tasks.fields import store as field_store
from rota_tasks.fields.domain import MAX_FIELDS, WITH_OPTIONS, CustomField, Option, fitting
from rota_tasks.imports import lookups, store
from rota_tasks.imports.domain import (
    CommentRecord,
    FieldRecord,
    ItemRecord,
    LabelRecord,
    ProjectRecord,
    ReactionRecord,
    RejectedRecord,
    RelationRecord,
    SectionRecord,
    TaskRecord,
)
from rota_tasks.imports.outcome import Outcome
from rota_tasks.keys import commands as keys
from rota_tasks.labels.domain import Label, name_key
from rota_tasks.projects.domain import Project
from rota_tasks.reactions import domain as reaction_domain
from rota_tasks.reactions import messages as reaction_messages
from rota_tasks.reactions import store as reaction_store
from rota_tasks.reactions.domain import Reaction
from rota_tasks.relations import commands as relation_commands
from rota_tasks.relations.domain import Relation
from rota_tasks.search import documents
from rota_tasks.tasks.domain import MAX_ASSIGNEES, MAX_LEVELS, MAX_WATCHERS, OPEN, Status, Task

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from rota_chassis.postgres.database import Lock, UnitOfWork

    from rota_tasks.imports.domain import Import, Record
    from rota_tasks.imports.people import People

_MAX_LABELS = 50
_REQUIRABLE = (
    "description",
    "due_at",
    "start_at",
    "deadline_at",
    "estimate_s",
    "assignee_ids",
    "label_ids",
    "category",
)
_ON_TASKS = (TaskRecord, ItemRecord, CommentRecord)
_SETTABLE = frozenset(
    {"title", "description", "status", "priority", "due_at", "due_on", "start_at", "start_on", "deadline_at"}
    | {"remind_at", "estimate_s", "progress", "category", "time_zone", "completed_at", "position", "status_before"}
    | {"remind_before_s", "recurrence", "series_id", "occurrence"}
)


class Writer:
    """Creates what the records of one import say, in the name of whoever started it."""

    def __init__(self, job: Import, people: People) -> None:
        self._job = job
        self._people = people
        self._foreseen = _Foreseen()
        self.locks = frozenset({locks.imports(job.workspace_id)})
        """What the last batch held; the next most often needs the same."""

    async def write(self, work: UnitOfWork, records: Sequence[Record], *, now: datetime) -> Outcome:
        """Create what the records say, in an ordered transaction that began with `locks`."""
        batch = _Batch(work, self._job, self._people, self._foreseen, now=now)
        self.locks = await batch.prepare(records)
        # From here on nothing is held late, so that the transaction does not begin again.
        await work.hold(*self.locks)
        await batch.projects(_of(records, ProjectRecord))
        await batch.sections(_of(records, SectionRecord))
        await batch.fields(_of(records, FieldRecord))
        await batch.labels(_of(records, LabelRecord), _of(records, TaskRecord))
        await batch.tasks(_of(records, TaskRecord))
        await batch.items(_of(records, ItemRecord))
        await batch.relations(_of(records, RelationRecord))
        await batch.comments(_of(records, CommentRecord))
        await batch.reactions(_of(records, ReactionRecord))
        for record in _of(records, RejectedRecord):
            batch.outcome.reject(record)
        await batch.finish()
        return batch.outcome


class _Foreseen:
    """What a dry run would have created."""

    def __init__(self) -> None:
        self.ids: dict[str, UUID] = {}
        self.projects: dict[UUID, Sequence[State]] = {}
        self.sections: dict[UUID, UUID] = {}
        self.fields: dict[UUID, list[CustomField]] = {}
        self.labels: dict[str, UUID] = {}
        self.levels: dict[UUID, int] = {}
        self.recurring: set[UUID] = set()
        self.in_state: dict[UUID, int] = {}


class _Batch:
    """Some records on their way into the database."""

    def __init__(self, work: UnitOfWork, job: Import, people: People, foreseen: _Foreseen, *, now: datetime) -> None:
        self.outcome = Outcome()
        self._work = work
        self._job = job
        self._workspace_id = job.workspace_id
        self._people = people
        self._foreseen = foreseen
        self._now = now
        self._ids: dict[str, UUID] = {}
        self._labels: dict[str, UUID] = {}
        self._levels: dict[UUID, int] = {}
        # Tasks that recur, and what is below them.
        self._recurring: set[UUID] = set()
        self._states: dict[UUID, Sequence[State]] = {}
        self._in_state: dict[UUID, int] = {}
        self._sections: dict[UUID, UUID] = {}
        self._fields: dict[UUID, list[CustomField]] = {}
        self._projects: set[UUID] = set()
        self._stale: set[UUID] = set()

    async def prepare(self, records: Sequence[Record]) -> frozenset[Lock]:
        """Find what the records refer to; what has to be held to create them."""
        found = await store.known(self._work, self._job, _keys(records))
        self._ids = self._foreseen.ids | found if self._job.dry_run else found
        ids = self._ids
        projects = [ids[key] for key in ids if key.startswith("project:")]
        if self._job.project_id is not None:
            projects.append(self._job.project_id)
        living = await lookups.living_projects(self._work, self._workspace_id, projects)
        self._projects = living | self._foreseen.projects.keys()
        sections = [ids[key] for key in ids if key.startswith("section:")]
        self._sections = await lookups.living_sections(self._work, self._workspace_id, sections)
        self._sections |= self._foreseen.sections
        held = {locks.imports(self._workspace_id), *map(locks.board, living)}
        if _of(records, RelationRecord):
            held.add(locks.structure(self._workspace_id, alone=True))
        elif any(not isinstance(record, TaskRecord) or record.parent for record in _of(records, _ON_TASKS)):
            # Nothing is deleted meanwhile.
            held.add(locks.structure(self._workspace_id, alone=False))
        return frozenset(held)

    async def projects(self, records: Sequence[ProjectRecord]) -> None:
        """Create projects with their states."""
        for record in records:
            if self._ids.get(record.key) in self._projects:
                self.outcome.skip(record)
                continue
            project = Project(
                id=uuid7(),
                workspace_id=self._workspace_id,
                name=record.name,
                description=record.description,
                color=record.color,
                archived=record.archived,
                **self._made(),
            )
            states = self._states_of(project, record)
            if not self._job.dry_run:
                named = await keys.named(self._work, project)
                await bulk.add_frame(self._work, Bulk(projects=[named], columns=states))
            self._foreseen_project(project.id, states)
            self._ids[record.key] = project.id
            self._projects.add(project.id)
            self.outcome.create(record, project.id)

    def _states_of(self, project: Project, record: ProjectRecord) -> Sequence[State]:
        given = record.states[:MAX_COLUMNS]
        ids = {state.key: uuid7() for state in given}
        self._ids |= ids
        self.outcome.made |= ids
        states: list[State] = []
        for state in given:
            position = boards.between(states[-1].position if states else None, None)
            transitions = tuple(_transition(each, ids) for each in state.transitions if each["to_state_id"] in ids)
            states.append(
                State(
                    id=ids[state.key],
                    workspace_id=self._workspace_id,
                    project_id=project.id,
                    name=state.name,
                    position=position,
                    group=state.group,
                    color=state.color,
                    wip_limit=state.wip_limit,
                    transitions=transitions,
                    **self._made(),
                )
            )
        return states

    def _foreseen_project(self, project_id: UUID, states: Sequence[State]) -> None:
        if self._job.dry_run:
            self._foreseen.projects[project_id] = states

    async def sections(self, records: Sequence[SectionRecord]) -> None:
        """Create sections, each as the last of its project."""
        for record in records:
            project_id = self._ids.get(record.project)
            if self._ids.get(record.key) in self._sections:
                self.outcome.skip(record)
            elif project_id is None or project_id not in self._projects:
                self.outcome.fail(record, "PROJECT_NOT_FOUND", "Its project does not stand above it.")
            else:
                await self._section(record, project_id)

    async def _section(self, record: SectionRecord, project_id: UUID) -> None:
        there = await board_store.columns(self._work, Section, workspace_id=self._workspace_id, project_id=project_id)
        foreseen = sum(each == project_id for each in self._foreseen.sections.values())
        if len(there) + foreseen >= MAX_COLUMNS:
            self.outcome.fail(record, "TOO_MANY_SECTIONS", f"A project has at most {MAX_COLUMNS} sections.")
            return
        section = Section(
            id=uuid7(),
            workspace_id=self._workspace_id,
            project_id=project_id,
            name=record.name,
            position=boards.between(there[-1].position if there else None, None),
            **self._made(),
        )
        if self._job.dry_run:
            self._foreseen.sections[section.id] = project_id
        else:
            await bulk.add_frame(self._work, Bulk(columns=[section]))
        self._ids[record.key] = section.id
        self._sections[section.id] = project_id
        self.outcome.create(record, section.id)

    async def fields(self, records: Sequence[FieldRecord]) -> None:
        """Create custom fields, each as the last of its project."""
        for record in records:
            project_id = self._ids.get(record.project)
            if project_id is None or project_id not in self._projects:
                self.outcome.fail(record, "PROJECT_NOT_FOUND", "Its project does not stand above it.")
                continue
            there = await self._fields_of(project_id)
            if self._ids.get(record.key) in {each.id for each in there}:
                self.outcome.skip(record)
            elif len(there) >= MAX_FIELDS:
                self.outcome.fail(record, "TOO_MANY_FIELDS", f"A project has at most {MAX_FIELDS} custom fields.")
            else:
                await self._field(record, project_id, there)

    async def _field(self, record: FieldRecord, project_id: UUID, there: list[CustomField]) -> None:
        ids = {key: uuid7() for key, _, _ in record.options} if record.type in WITH_OPTIONS else {}
        custom = CustomField(
            id=uuid7(),
            workspace_id=self._workspace_id,
            project_id=project_id,
            name=record.name,
            type=record.type,
            options=tuple(Option(ids[key], name, color) for key, name, color in record.options if key in ids),
            required=record.required,
            position=boards.between(there[-1].position if there else None, None),
            **self._made(),
        )
        there.append(custom)
        if not self._job.dry_run:
            await bulk.add_frame(self._work, Bulk(fields=[custom]))
        self._ids |= {record.key: custom.id, **ids}
        self.outcome.made |= ids
        self.outcome.create(record, custom.id)

    async def _fields_of(self, project_id: UUID) -> list[CustomField]:
        """The custom fields of a project, which do not change meanwhile."""
        if project_id not in self._fields and project_id in self._foreseen.projects:
            self._fields[project_id] = self._foreseen.fields.setdefault(project_id, [])
        elif project_id not in self._fields:
            scope = {"workspace_id": self._workspace_id, "project_id": project_id}
            self._fields[project_id] = list(await field_store.hold(self._work, **scope))
        return self._fields[project_id]

    async def labels(self, records: Sequence[LabelRecord], tasks: Sequence[TaskRecord]) -> None:
        """Create the labels that there are not yet, those that tasks name included."""
        named = {name_key(name) for record in tasks for name in record.labels}
        wanted = named | {name_key(record.name) for record in records}
        if not wanted:
            return
        found = await lookups.labels(self._work, self._workspace_id, wanted)
        self._labels = self._foreseen.labels | found
        for record in records:
            if name_key(record.name) in self._labels:
                self.outcome.skip(record)
            else:
                await self._label(record.name, record.color)
                self.outcome.create(record)
        for task in tasks:
            for name in task.labels:
                if name.strip() and name_key(name) not in self._labels and task.key not in self._ids:
                    await self._label(name[:100], "")

    async def _label(self, name: str, color: str) -> None:
        label = Label(id=uuid7(), workspace_id=self._workspace_id, name=name, color=color, **self._made())
        self._labels[name_key(name)] = label.id
        if self._job.dry_run:
            self._foreseen.labels[name_key(name)] = label.id
        else:
            await bulk.add_frame(self._work, Bulk(labels=[label]))

    async def tasks(self, records: Sequence[TaskRecord]) -> None:
        """Create tasks, those above others first."""
        fresh = []
        for record in records:
            if record.key in self._ids:
                self.outcome.skip(record)
            else:
                fresh.append(record)
        above = {self._ids[record.parent] for record in fresh if record.parent and record.parent in self._ids}
        if above:
            self._levels = await lookups.levels(self._work, self._workspace_id, above)
            self._recurring = await lookups.recurring(self._work, self._workspace_id, above)
        self._levels |= self._foreseen.levels
        self._recurring |= self._foreseen.recurring
        await self._find_states(fresh)
        ids = sorted(uuid7() for _ in fresh)
        new = []
        for record, task_id in zip(fresh, ids, strict=True):
            if record.key in self._ids:
                # Twice in the file.
                self.outcome.skip(record)
                continue
            try:
                task = self._task(record, task_id)
            except _Refused as error:
                self.outcome.fail(record, error.code, str(error))
                continue
            new.append(task)
            self._ids[record.key] = task.id
            self.outcome.create(record, task.id)
        if new and not self._job.dry_run:
            await bulk.add_tasks(self._work, new)
            self._stale.update(task.id for task in new)

    async def _find_states(self, records: Sequence[TaskRecord]) -> None:
        """The states of the projects that tasks go into, whose boards are held."""
        projects = {project_id for record in records if (project_id := self._project_of(record)) is not None}
        among: dict[str, Any] = {"workspace_id": self._workspace_id}
        for project_id in sorted(projects & self._projects):
            await self._fields_of(project_id)
            if project_id in self._foreseen.projects:
                self._states[project_id] = self._foreseen.projects[project_id]
                continue
            states = await board_store.columns(self._work, State, **among, project_id=project_id)
            self._states[project_id] = states
            for state in states:
                if state.wip_limit:
                    self._in_state[state.id] = await board_store.count_in(
                        self._work, State, **among, project_id=project_id, column_id=state.id
                    ) + self._foreseen.in_state.get(state.id, 0)

    def _project_of(self, record: TaskRecord) -> UUID | None:
        return self._job.project_id if record.project is None else self._ids.get(record.project)

    def _task(self, record: TaskRecord, task_id: UUID) -> Task:
        project_id = self._project_of(record)
        if (record.project is not None or project_id is not None) and project_id not in self._projects:
            raise _Refused("PROJECT_NOT_FOUND", "Its project does not stand above it, or has been deleted.")
        parent_id = self._parent(record, task_id)
        task = Task(
            id=task_id,
            workspace_id=self._workspace_id,
            project_id=project_id,
            parent_id=parent_id,
            section_id=self._section_of(record, project_id),
            label_ids=self._labels_of(record),
            assignee_ids=self._people_of(record, record.assignees, MAX_ASSIGNEES),
            watcher_ids=self._people_of(record, record.watchers, MAX_WATCHERS),
            fields=self._values_of(record, project_id),
            **self._made(),
            **{name: value for name, value in record.fields.items() if name in _SETTABLE},
        )
        return self._in_its_state(record, self._recurring_alone(record, self._sound(record, task)))

    def _recurring_alone(self, record: TaskRecord, task: Task) -> Task:
        """The task, which does not recur where one above it does."""
        if task.parent_id in self._recurring:
            if task.recurrence is not None:
                text = f"The task recurs ({record.recurs[:100]}), which is left out: it is a part of one that does."
                self.outcome.note(record, "RECURRENCE_LEFT_OUT", text)
                task = replace(task, recurrence=None, series_id=None, occurrence=None)
        elif task.recurrence is None:
            return task
        self._recurring.add(task.id)
        if self._job.dry_run:
            self._foreseen.recurring.add(task.id)
        return task

    def _parent(self, record: TaskRecord, task_id: UUID) -> UUID | None:
        if record.parent is None:
            self._rise(task_id, 1)
            return None
        parent_id = self._ids.get(record.parent)
        level = self._levels.get(parent_id) if parent_id is not None else None
        if level is None:
            raise _Refused("PARENT_NOT_FOUND", "The task it is a part of does not stand above it, or was deleted.")
        if level >= MAX_LEVELS:
            raise _Refused("SUBTASKS_TOO_DEEP", f"Tasks nest at most {MAX_LEVELS} levels deep.")
        self._rise(task_id, level + 1)
        return parent_id

    def _rise(self, task_id: UUID, level: int) -> None:
        self._levels[task_id] = level
        if self._job.dry_run:
            self._foreseen.levels[task_id] = level

    def _section_of(self, record: TaskRecord, project_id: UUID | None) -> UUID | None:
        if record.section is None:
            return None
        section_id = self._ids.get(record.section)
        if section_id is None or project_id is None or self._sections.get(section_id) != project_id:
            self.outcome.note(record, "SECTION_NOT_FOUND", "Its section is not in its project, or has been deleted.")
            return None
        return section_id

    def _values_of(self, record: TaskRecord, project_id: UUID | None) -> Mapping[str, Mapping[str, Any]]:
        if not record.values:
            return {}
        found = {str(self._ids.get(key)): self._named(value) for key, value in record.values.items()}
        fields = self._fields.get(project_id, []) if project_id else []
        kept = fitting(fields, {key: value for key, value in found.items() if value is not None})
        if len(kept) < len(record.values):
            self.outcome.note(record, "VALUE_NOT_TAKEN", "A value does not fit a custom field of its project.")
        return kept

    def _named(self, value: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """A value with the options and the person that it names here; None without them."""
        match value:
            case {"option_id": option}:
                found = self._ids.get(_option_key(option))
                return None if found is None else {"option_id": str(found)}
            case {"option_ids": {"ids": options}}:
                several = [str(self._ids[_option_key(each)]) for each in options if _option_key(each) in self._ids]
                return {"option_ids": {"ids": several}} if several else None
            case {"user_id": name}:
                person = self._people.find(name)
                return None if person is None else {"user_id": str(person)}
        return value

    def _labels_of(self, record: TaskRecord) -> tuple[UUID, ...]:
        found = (self._labels.get(name_key(name)) for name in record.labels)
        return tuple(dict.fromkeys(each for each in found if each is not None))[:_MAX_LABELS]

    def _people_of(self, record: Record, names: Iterable[str], most: int) -> tuple[UUID, ...]:
        found = []
        for name in names:
            person = self._people.find(name)
            if person is not None:
                found.append(person)
            elif self._people.first_miss(name):
                self.outcome.note(
                    record, "PERSON_UNKNOWN", f"No member is known for `{name[:100]}`; say who it is in `people`."
                )
        return tuple(dict.fromkeys(found))[:most]

    def _sound(self, record: TaskRecord, task: Task) -> Task:
        """The task with what holds of any: a zone that exists, no reminder that is past, a rank that is one."""
        if task.time_zone and task.time_zone not in _zones():
            self.outcome.note(record, "TIME_ZONE_UNKNOWN", f"There is no time zone `{task.time_zone[:100]}`.")
            task = replace(task, time_zone="")
        if task.remind_at is not None and task.remind_at <= self._now:
            task = replace(task, remind_at=None)
        if task.position is not None and (task.project_id is None or not _is_rank(task.position)):
            task = replace(task, position=None)
        return task

    def _in_its_state(self, record: TaskRecord, task: Task) -> Task:
        states = self._states.get(task.project_id) if task.project_id else None
        if states:
            wished = self._ids.get(record.state) if record.state else None
            state = boards.target(states, task, status=task.status, state_id=wished)
            if state is None and task.status in OPEN:
                state = boards.initial(states)
            if state is None:
                raise _Refused("TRANSITION_REFUSED", f"Its project has no state of the group {task.status}.")
            if state.wip_limit and self._in_state.get(state.id, 0) >= state.wip_limit:
                raise _Refused("WIP_LIMIT_REACHED", f"{state.name} holds {state.wip_limit} tasks at most.")
            self._enter(state)
            before = self._ids.get(record.state_before) if record.state_before else None
            task = replace(task, state_id=state.id, status=state.group, state_id_before=before)
        if task.status in OPEN:
            if (task.completed_at, task.status_before, task.state_id_before) == (None, None, None):
                return task
            return replace(task, completed_at=None, status_before=None, state_id_before=None)
        if task.status is Status.DONE:
            completed_at = min(task.completed_at or self._now, self._now)
            return replace(task, completed_at=completed_at, completed_by=self._job.created_by)
        return replace(task, completed_at=None)

    def _enter(self, state: State) -> None:
        self._in_state[state.id] = self._in_state.get(state.id, 0) + 1
        if self._job.dry_run:
            self._foreseen.in_state[state.id] = self._foreseen.in_state.get(state.id, 0) + 1

    async def relations(self, records: Sequence[RelationRecord]) -> None:
        """Relate tasks, one after another: whether one closes a circle depends on those before."""
        for record in records:
            source_id, task_id = self._ids.get(record.task), self._ids.get(record.other)
            if source_id is None or task_id is None:
                self.outcome.fail(record, "RELATED_TASK_NOT_FOUND", "A task that it relates does not stand above it.")
                continue
            if record.key in self._ids:
                self.outcome.skip(record)
                continue
            relation = Relation(
                id=uuid7(),
                workspace_id=self._workspace_id,
                source_id=source_id,
                type=record.type,
                task_id=task_id,
                created_by=self._job.created_by,
                created_at=self._now,
                lag_s=record.lag_s,
            )
            try:
                if not self._job.dry_run:
                    async with self._work.savepoint():
                        relation = await relation_commands.add(self._work, relation)
            except RotaError as error:
                self.outcome.fail(record, error.code, error.detail)
            else:
                self._ids[record.key] = relation.id
                self.outcome.create(record, relation.id)

    async def items(self, records: Sequence[ItemRecord]) -> None:
        """Add steps to the checklists of tasks."""
        ids = {self._ids[record.task] for record in records if record.task in self._ids}
        living: Collection[UUID] = self._foreseen.levels if self._job.dry_run else ()
        there: dict[UUID, tuple[int, str]] = {}
        if ids:
            living = {*living, *await lookups.titles(self._work, self._workspace_id, ids)}
            there = await lookups.checklists(self._work, self._workspace_id, ids)
        new = []
        for record, item_id in zip(records, sorted(uuid7() for _ in records), strict=True):
            task_id = self._ids.get(record.task)
            items, last = there.get(task_id, (0, None)) if task_id else (0, None)
            if record.key in self._ids:
                self.outcome.skip(record)
            elif task_id is None or task_id not in living:
                self.outcome.fail(record, "TASK_NOT_FOUND", "Its task does not stand above it, or was deleted.")
            elif items >= MAX_ITEMS:
                self.outcome.fail(record, "TOO_MANY_CHECKLIST_ITEMS", f"A checklist has at most {MAX_ITEMS} items.")
            else:
                position = boards.between(last, None)
                there[task_id] = (items + 1, position)
                new.append(self._item(record, item_id, task_id, position))
                self._ids[record.key] = item_id
                self.outcome.create(record, item_id)
        if new and not self._job.dry_run:
            await bulk.add_items(self._work, new)

    def _item(self, record: ItemRecord, item_id: UUID, task_id: UUID, position: str) -> ChecklistItem:
        assignees = self._people_of(record, (record.assignee,) if record.assignee else (), 1)
        return ChecklistItem(
            id=item_id,
            workspace_id=self._workspace_id,
            task_id=task_id,
            title=record.title,
            is_done=record.is_done,
            done_by=self._job.created_by if record.is_done else None,
            done_at=min(record.done_at or self._now, self._now) if record.is_done else None,
            assignee_id=assignees[0] if assignees else None,
            position=position,
            **self._made(),
        )

    async def comments(self, records: Sequence[CommentRecord]) -> None:
        """Say what was said."""
        ids = {self._ids[record.task] for record in records if record.task in self._ids}
        titles: Mapping[UUID, str] = {}
        if ids:
            titles = await lookups.titles(self._work, self._workspace_id, ids)
        created = []
        for record, comment_id in zip(records, sorted(uuid7() for _ in records), strict=True):
            task_id = self._ids.get(record.task)
            foreseen = self._job.dry_run and task_id in self._foreseen.levels
            if record.key in self._ids:
                self.outcome.skip(record)
            elif task_id is None or (task_id not in titles and not foreseen):
                self.outcome.fail(record, "TASK_NOT_FOUND", "Its task does not stand above it, or was deleted.")
            else:
                created.append(self._comment(record, comment_id, task_id))
                self._ids[record.key] = comment_id
                self.outcome.create(record, comment_id)
        if created and not self._job.dry_run:
            await bulk.add_comments(self._work, created, titles)
            self._stale.update(comment.task_id for comment in created)

    async def reactions(self, records: Sequence[ReactionRecord]) -> None:
        """React as people did who are known here."""
        ids = {self._ids[record.comment] for record in records if record.comment in self._ids}
        tasks = await lookups.comments(self._work, self._workspace_id, ids) if ids else {}
        for record in records:
            comment_id, user_id = self._ids.get(record.comment), self._people.find(record.user)
            task_id = tasks.get(comment_id) if comment_id else None
            if record.key in self._ids:
                self.outcome.skip(record)
            elif comment_id is None or (task_id is None and not self._job.dry_run):
                self.outcome.fail(record, "COMMENT_NOT_FOUND", "Its comment does not stand above it, or was deleted.")
            elif user_id is None:
                self.outcome.fail(record, "PERSON_UNKNOWN", "Nobody is made to react who did not.")
            else:
                await self._react(record, user_id, comment_id, task_id)

    async def _react(self, record: ReactionRecord, user_id: UUID, comment_id: UUID, task_id: UUID | None) -> None:
        try:
            emoji = reaction_domain.qualified(record.emoji)
        except ValueError:
            self.outcome.fail(record, "NOT_AN_EMOJI", "It is not one emoji.")
            return
        reaction_id = uuid7()
        if task_id is not None and not self._job.dry_run:
            added = reaction_domain.add(
                Reaction(
                    id=reaction_id,
                    workspace_id=self._workspace_id,
                    task_id=task_id,
                    comment_id=comment_id,
                    emoji=emoji,
                    user_id=user_id,
                    created_at=min(record.created_at or self._now, self._now),
                )
            )
            self._work.append(reaction_messages.event_message(added))
            await reaction_store.project(self._work, added)
        self._ids[record.key] = reaction_id
        self.outcome.create(record, reaction_id)

    def _comment(self, record: CommentRecord, comment_id: UUID, task_id: UUID) -> Comment:
        author_id, text = self._people.find(record.author) if record.author else None, record.text
        if author_id is None and record.author:
            # Nobody is made to say what they did not say.
            text = f"*{record.author[:200]}*:\n\n{text}"[:20_000]
        said_at = min(record.created_at or self._now, self._now)
        return Comment(
            id=comment_id,
            workspace_id=self._workspace_id,
            task_id=task_id,
            text=text,
            author_id=author_id or self._job.created_by,
            created_at=said_at,
            updated_at=said_at,
        )

    async def finish(self) -> None:
        """Bring search up to date, and remember what was created."""
        if self._job.dry_run:
            self._foreseen.ids |= self.outcome.made
            return
        if self._stale:
            await documents.write_of_tasks(self._work, workspace_id=self._workspace_id, task_ids=sorted(self._stale))
        await store.remember(self._work, self._job, self.outcome.made)

    def _made(self) -> dict[str, Any]:
        return {"created_by": self._job.created_by, "created_at": self._now, "updated_at": self._now}


class _Refused(Exception):
    """A record cannot be created."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


def _is_rank(position: Any) -> bool:
    if not isinstance(position, str):
        return False
    try:
        boards.between(position, None)
    except Exception:  # noqa: BLE001 (the library raises its own and others')
        return False
    return True


def _transition(given: Mapping[str, Any], ids: Mapping[str, UUID]) -> Transition:
    guards, fields = given.get("guards"), given.get("required_fields")
    role = given.get("role")
    return Transition(
        ids[given["to_state_id"]],
        tuple(guard for guard in Guard if guard in guards) if isinstance(guards, list) else (),
        role if role in ("admin", "owner") else None,
        tuple(each for each in _REQUIRABLE if each in fields) if isinstance(fields, list) else (),
    )


def _of(records: Sequence[Record], kind: type[Any] | tuple[type[Any], ...]) -> list[Any]:
    return [record for record in records if isinstance(record, kind)]


def _keys(records: Sequence[Record]) -> set[str]:
    """The keys of the records and of what they refer to."""
    keys = {record.key for record in records if not isinstance(record, RejectedRecord)}
    for record in records:
        match record:
            case SectionRecord():
                keys.add(record.project)
            case FieldRecord():
                keys.update((record.project, *(key for key, _, _ in record.options)))
            case ReactionRecord():
                keys.add(record.comment)
            case TaskRecord():
                named = (record.project, record.section, record.state, record.state_before, record.parent)
                keys.update(each for each in named if each is not None)
                keys.update(record.values)
                keys.update(_option_key(each) for value in record.values.values() for each in _options(value))
            case RelationRecord():
                keys.update((record.task, record.other))
            case CommentRecord() | ItemRecord():
                keys.add(record.task)
    return keys


def _options(value: Mapping[str, Any]) -> Sequence[str]:
    match value:
        case {"option_id": option}:
            return [option]
        case {"option_ids": {"ids": options}}:
            found: Sequence[str] = options
            return found
    return []


def _option_key(option: str) -> str:
    return f"custom_option:{option}"


@cache
def _zones() -> frozenset[str]:
    return frozenset(resources.files("tzdata").joinpath("zones").read_text(encoding="utf-8").split())
