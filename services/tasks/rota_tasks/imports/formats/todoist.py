"""Todoist: an answer of its sync API, with projects, sections, items, notes, labels and collaborators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota_tasks.imports.domain import (
    CommentRecord,
    LabelRecord,
    Problem,
    ProjectRecord,
    Record,
    SectionRecord,
    TaskRecord,
    Unreadable,
)
from rota_tasks.imports.formats import content, recurring, values
from rota_tasks.imports.formats.values import MAX_COMMENT, MAX_ESTIMATE_S, MAX_PROJECT_NAME, Notes, Wrong
from rota_tasks.tasks.domain import Priority, Status

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

# Todoist counts the other way round from what it shows: 4 is p1.
_PRIORITIES = {"4": Priority.URGENT, "3": Priority.HIGH, "2": Priority.MEDIUM}
_SECONDS = {"minute": 60, "day": 86_400}


def records(parts: Sequence[str], _columns: Mapping[str, str]) -> Iterator[Record]:
    """The records of an answer; what is deleted is left out."""
    found = content.document(parts)
    if not isinstance(found, dict) or not isinstance(found.get("items"), list):
        raise Unreadable(Problem("", "WRONG_FORMAT", "The file is no object with a list `items`."))
    people = {
        str(each.get("id")): str(each.get("email") or each.get("full_name") or "")
        for _, each in values.objects(found.get("collaborators"))
    }
    yield from _projects(found)
    for index, each in _living(found, "sections", "section_order"):
        yield _section(each, Notes(f"/sections/{index}"))
    for index, each in _living(found, "labels", "item_order"):
        yield _label(each, Notes(f"/labels/{index}"))
    items, circles = content.parents_first(
        _living(found, "items", "child_order"), name=lambda item: str(item[1].get("id")), parent=_parent
    )
    for index, each in items:
        yield _task(each, Notes(f"/items/{index}"), people)
    for index, _ in circles:
        yield values.rejected(
            "task", f"/items/{index}", Wrong("SUBTASK_CYCLE", "the task is a part of itself, or of one that is")
        )
    for index, each in values.objects(found.get("notes")):
        if not each.get("is_deleted"):
            yield _comment(each, Notes(f"/notes/{index}"), people)


def _living(found: Mapping[str, Any], name: str, order: str) -> Sequence[tuple[int, dict[str, Any]]]:
    living = [each for each in values.objects(found.get(name)) if not each[1].get("is_deleted")]
    return sorted(living, key=lambda item: _order(item[1].get(order)))


def _order(value: Any) -> float:
    return value if isinstance(value, int | float) else 0


def _parent(item: tuple[int, dict[str, Any]]) -> str | None:
    above = item[1].get("parent_id")
    return None if above is None else str(above)


def _projects(found: Mapping[str, Any]) -> Iterator[Record]:
    projects = _living(found, "projects", "child_order")
    ordered, circles = content.parents_first(projects, name=lambda item: str(item[1].get("id")), parent=_parent)
    names: dict[str, str] = {}
    for index, each in [*ordered, *circles]:
        notes = Notes(f"/projects/{index}")
        try:
            above = names.get(str(each.get("parent_id")))
            name = values.name(each.get("name"), notes, most=MAX_PROJECT_NAME)
            whole = f"{above} / {name}"[:MAX_PROJECT_NAME] if above else name
            key = values.key("project", each.get("id"))
            names[str(each["id"])] = whole
            yield ProjectRecord(
                place=notes.place, key=key, name=whole, archived=bool(each.get("is_archived")), notes=tuple(notes)
            )
        except Wrong as error:
            yield values.rejected("project", notes.place, error)


def _section(data: Mapping[str, Any], notes: Notes) -> Record:
    try:
        return SectionRecord(
            place=notes.place,
            key=values.key("section", data.get("id")),
            project=values.key("project", data.get("project_id")),
            name=values.name(data.get("name"), notes),
            notes=tuple(notes),
        )
    except Wrong as error:
        return values.rejected("section", notes.place, error)


def _label(data: Mapping[str, Any], notes: Notes) -> Record:
    try:
        name = values.name(data.get("name"), notes)
        return LabelRecord(place=notes.place, key=values.key("label", data.get("id")), name=name, notes=tuple(notes))
    except Wrong as error:
        return values.rejected("label", notes.place, error)


def _task(data: Mapping[str, Any], notes: Notes, people: Mapping[str, str]) -> Record:
    try:
        title, description = values.title(data.get("content"), values.text(data.get("description"), notes), notes)
        fields: dict[str, Any] = {
            "title": title,
            "description": description,
            "priority": _PRIORITIES.get(str(data.get("priority")), Priority.NONE),
            "status": Status.DONE if data.get("checked") else Status.TODO,
        }
        _times(fields, data, notes)
        who = data.get("responsible_uid")
        return TaskRecord(
            place=notes.place,
            key=values.key("task", data.get("id")),
            fields=fields,
            project=values.reference("project", data.get("project_id")),
            section=values.reference("section", data.get("section_id")),
            parent=values.reference("task", data.get("parent_id")),
            labels=tuple(each for each in values.one_by_one(data.get("labels")) if isinstance(each, str)),
            assignees=(people.get(str(who)) or str(who),) if who else (),
            **_recurrence(data, fields, notes),
            notes=tuple(notes),
        )
    except Wrong as error:
        return values.rejected("task", notes.place, error)


def _times(fields: dict[str, Any], data: Mapping[str, Any], notes: Notes) -> None:
    due, deadline, duration = (
        each if isinstance(each, dict) else {} for each in (data.get("due"), data.get("deadline"), data.get("duration"))
    )
    values.timed(fields, "due", due.get("date"), notes)
    if isinstance(due.get("timezone"), str):
        fields["time_zone"] = due["timezone"]
    values.at(fields, "deadline_at", deadline.get("date"), notes)
    values.at(fields, "completed_at", data.get("completed_at"), notes)
    amount = values.number(duration.get("amount"), notes, least=0, most=1_000_000, what="duration")
    if amount:
        fields["estimate_s"] = min(amount * _SECONDS.get(str(duration.get("unit")), 60), MAX_ESTIMATE_S)


def _recurrence(data: Mapping[str, Any], fields: Mapping[str, Any], notes: Notes) -> dict[str, Any]:
    due = data.get("due")
    if not isinstance(due, dict) or not due.get("is_recurring"):
        return {}
    text = str(due.get("string"))
    return recurring.taken(text, recurring.said(text, timed="due_at" in fields), notes)


def _comment(data: Mapping[str, Any], notes: Notes, people: Mapping[str, str]) -> Record:
    try:
        created: dict[str, Any] = {}
        values.at(created, "created_at", data.get("posted_at"), notes)
        who = str(data.get("posted_uid") or "")
        return CommentRecord(
            place=notes.place,
            key=values.key("comment", data.get("id")),
            task=values.key("task", data.get("item_id")),
            text=values.name(data.get("content"), notes, most=MAX_COMMENT, what="content"),
            author=people.get(who) or who,
            created_at=created.get("created_at"),
            notes=tuple(notes),
        )
    except Wrong as error:
        return values.rejected("comment", notes.place, error)
