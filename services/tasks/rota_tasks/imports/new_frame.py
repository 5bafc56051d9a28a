"""What records add to the frame in which tasks stand: projects with their states, sections, custom fields, labels.

Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota_chassis.ids import uuid7

from rota_tasks.boards import domain as boards
from rota_tasks.boards.domain import MAX_COLUMNS, Guard, Section, State, Transition
from rota_tasks.fields.domain import MAX_FIELDS, WITH_OPTIONS, CustomField, Option
from rota_tasks.labels.domain import Label, name_key
from rota_tasks.projects.domain import Project

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from uuid import UUID

    from rota_tasks.imports.batch import Batch
    from rota_tasks.imports.domain import FieldRecord, LabelRecord, ProjectRecord, SectionRecord, TaskRecord

MAX_LABELS = 50
"""Of one task."""
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


def project(batch: Batch, record: ProjectRecord) -> tuple[Project, Sequence[State]] | None:
    """A project with its states; None when there is it already."""
    if batch.ids.get(record.key) in batch.projects:
        batch.outcome.skip(record)
        return None
    new = Project(
        id=uuid7(),
        workspace_id=batch.job.workspace_id,
        name=record.name,
        description=record.description,
        color=record.color,
        archived=record.archived,
        visibility=record.visibility,
        **batch.made,
    )
    states = _states(batch, new, record)
    if batch.job.dry_run:
        batch.foreseen.projects[new.id] = states
    batch.projects.add(new.id)
    batch.create(record, new.id)
    return new, states


def _states(batch: Batch, project: Project, record: ProjectRecord) -> Sequence[State]:
    given = record.states[:MAX_COLUMNS]
    ids = {state.key: uuid7() for state in given}
    batch.ids |= ids
    batch.outcome.made |= ids
    states: list[State] = []
    for state in given:
        position = boards.between(states[-1].position if states else None, None)
        transitions = tuple(_transition(each, ids) for each in state.transitions if each["to_state_id"] in ids)
        states.append(
            State(
                id=ids[state.key],
                workspace_id=project.workspace_id,
                project_id=project.id,
                name=state.name,
                position=position,
                group=state.group,
                color=state.color,
                wip_limit=state.wip_limit,
                transitions=transitions,
                **batch.made,
            )
        )
    return states


def project_of(batch: Batch, record: SectionRecord | FieldRecord) -> UUID | None:
    """The project in which a section or custom field is to be; None when there is none, which is noted."""
    project_id = batch.ids.get(record.project)
    if project_id is None or project_id not in batch.projects:
        batch.outcome.fail(record, "PROJECT_NOT_FOUND", "Its project does not stand above it.")
        return None
    return project_id


def section(batch: Batch, record: SectionRecord, project_id: UUID, there: Sequence[Section]) -> Section | None:
    """A section behind those that there are; None when there is no room, which is noted."""
    foreseen = sum(each == project_id for each in batch.foreseen.sections.values())
    if len(there) + foreseen >= MAX_COLUMNS:
        batch.outcome.fail(record, "TOO_MANY_SECTIONS", f"A project has at most {MAX_COLUMNS} sections.")
        return None
    new = Section(
        id=uuid7(),
        workspace_id=batch.job.workspace_id,
        project_id=project_id,
        name=record.name,
        position=boards.between(there[-1].position if there else None, None),
        **batch.made,
    )
    if batch.job.dry_run:
        batch.foreseen.sections[new.id] = project_id
    batch.sections[new.id] = project_id
    batch.create(record, new.id)
    return new


def field(batch: Batch, record: FieldRecord, project_id: UUID, there: list[CustomField]) -> CustomField | None:
    """A custom field behind those that there are, among which it is then; None when it is one already, or too many."""
    if batch.ids.get(record.key) in {each.id for each in there}:
        batch.outcome.skip(record)
        return None
    if len(there) >= MAX_FIELDS:
        batch.outcome.fail(record, "TOO_MANY_FIELDS", f"A project has at most {MAX_FIELDS} custom fields.")
        return None
    ids = {key: uuid7() for key, _, _ in record.options} if record.type in WITH_OPTIONS else {}
    new = CustomField(
        id=uuid7(),
        workspace_id=batch.job.workspace_id,
        project_id=project_id,
        name=record.name,
        type=record.type,
        options=tuple(Option(ids[key], name, color) for key, name, color in record.options if key in ids),
        required=record.required,
        position=boards.between(there[-1].position if there else None, None),
        **batch.made,
    )
    there.append(new)
    batch.ids |= ids
    batch.outcome.made |= ids
    batch.create(record, new.id)
    return new


def names_of(task: TaskRecord) -> Mapping[str, str]:
    """The names of a task's labels, by what those that count as one have in common: as many as a task may have."""
    names: dict[str, str] = {}
    for name in task.labels:
        if name.strip() and len(names) < MAX_LABELS:
            names.setdefault(name_key(name), name)
    return names


def label_names(records: Sequence[LabelRecord], tasks: Sequence[TaskRecord]) -> Collection[str]:
    """What the names of labels have in common that records or tasks name."""
    named = {key for record in tasks for key in names_of(record)}
    return named | {name_key(record.name) for record in records}


def labels(batch: Batch, records: Sequence[LabelRecord], tasks: Sequence[TaskRecord]) -> Iterator[Label]:
    """The labels that there are not yet, those that tasks name included."""
    for record in records:
        if name_key(record.name) in batch.labels:
            batch.outcome.skip(record)
        else:
            yield _label(batch, record.name, record.color)
            batch.outcome.create(record)
    for task in tasks:
        for key, name in names_of(task).items():
            if key not in batch.labels and task.key not in batch.ids:
                yield _label(batch, name[:100], "")


def _label(batch: Batch, name: str, color: str) -> Label:
    label = Label(id=uuid7(), workspace_id=batch.job.workspace_id, name=name, color=color, **batch.made)
    batch.labels[name_key(name)] = label.id
    if batch.job.dry_run:
        batch.foreseen.labels[name_key(name)] = label.id
    return label


def _transition(given: Mapping[str, Any], ids: Mapping[str, UUID]) -> Transition:
    guards, fields = given.get("guards"), given.get("required_fields")
    role = given.get("role")
    return Transition(
        ids[given["to_state_id"]],
        tuple(guard for guard in Guard if guard in guards) if isinstance(guards, list) else (),
        role if role in ("admin", "owner") else None,
        tuple(each for each in _REQUIRABLE if each in fields) if isinstance(fields, list) else (),
    )
