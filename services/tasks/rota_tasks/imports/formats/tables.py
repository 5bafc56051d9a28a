"""CSV files (RFC 4180): Rota's own columns, and those of a Todoist project template."""

from __future__ import annotations

import csv
import hashlib
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from rota_tasks.imports.domain import (
    CommentRecord,
    Problem,
    ProjectRecord,
    Record,
    SectionRecord,
    TaskRecord,
    Unreadable,
)
from rota_tasks.imports.formats import content, recurring, values
from rota_tasks.imports.formats.values import MAX_ESTIMATE_S, MAX_NAME, MAX_PROJECT_NAME, Notes, Wrong
from rota_tasks.tasks.domain import Priority, Status

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

FIELDS = (
    "id",
    "title",
    "description",
    "status",
    "priority",
    "project",
    "section",
    "parent_id",
    "labels",
    "assignees",
    "due",
    "start",
    "deadline",
    "time_zone",
    "estimate_s",
    "progress",
    "category",
    "completed_at",
    "recurrence",
)
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula (OWASP, "CSV Injection"); an export puts `'` in front."""
_DELIMITERS = (",", ";", "\t")
_LABEL = re.compile(r"(?<!\S)@([^\s@]+)")
_MAX_COLUMNS = 200
_STATUSES = {"": Status.TODO, **{each.value: each for each in Status}}
_PRIORITIES = {"": Priority.NONE, **{each.value: each for each in Priority}}
_TODOIST_PRIORITIES = {"1": Priority.URGENT, "2": Priority.HIGH, "3": Priority.MEDIUM}
_SECONDS = {"minute": 60, "day": 86_400}


def records(parts: Sequence[str], columns: Mapping[str, str]) -> Iterator[Record]:
    """The records of a CSV file: a project and a section where a row first names it, and a task for each row."""
    headers = {field: columns.get(field, field) for field in FIELDS}
    seen: set[str] = set()
    keys = _Keys()
    for place, row in _rows(parts, headers, ("title",)):
        try:
            yield from _places(row, place, seen)
            yield _task(row, Notes(place), keys)
        except Wrong as error:
            yield values.rejected("task", place, error)


def todoist_records(parts: Sequence[str], _columns: Mapping[str, str]) -> Iterator[Record]:
    """The records of a project template, which does not say what its project is called."""
    above: list[str] = []
    section: str | None = None
    keys = _Keys()
    seen = {"project:template"}
    yield ProjectRecord(place="", key="project:template", name="Todoist")
    for place, row in _rows(parts, {name: name for name in _TODOIST}, ("type", "content")):
        notes, kind = Notes(place), row["type"].strip().lower()
        try:
            if kind == "task":
                task = _todoist_task(row, notes, keys, above=above, section=section)
                yield task
            elif kind == "section":
                name = values.name(row["content"], notes)
                section, above = f"section:{name.strip()}", []
                if section not in seen:
                    seen.add(section)
                    yield SectionRecord(
                        place=place, key=section, project="project:template", name=name, notes=tuple(notes)
                    )
            elif kind == "note":
                yield _note(row, notes, keys, above)
            elif kind not in ("", "meta"):
                yield values.rejected("task", place, Wrong("KIND_UNKNOWN", f"there is no TYPE `{kind[:50]}`"))
        except Wrong as error:
            yield values.rejected({"note": "comment"}.get(kind, kind if kind == "section" else "task"), place, error)


_TODOIST = (
    "type",
    "content",
    "description",
    "priority",
    "indent",
    "author",
    "responsible",
    "date",
    "timezone",
    "duration",
    "duration_unit",
    "deadline",
)


class _Keys:
    """Keys for rows without an id: by what they say, and how often that was said above."""

    def __init__(self) -> None:
        self._said: Counter[bytes] = Counter()

    def of(self, kind: str, row: Mapping[str, str], *context: str) -> str:
        # Rows from before there was such a column keep their keys.
        cells = (cell for name, cell in row.items() if cell or name != "recurrence")
        said = "\0".join((kind, *context, *cells))
        digest = hashlib.blake2b(said.encode(errors="replace"), digest_size=12)
        self._said[digest.digest()] += 1
        return f"{kind}:row-{digest.hexdigest()}-{self._said[digest.digest()]}"


def _rows(
    parts: Sequence[str], headers: Mapping[str, str], required: Sequence[str]
) -> Iterator[tuple[str, dict[str, str]]]:
    """Each row that is not empty with its place: a cell for each field, empty where there is none."""
    lines = content.lines(parts)
    first = next(lines, "")
    delimiter = max(_DELIMITERS, key=first.count)
    reader = csv.reader(_chain(first, lines), delimiter=delimiter, strict=True)
    try:
        header = next(reader, [])
        cells = _columns_of(header, headers, required)
        while True:
            begins = reader.line_num + 1
            row = next(reader, None)
            if row is None:
                return
            if any(row):
                yield f"line {begins}", {field: _cell(row, index) for field, index in cells.items()}
    except csv.Error as error:
        raise Unreadable(Problem(f"line {reader.line_num}", "NOT_CSV", f"The file is not CSV: {error}.")) from error


def _chain(first: str, lines: Iterator[str]) -> Iterator[str]:
    yield first
    yield from lines


def _columns_of(header: Sequence[str], headers: Mapping[str, str], required: Sequence[str]) -> dict[str, int | None]:
    if len(header) > _MAX_COLUMNS:
        raise Unreadable(Problem("line 1", "TOO_MANY_COLUMNS", f"The file has more than {_MAX_COLUMNS} columns."))
    names = [each.strip().casefold() for each in header]
    found = {
        field: names.index(name.strip().casefold()) if name.strip().casefold() in names else None
        for field, name in headers.items()
    }
    missing = [headers[field] for field in required if found[field] is None]
    if missing:
        raise Unreadable(Problem("line 1", "COLUMN_MISSING", f"The header has no column `{missing[0]}`."))
    return found


def _cell(row: Sequence[str], index: int | None) -> str:
    found = row[index] if index is not None and index < len(row) else ""
    return found[1:] if found.startswith("'") and found[1:].startswith((*FORMULA, "'")) else found


def _places(row: Mapping[str, str], place: str, seen: set[str]) -> Iterator[Record]:
    project = row["project"].strip()
    if not project:
        return
    key = values.key("project", project)
    if key not in seen:
        seen.add(key)
        notes = Notes(place)
        yield ProjectRecord(
            place=place, key=key, name=values.name(project, notes, most=MAX_PROJECT_NAME), notes=tuple(notes)
        )
    section = _section(row)
    if section is not None and section not in seen:
        seen.add(section)
        notes = Notes(place)
        name = values.name(row["section"].strip(), notes, most=MAX_NAME)
        yield SectionRecord(place=place, key=section, project=key, name=name, notes=tuple(notes))


def _section(row: Mapping[str, str]) -> str | None:
    if not row["section"].strip():
        return None
    return values.key("section", f"{row['project'].strip()}\x1f{row['section'].strip()}")


def _task(row: Mapping[str, str], notes: Notes, keys: _Keys) -> Record:
    title, description = values.title(row["title"], values.text(row["description"], notes), notes)
    fields: dict[str, Any] = {
        "title": title,
        "description": description,
        "status": _word(_STATUSES, row["status"], "status"),
        "priority": _word(_PRIORITIES, row["priority"], "priority"),
        "estimate_s": values.number(row["estimate_s"], notes, least=0, most=MAX_ESTIMATE_S, what="estimate_s"),
        "progress": values.number(row["progress"], notes, least=0, most=100, what="progress") or 0,
        "category": values.text(row["category"].strip(), notes, most=100, what="category"),
        "time_zone": row["time_zone"].strip(),
    }
    for what in ("due", "start"):
        values.timed(fields, what, row[what], notes)
    values.at(fields, "deadline_at", row["deadline"], notes)
    values.at(fields, "completed_at", row["completed_at"], notes)
    identifier, rule = row["id"].strip(), row["recurrence"].strip()
    section = _section(row)
    if section is not None and not row["project"].strip():
        notes.add("SECTION_WITHOUT_PROJECT", "The row names a section and no project.")
        section = None
    return TaskRecord(
        place=notes.place,
        key=values.key("task", identifier) if identifier else keys.of("task", row),
        fields=fields,
        project=values.reference("project", row["project"].strip()),
        section=section,
        parent=values.reference("task", row["parent_id"].strip()),
        labels=_several(row["labels"]),
        assignees=_several(row["assignees"]),
        **(recurring.taken(rule, recurring.written(rule), notes) if rule else {}),
        notes=tuple(notes),
    )


def _todoist_task(
    row: Mapping[str, str], notes: Notes, keys: _Keys, *, above: list[str], section: str | None
) -> TaskRecord:
    name = _LABEL.sub("", row["content"]).strip() or row["content"]
    title, description = values.title(name, values.text(row["description"], notes), notes)
    fields: dict[str, Any] = {
        "title": title,
        "description": description,
        "priority": _TODOIST_PRIORITIES.get(row["priority"].strip(), Priority.NONE),
        "time_zone": row["timezone"].strip(),
    }
    date = row["date"].strip()
    recurs: dict[str, Any] = {}
    rule = recurring.said(date)
    if rule is not None or date.lower().startswith(("every", "after")):
        recurs = recurring.taken(date, rule, notes)
    else:
        values.timed(fields, "due", date, notes)
    values.at(fields, "deadline_at", row["deadline"], notes)
    duration = values.number(row["duration"], notes, least=0, most=1_000_000, what="DURATION")
    if duration:
        fields["estimate_s"] = min(duration * _SECONDS.get(row["duration_unit"].strip(), 60), MAX_ESTIMATE_S)
    level = values.number(row["indent"], notes, least=1, most=32, what="INDENT") or 1
    del above[level - 1 :]
    key = keys.of("task", row, *above)
    record = TaskRecord(
        place=notes.place,
        key=key,
        fields=fields,
        project="project:template",
        section=section,
        parent=above[-1] if above else None,
        labels=tuple(dict.fromkeys(_LABEL.findall(row["content"]))),
        assignees=(row["responsible"].strip(),) if row["responsible"].strip() else (),
        **recurs,
        notes=tuple(notes),
    )
    above.append(key)
    return record


def _note(row: Mapping[str, str], notes: Notes, keys: _Keys, above: Sequence[str]) -> Record:
    if not above:
        raise Wrong("TASK_NOT_FOUND", "no task stands above the note")
    text = values.name(row["content"], notes, most=values.MAX_COMMENT, what="content")
    return CommentRecord(
        place=notes.place,
        key=keys.of("comment", row, above[-1]),
        task=above[-1],
        text=text,
        author=row["author"].strip(),
        notes=tuple(notes),
    )


def _several(cell: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each.strip() for each in cell.split(";") if each.strip()))


def _word(words: Mapping[str, Any], cell: str, what: str) -> Any:
    found = words.get(cell.strip().lower().replace(" ", "_").replace("-", "_"))
    if found is None:
        raise Wrong("WORD_UNKNOWN", f"there is no {what} `{cell[:50]}`")
    return found
