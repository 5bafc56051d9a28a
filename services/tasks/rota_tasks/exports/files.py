"""Writes files: the records of a snapshot as lines, one format each."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

import orjson
from rota.tasks.v1 import (
    attachments_pb2,
    boards_pb2,
    checklists_pb2,
    comments_pb2,
    custom_fields_pb2,
    labels_pb2,
    projects_pb2,
    reactions_pb2,
    relations_pb2,
    tasks_pb2,
)
from rota_chassis import codec

from rota_tasks.attachments.messages import attachment_message
from rota_tasks.boards.domain import Section, State
from rota_tasks.boards.messages import section_message, state_message
from rota_tasks.checklists.messages import item_message
from rota_tasks.comments.messages import comment_message
from rota_tasks.exports.domain import Format
from rota_tasks.exports.snapshot import Snapshot
from rota_tasks.fields.messages import field_message
from rota_tasks.imports.formats.recurring import cell
from rota_tasks.imports.formats.rota import VERSION
from rota_tasks.imports.formats.tables import FIELDS, FORMULA
from rota_tasks.labels.messages import label_message
from rota_tasks.projects.messages import project_message
from rota_tasks.reactions.messages import reaction_message
from rota_tasks.relations.messages import relation_message
from rota_tasks.tasks.domain import OPEN, Priority, Task
from rota_tasks.tasks.messages import task_message

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from datetime import date, datetime
    from uuid import UUID

    from rota_tasks.attachments.domain import Attachment


# An import gives its tasks keys of their own.
_COLUMNS = (*FIELDS, "key")
_PROJECT = codec.encoder(projects_pb2.Project)
_STATE = codec.encoder(boards_pb2.State)
_SECTION = codec.encoder(boards_pb2.Section)
_LABEL = codec.encoder(labels_pb2.Label)
_TASK = codec.encoder(tasks_pb2.Task)
_ITEM = codec.encoder(checklists_pb2.ChecklistItem)
_RELATION = codec.encoder(relations_pb2.Relation)
_COMMENT = codec.encoder(comments_pb2.Comment)
_FIELD = codec.encoder(custom_fields_pb2.CustomField)
_REACTION = codec.encoder(reactions_pb2.Reaction)
_ATTACHMENT = codec.encoder(attachments_pb2.Attachment)


def _attachment(attachment: Attachment) -> Mapping[str, Any]:
    """An attachment with the path at which its file is: files are not copied."""
    path = f"/api/v1/attachments/{attachment.id}/content"
    return {**_ATTACHMENT(attachment_message(attachment)), "content_path": path}


# What comes behind tasks.
_STREAMED: Sequence[tuple[str, Callable[[Snapshot], AsyncIterator[Any]], Callable[[Any], Mapping[str, Any]]]] = (
    ("checklist_item", Snapshot.checklist_items, lambda item: _ITEM(item_message(item))),
    ("relation", Snapshot.relations, lambda relation: _RELATION(relation_message(relation))),
    ("comment", Snapshot.comments, lambda comment: _COMMENT(comment_message(comment))),
    ("reaction", Snapshot.reactions, lambda reaction: _REACTION(reaction_message(reaction))),
    ("attachment", Snapshot.attachments, _attachment),
)


async def rota_lines(snapshot: Snapshot) -> AsyncIterator[tuple[str, str]]:
    """Rota's own form (`imports.formats.rota` reads it): the kind of each line and the line."""
    yield _line("rota", {"version": VERSION})
    for label in await snapshot.labels():
        yield _line("label", _LABEL(label_message(label)))
    states: dict[UUID, list[dict[str, Any]]] = {}
    for state in await snapshot.columns(State):
        states.setdefault(state.project_id, []).append(_STATE(state_message(state)))
    for project in await snapshot.projects():
        yield _line("project", {**_PROJECT(project_message(project)), "states": states.get(project.id, [])})
    for section in await snapshot.columns(Section):
        yield _line("section", _SECTION(section_message(section)))
    for custom in await snapshot.custom_fields():
        yield _line("custom_field", _FIELD(field_message(custom)))
    async for task in snapshot.tasks():
        yield _line("task", _TASK(task_message(task)))
    for kind, read, data_of in _STREAMED:
        async for each in read(snapshot):
            yield _line(kind, data_of(each))
    yield _line("end", {})


async def csv_lines(snapshot: Snapshot) -> AsyncIterator[tuple[str, str]]:
    """A table of the tasks (`imports.formats.tables` reads it)."""
    projects = {project.id: project.name for project in await snapshot.projects()}
    sections = {section.id: section.name for section in await snapshot.columns(Section)}
    labels = {label.id: label.name for label in await snapshot.labels()}
    yield "header", _row(_COLUMNS)
    async for task in snapshot.tasks():
        cells = _cells(task, projects, sections, labels)
        yield "task", _row([_guarded(cells[name]) for name in _COLUMNS])


LINES: Mapping[Format, Callable[[Snapshot], AsyncIterator[tuple[str, str]]]] = {
    Format.ROTA: rota_lines,
    Format.CSV: csv_lines,
}


def _line(kind: str, data: Mapping[str, Any]) -> tuple[str, str]:
    return kind, orjson.dumps({"kind": kind, "data": data}).decode() + "\n"


def _row(cells: Any) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue()


def _guarded(cell: str) -> str:
    return f"'{cell}" if cell.startswith((*FORMULA, "'")) else cell


def _cells(
    task: Task, projects: Mapping[UUID, str], sections: Mapping[UUID, str], labels: Mapping[UUID, str]
) -> Mapping[str, str]:
    return {
        "id": str(task.id),
        "key": task.key or "",
        "title": task.title,
        "description": task.description,
        "status": task.status.value,
        "priority": "" if task.priority is Priority.NONE else task.priority.value,
        "project": projects.get(task.project_id, "") if task.project_id else "",
        "section": sections.get(task.section_id, "") if task.section_id else "",
        "parent_id": str(task.parent_id or ""),
        "labels": ";".join(labels[each].replace(";", ",") for each in task.label_ids if each in labels),
        "assignees": ";".join(map(str, task.assignee_ids)),
        "due": _time(task.due_on or task.due_at),
        "start": _time(task.start_on or task.start_at),
        "deadline": _time(task.deadline_at),
        "time_zone": task.time_zone,
        "estimate_s": "" if task.estimate_s is None else str(task.estimate_s),
        "progress": str(task.progress or ""),
        "category": task.category,
        "completed_at": _time(task.completed_at),
        # What is closed does not go on.
        "recurrence": cell(task.recurrence) if task.recurrence and task.status in OPEN else "",
    }


def _time(value: date | datetime | None) -> str:
    return "" if value is None else value.isoformat().replace("+00:00", "Z")
