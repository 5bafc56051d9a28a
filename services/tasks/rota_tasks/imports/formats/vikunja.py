"""Vikunja: `data.json` of the archive that its data export gives, a list of projects with their tasks and buckets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota_tasks.imports.domain import (
    CommentRecord,
    LabelRecord,
    Problem,
    ProjectRecord,
    Record,
    RelationRecord,
    SectionRecord,
    TaskRecord,
    Unreadable,
)
from rota_tasks.imports.formats import content, recurring, values
from rota_tasks.imports.formats.values import MAX_COMMENT, MAX_PROJECT_NAME, Notes, Wrong
from rota_tasks.relations.domain import RelationType
from rota_tasks.tasks.domain import Priority, Status

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

# 5 is "do now".
_PRIORITIES = {"1": Priority.LOW, "2": Priority.MEDIUM, "3": Priority.HIGH, "4": Priority.URGENT, "5": Priority.URGENT}
# By kind: the type, and whether it is seen from the other task.
_RELATIONS = {
    "related": (RelationType.RELATES, False),
    "copiedfrom": (RelationType.RELATES, False),
    "copiedto": (RelationType.RELATES, False),
    "duplicateof": (RelationType.DUPLICATES, False),
    "duplicates": (RelationType.DUPLICATES, True),
    "blocking": (RelationType.BLOCKS, False),
    "blocked": (RelationType.BLOCKS, True),
    "precedes": (RelationType.FINISHES_BEFORE, False),
    "follows": (RelationType.FINISHES_BEFORE, True),
}


def records(parts: Sequence[str], _columns: Mapping[str, str]) -> Iterator[Record]:
    """The records of an export."""
    found = content.document(parts)
    if not isinstance(found, list):
        raise Unreadable(Problem("", "WRONG_FORMAT", "The file is no list of projects."))
    projects = values.objects(found)
    yield from _projects(projects)
    tasks = [
        (f"/{at}/tasks/{index}", each, project)
        for at, project in projects
        for index, each in values.objects(project.get("tasks"))
    ]
    yield from _labels(tasks)
    above = _parents(each for _, each, _ in tasks)
    buckets = _buckets(project for _, project in projects)
    ordered, circles = content.parents_first(
        tasks, name=lambda task: str(task[1].get("id")), parent=lambda task: above.get(str(task[1].get("id")))
    )
    for place, each, project in ordered:
        yield _task(each, Notes(place), project, above, buckets)
    for place, _, _ in circles:
        yield values.rejected("task", place, Wrong("SUBTASK_CYCLE", "the task is a part of itself, or of one that is"))
    yield from _relations(tasks)
    for place, each, _ in tasks:
        for index, comment in values.objects(each.get("comments")):
            yield _comment(comment, each, Notes(f"{place}/comments/{index}"))


def _projects(projects: Sequence[tuple[int, dict[str, Any]]]) -> Iterator[Record]:
    ordered, circles = content.parents_first(
        projects,
        name=lambda item: str(item[1].get("id")),
        parent=lambda item: str(item[1].get("parent_project_id") or ""),
    )
    names: dict[str, str] = {}
    for at, project in [*ordered, *circles]:
        notes = Notes(f"/{at}")
        try:
            above = names.get(str(project.get("parent_project_id")))
            name = values.name(project.get("title"), notes, most=MAX_PROJECT_NAME, what="title")
            whole = f"{above} / {name}"[:MAX_PROJECT_NAME] if above else name
            key = values.key("project", project.get("id"))
            names[str(project["id"])] = whole
            yield ProjectRecord(
                place=notes.place,
                key=key,
                name=whole,
                description=values.text(project.get("description"), notes, most=10_000),
                color=values.color(project.get("hex_color")),
                archived=bool(project.get("is_archived")),
                notes=tuple(notes),
            )
        except Wrong as error:
            yield values.rejected("project", notes.place, error)
            continue
        for index, bucket in values.objects(project.get("buckets")):
            notes = Notes(f"/{at}/buckets/{index}")
            try:
                yield SectionRecord(
                    place=notes.place,
                    key=values.key("section", bucket.get("id")),
                    project=key,
                    name=values.name(bucket.get("title"), notes, what="title"),
                    notes=tuple(notes),
                )
            except Wrong as error:
                yield values.rejected("section", notes.place, error)


def _labels(tasks: Sequence[tuple[str, dict[str, Any], Any]]) -> Iterator[Record]:
    seen = set()
    for place, task, _ in tasks:
        for index, label in values.objects(task.get("labels")):
            if str(label.get("id")) not in seen and isinstance(label.get("title"), str):
                seen.add(str(label.get("id")))
                notes = Notes(f"{place}/labels/{index}")
                try:
                    yield LabelRecord(
                        place=notes.place,
                        key=values.key("label", label.get("id")),
                        name=values.name(label["title"], notes, what="title"),
                        color=values.color(label.get("hex_color")),
                        notes=tuple(notes),
                    )
                except Wrong as error:
                    yield values.rejected("label", notes.place, error)


def _related(task: Mapping[str, Any], kind: str) -> list[Any]:
    related = task.get("related_tasks")
    return [each.get("id") for _, each in values.objects(related.get(kind) if isinstance(related, dict) else None)]


def _parents(tasks: Iterator[dict[str, Any]]) -> dict[str, str]:
    """The task above each, whichever of the two says so."""
    above: dict[str, str] = {}
    for task in tasks:
        for parent in _related(task, "parenttask"):
            above.setdefault(str(task.get("id")), str(parent))
        for child in _related(task, "subtask"):
            above.setdefault(str(child), str(task.get("id")))
    return above


def _buckets(projects: Iterator[dict[str, Any]]) -> dict[str, Any]:
    return {
        str(each.get("task_id")): each.get("bucket_id")
        for project in projects
        for _, each in values.objects(project.get("task_buckets"))
    }


def _task(
    data: Mapping[str, Any],
    notes: Notes,
    project: Mapping[str, Any],
    above: Mapping[str, str],
    buckets: Mapping[str, Any],
) -> Record:
    try:
        title, description = values.title(data.get("title"), values.text(data.get("description"), notes), notes)
        percent = data.get("percent_done")
        fields: dict[str, Any] = {
            "title": title,
            "description": description,
            "priority": _PRIORITIES.get(str(data.get("priority")), Priority.NONE),
            "status": Status.DONE if data.get("done") else Status.TODO,
            "progress": round(100 * min(max(percent, 0), 1)) if isinstance(percent, int | float) else 0,
        }
        values.timed(fields, "due", data.get("due_date"), notes)
        values.timed(fields, "start", data.get("start_date"), notes)
        values.at(fields, "deadline_at", data.get("end_date"), notes)
        values.at(fields, "completed_at", data.get("done_at"), notes)
        reminders = values.objects(data.get("reminders"))
        if reminders:
            values.at(fields, "remind_at", reminders[0][1].get("reminder"), notes)
        if data.get("attachments"):
            notes.add("ATTACHMENTS_LEFT_OUT", "The task has attachments, which are left out.")
        bucket = data.get("bucket_id") or buckets.get(str(data.get("id")))
        listed = {str(each.get("id")) for _, each in values.objects(project.get("buckets"))}
        return TaskRecord(
            place=notes.place,
            key=values.key("task", data.get("id")),
            fields=fields,
            project=values.reference("project", project.get("id")),
            section=values.reference("section", bucket) if str(bucket) in listed else None,
            parent=values.reference("task", above.get(str(data.get("id")))),
            labels=tuple(
                each["title"] for _, each in values.objects(data.get("labels")) if isinstance(each.get("title"), str)
            ),
            assignees=tuple(name for _, each in values.objects(data.get("assignees")) if (name := _person(each))),
            **_recurrence(data, notes),
            notes=tuple(notes),
        )
    except Wrong as error:
        return values.rejected("task", notes.place, error)


def _recurrence(data: Mapping[str, Any], notes: Notes) -> dict[str, Any]:
    seconds, mode = data.get("repeat_after"), data.get("repeat_mode")
    rule = recurring.repeated(seconds, mode)
    if rule is None and not seconds:
        return {}
    return recurring.taken(f"repeat_after {seconds}, repeat_mode {mode or 0}", rule, notes)


def _relations(tasks: Sequence[tuple[str, dict[str, Any], Any]]) -> Iterator[Record]:
    seen = set()
    for place, task, _ in tasks:
        for kind, (relation_type, inverse) in _RELATIONS.items():
            for index, other in enumerate(_related(task, kind)):
                at = f"{place}/related_tasks/{kind}/{index}"
                try:
                    ends = [values.key("task", task.get("id")), values.key("task", other)]
                except Wrong as error:
                    yield values.rejected("relation", at, error)
                    continue
                if inverse or (relation_type is RelationType.RELATES and ends[0] > ends[1]):
                    ends.reverse()
                key = f"relation:{ends[0]} {relation_type} {ends[1]}"
                if key not in seen:
                    seen.add(key)
                    yield RelationRecord(place=at, key=key, task=ends[0], type=relation_type, other=ends[1])


def _comment(data: Mapping[str, Any], task: Mapping[str, Any], notes: Notes) -> Record:
    try:
        created: dict[str, Any] = {}
        values.at(created, "created_at", data.get("created"), notes)
        author = data.get("author")
        return CommentRecord(
            place=notes.place,
            key=values.key("comment", data.get("id")),
            task=values.key("task", task.get("id")),
            text=values.name(data.get("comment"), notes, most=MAX_COMMENT, what="comment"),
            author=_person(author) if isinstance(author, dict) else "",
            created_at=created.get("created_at"),
            notes=tuple(notes),
        )
    except Wrong as error:
        return values.rejected("comment", notes.place, error)


def _person(user: Mapping[str, Any]) -> str:
    return str(user.get("email") or user.get("username") or "")
