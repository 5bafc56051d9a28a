"""Rota's own export: JSON Lines, an object `{"kind", "data"}` on each line, `data` in the form of the API.

The first line has the kind `rota` and says which version of this form follows; the last has the kind `end`, so that a
file that was cut off is noticed. What a line refers to stands above it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from protovalidate import Validator
from rota.tasks.v1 import recurrence_pb2, tasks_pb2
from rota_chassis import codec
from rota_chassis.rpc.pipeline import violations_of

from rota_tasks.fields.domain import FieldType
from rota_tasks.fields.messages import value_of
from rota_tasks.imports.domain import (
    CommentRecord,
    FieldRecord,
    ItemRecord,
    LabelRecord,
    Problem,
    ProjectRecord,
    ReactionRecord,
    Record,
    RejectedRecord,
    RelationRecord,
    SectionRecord,
    StateRecord,
    TaskRecord,
    Unreadable,
)
from rota_tasks.imports.formats import content, recurring, values
from rota_tasks.imports.formats.values import MAX_ESTIMATE_S, MAX_PROJECT_NAME, Notes, Wrong
from rota_tasks.projects.domain import Visibility
from rota_tasks.relations.domain import RelationType
from rota_tasks.series.recurrence_messages import recurrence_of
from rota_tasks.tasks.domain import OPEN, Priority, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

VERSION = 1
_PLACES = ("remind_at", "deadline_at", "completed_at")
_MAX_WIP = 10_000
_MAX_LAG_S = 31_536_000
_MAX_OPTIONS = 100
_MAX_REMINDERS = 10
_OPEN = frozenset(each.value for each in OPEN)
_decode_value = codec.decoder(tasks_pb2.CustomValue)
_decode_recurrence = codec.decoder(recurrence_pb2.Recurrence)
_RULES = Validator()


class _Known:
    """What lines above say of what stands below.

    Attributes:
        labels: Names by ids.
        newest: The tasks with which series go on.
    """

    def __init__(self, newest: Collection[str]) -> None:
        self.labels: dict[str, str] = {}
        self.newest = newest


def records(parts: Sequence[str], _columns: Mapping[str, str]) -> Iterator[Record]:
    """The records of an export."""
    known = _Known(_newest(parts))
    number, kind = 0, ""
    for number, line in enumerate(content.lines(parts), start=1):
        if not line.strip():
            continue
        place = f"line {number}"
        kind, data = _line(line, place)
        if number == 1:
            _require_version(kind, data)
        elif kind == "end":
            break
        elif kind in _KINDS:
            try:
                yield _KINDS[kind](data, Notes(place), known)
            except Wrong as error:
                yield values.rejected(kind, place, error)
        else:
            problem = Problem(place, "KIND_UNKNOWN", f"There is no kind `{str(kind)[:50]}`.", left_out=True)
            yield RejectedRecord(place=place, key="record:", notes=(problem,))
    if kind != "end":
        raise Unreadable(
            Problem(f"line {number + 1}", "CUT_OFF", "The file ends without its last line, of the kind `end`.")
        )


def _line(line: str, place: str) -> tuple[Any, dict[str, Any]]:
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise Unreadable(Problem(place, "NOT_JSON", f"The line is not JSON: {error.msg}.")) from error
    if not isinstance(found, dict) or not isinstance(found.get("data"), dict):
        raise Unreadable(Problem(place, "WRONG_FORMAT", "The line is no object with `kind` and `data`."))
    return found.get("kind"), found["data"]


def _require_version(kind: Any, data: Mapping[str, Any]) -> None:
    if kind != "rota" or data.get("version") != VERSION:
        raise Unreadable(
            Problem("line 1", "WRONG_FORMAT", f"The first line does not say that this is an export, version {VERSION}.")
        )


def _project(data: Mapping[str, Any], notes: Notes, _known: _Known) -> Record:
    states = tuple(_state(each, notes) for _, each in values.objects(data.get("states")))
    return ProjectRecord(
        place=notes.place,
        key=values.key("project", data.get("id")),
        name=values.name(data.get("name"), notes, most=MAX_PROJECT_NAME),
        description=values.text(data.get("description"), notes, most=10_000),
        color=values.color(data.get("color")),
        archived=data.get("archived") is True,
        visibility=Visibility.PRIVATE if data.get("visibility") == Visibility.PRIVATE else Visibility.WORKSPACE,
        states=states,
        notes=tuple(notes),
    )


def _state(data: Mapping[str, Any], notes: Notes) -> StateRecord:
    group = data.get("group")
    if group not in set(Status):
        raise Wrong("STATE_GROUP_UNKNOWN", f"there is no group of states `{str(group)[:50]}`")
    return StateRecord(
        key=values.key("state", data.get("id")),
        name=values.name(data.get("name"), notes),
        group=Status(group),
        position=data.get("position"),
        color=values.color(data.get("color")),
        wip_limit=values.number(data.get("wip_limit"), notes, least=0, most=_MAX_WIP, what="wip_limit") or 0,
        transitions=tuple(
            {**each, "to_state_id": values.key("state", each.get("to_state_id"))}
            for _, each in values.objects(data.get("transitions"))
        ),
    )


def _section(data: Mapping[str, Any], notes: Notes, _known: _Known) -> Record:
    return SectionRecord(
        place=notes.place,
        key=values.key("section", data.get("id")),
        project=values.key("project", data.get("project_id")),
        name=values.name(data.get("name"), notes),
        notes=tuple(notes),
    )


def _custom_field(data: Mapping[str, Any], notes: Notes, _known: _Known) -> Record:
    return FieldRecord(
        place=notes.place,
        key=values.key("custom_field", data.get("id")),
        project=values.key("project", data.get("project_id")),
        name=values.name(data.get("name"), notes),
        type=_word(FieldType, data.get("type"), FieldType.TEXT, "type"),
        options=tuple(
            (
                values.key("custom_option", each.get("id")),
                values.name(each.get("name"), notes),
                values.color(each.get("color")),
            )
            for _, each in values.objects(data.get("options"))[:_MAX_OPTIONS]
        ),
        required=data.get("required") is True,
        notes=tuple(notes),
    )


def _values(data: Any, notes: Notes) -> dict[str, Mapping[str, Any]]:
    """The values of custom fields that are any, by the keys of the fields."""
    found: dict[str, Mapping[str, Any]] = {}
    for name, value in data.items() if isinstance(data, dict) else ():
        try:
            message = _decode_value(value)
        except ValueError:
            message = tasks_pb2.CustomValue()
        if violations_of(_RULES, message):
            notes.add("VALUE_NOT_UNDERSTOOD", f"Its value of the custom field {name[:50]} is none.")
        else:
            found[values.key("custom_field", name)] = value_of(message)
    return found


def _reminders(data: Any, notes: Notes) -> tuple[int, ...]:
    found = (
        values.number(each, notes, least=0, most=_MAX_LAG_S, what="remind_before_s") for each in values.one_by_one(data)
    )
    return tuple(dict.fromkeys(each for each in found if each is not None))[:_MAX_REMINDERS]


def _label(data: Mapping[str, Any], notes: Notes, known: _Known) -> Record:
    name = values.name(data.get("name"), notes)
    known.labels[str(data.get("id"))] = name
    return LabelRecord(
        place=notes.place,
        key=values.key("label", data.get("id")),
        name=name,
        color=values.color(data.get("color")),
        notes=tuple(notes),
    )


def _task(data: Mapping[str, Any], notes: Notes, known: _Known) -> Record:
    labels = known.labels
    title, description = values.title(data.get("title"), values.text(data.get("description"), notes), notes)
    fields: dict[str, Any] = {
        "title": title,
        "description": description,
        "status": _word(Status, data.get("status"), Status.TODO, "status"),
        "priority": _word(Priority, data.get("priority"), Priority.NONE, "priority"),
        "estimate_s": values.number(data.get("estimate_s"), notes, least=0, most=MAX_ESTIMATE_S, what="estimate_s"),
        "progress": values.number(data.get("progress"), notes, least=0, most=100, what="progress") or 0,
        "category": values.text(data.get("category"), notes, most=100, what="category"),
        "time_zone": values.text(data.get("time_zone"), notes, most=64, what="time_zone"),
        "position": data.get("position"),
        "status_before": _word(Status, data.get("status_before"), None, "status_before"),
        "remind_before_s": _reminders(data.get("remind_before_s"), notes),
    }
    for what in ("due", "start"):
        values.timed(fields, what, data.get(f"{what}_on") or data.get(f"{what}_at"), notes)
    for field in _PLACES:
        values.at(fields, field, data.get(field), notes)
    given = _values(data.get("fields"), notes)
    unknown = [each for each in values.one_by_one(data.get("label_ids")) if str(each) not in labels]
    if unknown:
        notes.add("LABEL_NOT_FOUND", f"No line above has the label {str(unknown[0])[:50]}.")
    return TaskRecord(
        place=notes.place,
        key=values.key("task", data.get("id")),
        fields=fields,
        project=values.reference("project", data.get("project_id")),
        section=values.reference("section", data.get("section_id")),
        state=values.reference("state", data.get("state_id")),
        state_before=values.reference("state", data.get("state_id_before")),
        parent=values.reference("task", data.get("parent_id")),
        labels=tuple(labels[str(each)] for each in values.one_by_one(data.get("label_ids")) if str(each) in labels),
        assignees=tuple(str(each) for each in values.one_by_one(data.get("assignee_ids"))),
        watchers=tuple(str(each) for each in values.one_by_one(data.get("watcher_ids"))),
        values=given,
        **_recurrence(data, notes, known),
        notes=tuple(notes),
    )


def _recurrence(data: Mapping[str, Any], notes: Notes, known: _Known) -> dict[str, Any]:
    """How the newest open occurrence of a series recurs; those before it are what they were, and do not go on."""
    said = data.get("recurrence")
    if said is None or str(data.get("id")) not in known.newest:
        return {}
    try:
        rule = recurrence_of(_decode_recurrence(said))
    except (ValueError, OverflowError):
        rule = None
    text = str(said.get("rrule") or said.get("cron") or said.get("every")) if isinstance(said, dict) else str(said)
    return {**recurring.taken(text, rule, notes), "occurrence": str(data.get("occurrence") or "")}


def _newest(parts: Sequence[str]) -> frozenset[str]:
    """The tasks with which series go on: of each the newest open occurrence."""
    newest: dict[str, tuple[str, str]] = {}
    for line in content.lines(parts):
        if '"series_id"' not in line:
            continue
        try:
            data = orjson.loads(line)["data"]
            mine = (str(data["occurrence"]), str(data["id"]))
            if data["status"] in _OPEN:
                series = str(data["series_id"])
                newest[series] = max(mine, newest.get(series, mine))
        except (ValueError, TypeError, KeyError):
            # Whoever reads the line says what is wrong with it.
            continue
    return frozenset(task for _, task in newest.values())


def _relation(data: Mapping[str, Any], notes: Notes, _known: _Known) -> Record:
    return RelationRecord(
        place=notes.place,
        key=values.key("relation", data.get("id")),
        task=values.key("task", data.get("source_id")),
        type=_word(RelationType, data.get("type"), None, "type") or RelationType.RELATES,
        other=values.key("task", data.get("task_id")),
        lag_s=values.number(data.get("lag_s"), notes, least=0, most=_MAX_LAG_S, what="lag_s") or 0,
        notes=tuple(notes),
    )


def _comment(data: Mapping[str, Any], notes: Notes, _known: _Known) -> Record:
    created: dict[str, Any] = {}
    values.at(created, "created_at", data.get("created_at"), notes)
    return CommentRecord(
        place=notes.place,
        key=values.key("comment", data.get("id")),
        task=values.key("task", data.get("task_id")),
        text=values.name(data.get("text"), notes, most=values.MAX_COMMENT, what="text"),
        author=str(data.get("author_id") or ""),
        created_at=created.get("created_at"),
        notes=tuple(notes),
    )


def _reaction(data: Mapping[str, Any], notes: Notes, _known: _Known) -> Record:
    created: dict[str, Any] = {}
    values.at(created, "created_at", data.get("created_at"), notes)
    return ReactionRecord(
        place=notes.place,
        key=values.key("reaction", data.get("id")),
        comment=values.key("comment", data.get("comment_id")),
        emoji=values.name(data.get("emoji"), notes, what="emoji"),
        user=str(data.get("user_id") or ""),
        created_at=created.get("created_at"),
        notes=tuple(notes),
    )


def _attachment(data: Mapping[str, Any], notes: Notes, _known: _Known) -> Record:
    name = values.name(data.get("name"), notes)
    raise Wrong("FILE_NOT_INCLUDED", f"the file {name} is no part of the export; attach it again")


def _item(data: Mapping[str, Any], notes: Notes, _known: _Known) -> Record:
    done: dict[str, Any] = {}
    values.at(done, "done_at", data.get("done_at"), notes)
    return ItemRecord(
        place=notes.place,
        key=values.key("checklist_item", data.get("id")),
        task=values.key("task", data.get("task_id")),
        title=values.name(data.get("title"), notes, most=values.MAX_TITLE, what="title"),
        is_done=data.get("is_done") is True,
        assignee=str(data.get("assignee_id") or ""),
        done_at=done.get("done_at"),
        notes=tuple(notes),
    )


_KINDS: Mapping[str, Callable[[Any, Notes, Any], Record]] = {
    "project": _project,
    "section": _section,
    "custom_field": _custom_field,
    "label": _label,
    "task": _task,
    "checklist_item": _item,
    "relation": _relation,
    "comment": _comment,
    "reaction": _reaction,
    "attachment": _attachment,
}


def _word(words: Any, value: Any, absent: Any, what: str) -> Any:
    if value is None:
        return absent
    try:
        return words(value)
    except ValueError as error:
        raise Wrong("WORD_UNKNOWN", f"there is no {what} `{str(value)[:50]}`") from error
