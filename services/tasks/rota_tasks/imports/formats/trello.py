"""Trello: the JSON export of a board. Its lists become sections."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from rota_tasks.imports.domain import (
    CommentRecord,
    ItemRecord,
    LabelRecord,
    Problem,
    ProjectRecord,
    Record,
    SectionRecord,
    TaskRecord,
    Unreadable,
)
from rota_tasks.imports.formats import content, values
from rota_tasks.imports.formats.values import MAX_COMMENT, MAX_PROJECT_NAME, Notes, Wrong
from rota_tasks.tasks.domain import Status

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


def records(parts: Sequence[str], _columns: Mapping[str, str]) -> Iterator[Record]:
    """The records of a board."""
    board = content.document(parts)
    if not isinstance(board, dict) or not isinstance(board.get("cards"), list):
        raise Unreadable(Problem("", "WRONG_FORMAT", "The file is no object with a list `cards`."))
    notes = Notes("")
    try:
        project = ProjectRecord(
            place="",
            key=values.key("project", board.get("id")),
            name=values.name(board.get("name"), notes, most=MAX_PROJECT_NAME),
            description=values.text(board.get("desc"), notes, most=10_000),
            archived=bool(board.get("closed")),
            notes=tuple(notes),
        )
    except Wrong as error:
        raise Unreadable(Problem("", error.code, f"The board cannot be read: {error}.")) from error
    yield project
    yield from _sections(board, project.key)
    labels = {str(each.get("id")): _label_name(each) for _, each in values.objects(board.get("labels"))}
    yield from _labels(board)
    people = {
        str(each.get("id")): str(each.get("email") or each.get("username") or "")
        for _, each in values.objects(board.get("members"))
    }
    cards = _by_position(board.get("cards"))
    for index, card in cards:
        yield _card(card, Notes(f"/cards/{index}"), project.key, labels, people)
    checklists = _by_position(board.get("checklists"))
    of_card = Counter(str(checklist.get("idCard")) for _, checklist in checklists)
    for index, checklist in checklists:
        named = of_card[str(checklist.get("idCard"))] > 1
        for at, item in _by_position(checklist.get("checkItems")):
            yield _item(item, checklist, Notes(f"/checklists/{index}/checkItems/{at}"), people, named=named)
    # The newest action stands first.
    for index, action in reversed(values.objects(board.get("actions"))):
        if action.get("type") == "commentCard":
            yield _comment(action, Notes(f"/actions/{index}"))


def _by_position(found: Any) -> Sequence[tuple[int, dict[str, Any]]]:
    def position(item: tuple[int, dict[str, Any]]) -> float:
        place = item[1].get("pos")
        return place if isinstance(place, int | float) else 0

    return sorted(values.objects(found), key=position)


def _sections(board: Mapping[str, Any], project: str) -> Iterator[Record]:
    for index, each in _by_position(board.get("lists")):
        notes = Notes(f"/lists/{index}")
        try:
            yield SectionRecord(
                place=notes.place,
                key=values.key("section", each.get("id")),
                project=project,
                name=values.name(each.get("name"), notes),
                notes=tuple(notes),
            )
        except Wrong as error:
            yield values.rejected("section", notes.place, error)


def _label_name(label: Mapping[str, Any]) -> str:
    """Its name, or else its colour, by which boards show it."""
    return str(label.get("name") or label.get("color") or "")


def _labels(board: Mapping[str, Any]) -> Iterator[Record]:
    for index, each in values.objects(board.get("labels")):
        if _label_name(each).strip():
            notes = Notes(f"/labels/{index}")
            try:
                yield LabelRecord(
                    place=notes.place,
                    key=values.key("label", each.get("id")),
                    name=values.name(_label_name(each), notes),
                    notes=tuple(notes),
                )
            except Wrong as error:
                yield values.rejected("label", notes.place, error)


def _card(
    data: Mapping[str, Any], notes: Notes, project: str, labels: Mapping[str, str], people: Mapping[str, str]
) -> Record:
    try:
        title, description = values.title(data.get("name"), values.text(data.get("desc"), notes), notes)
        done = bool(data.get("dueComplete") or data.get("closed"))
        fields: dict[str, Any] = {
            "title": title,
            "description": description,
            "status": Status.DONE if done else Status.TODO,
        }
        values.timed(fields, "due", data.get("due"), notes)
        values.timed(fields, "start", data.get("start"), notes)
        if done:
            values.at(fields, "completed_at", data.get("dateLastActivity"), notes)
        if data.get("attachments"):
            notes.add("ATTACHMENTS_LEFT_OUT", "The card has attachments, which are left out.")
        return TaskRecord(
            place=notes.place,
            key=values.key("task", data.get("id")),
            fields=fields,
            project=project,
            section=values.reference("section", data.get("idList")),
            labels=tuple(
                name for each in values.one_by_one(data.get("idLabels")) if (name := labels.get(str(each), "").strip())
            ),
            assignees=tuple(people.get(str(each), str(each)) for each in values.one_by_one(data.get("idMembers"))),
            notes=tuple(notes),
        )
    except Wrong as error:
        return values.rejected("task", notes.place, error)


def _item(
    data: Mapping[str, Any], checklist: Mapping[str, Any], notes: Notes, people: Mapping[str, str], *, named: bool
) -> Record:
    try:
        title = values.name(data.get("name"), notes, most=values.MAX_TITLE)
        if named and isinstance(checklist.get("name"), str):
            title = f"{values.clean(checklist['name'])}: {title}"[: values.MAX_TITLE]
        if data.get("due"):
            notes.add("DUE_LEFT_OUT", f"The item is due at {str(data['due'])[:50]}, which is left out.")
        who = data.get("idMember")
        return ItemRecord(
            place=notes.place,
            key=values.key("checklist_item", data.get("id")),
            task=values.key("task", checklist.get("idCard")),
            title=title,
            is_done=data.get("state") == "complete",
            assignee=people.get(str(who), str(who)) if who else "",
            notes=tuple(notes),
        )
    except Wrong as error:
        return values.rejected("checklist_item", notes.place, error)


def _comment(action: Mapping[str, Any], notes: Notes) -> Record:
    try:
        data = action.get("data")
        data = data if isinstance(data, dict) else {}
        card, who = data.get("card"), action.get("memberCreator")
        created: dict[str, Any] = {}
        values.at(created, "created_at", action.get("date"), notes)
        return CommentRecord(
            place=notes.place,
            key=values.key("comment", action.get("id")),
            task=values.key("task", card.get("id") if isinstance(card, dict) else None),
            text=values.name(data.get("text"), notes, most=MAX_COMMENT, what="text"),
            author=str(who.get("username") or "") if isinstance(who, dict) else "",
            created_at=created.get("created_at"),
            notes=tuple(notes),
        )
    except Wrong as error:
        return values.rejected("comment", notes.place, error)
