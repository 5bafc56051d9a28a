"""Readers of files: whatever a file holds, they end, and say of each record what it is or what is wrong."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rota_tasks.imports.domain import Format, Problem, Progress, RejectedRecord, TaskRecord, Unreadable
from rota_tasks.imports.formats import READERS, content, values

WORDS = [
    "id",
    "name",
    "title",
    "content",
    "items",
    "cards",
    "tasks",
    "projects",
    "sections",
    "labels",
    "notes",
    "lists",
    "checklists",
    "checkItems",
    "actions",
    "members",
    "buckets",
    "task_buckets",
    "related_tasks",
    "parenttask",
    "subtask",
    "blocking",
    "parent_id",
    "project_id",
    "section_id",
    "parent_project_id",
    "idCard",
    "idList",
    "idLabels",
    "idMembers",
    "due",
    "date",
    "due_date",
    "reminders",
    "reminder",
    "data",
    "card",
    "text",
    "type",
    "priority",
    "pos",
    "state",
    "done",
    "comments",
    "comment",
    "author",
    "collaborators",
    "email",
    "duration",
    "amount",
    "child_order",
    "percent_done",
    "kind",
    "states",
    "transitions",
    "to_state_id",
    "group",
    "guards",
    "position",
    "desc",
    "username",
    "memberCreator",
    "status",
    "label_ids",
]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(
        ["commentCard", "2026-11-21", "9999-12-31T23:59:59-12:00", "0000-00-00", "todo", "", "1", "#fff000"]
    )
    | st.text(max_size=8)
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=6),
    max_leaves=40,
)
NODES = st.lists(st.dictionaries(st.sampled_from(WORDS), JSON, max_size=8), max_size=4)


def read(kind: Format, text: str) -> list[object]:
    found: list[object] = []
    try:
        found.extend(READERS[kind]([text], {}))
    except Unreadable as error:
        found.append(error.problem)
    return found


@settings(max_examples=100, deadline=None)
@given(
    kind=st.sampled_from([Format.TODOIST, Format.TRELLO]),
    found=st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            (
                "items",
                "cards",
                "projects",
                "sections",
                "labels",
                "notes",
                "lists",
                "checklists",
                "actions",
                "members",
                "collaborators",
            ),
            NODES,
        )
        | {"id": SCALARS, "name": SCALARS},
    ),
)
def test_any_object_can_be_read_or_is_refused(kind: Format, found: dict[str, object]) -> None:
    found = {"items": [], "cards": [], "id": "b", "name": "B", **found}
    read(kind, orjson.dumps(found).decode())


@settings(max_examples=60, deadline=None)
@given(found=NODES)
def test_any_list_can_be_read_or_is_refused(found: list[object]) -> None:
    read(Format.VIKUNJA, orjson.dumps(found).decode())


@settings(max_examples=60, deadline=None)
@given(
    found=st.lists(
        st.fixed_dictionaries(
            {
                "kind": st.sampled_from(["project", "section", "label", "task", "relation", "comment", "x", "end"]),
                "data": st.dictionaries(st.sampled_from(WORDS), JSON, max_size=8),
            }
        ),
        max_size=5,
    )
)
def test_any_lines_can_be_read_or_are_refused(found: list[object]) -> None:
    first = {"kind": "rota", "data": {"version": 1}}
    read(Format.ROTA, "\n".join(orjson.dumps(each).decode() for each in [first, *found]))


@settings(max_examples=60, deadline=None)
@given(
    text=st.text(alphabet="a,;\"\n\r'=é1", max_size=200), header=st.sampled_from(["title,id,parent_id", "TYPE;CONTENT"])
)
def test_any_table_can_be_read_or_is_refused(text: str, header: str) -> None:
    for kind in (Format.CSV, Format.TODOIST_CSV):
        read(kind, f"{header}\n{text}")


@pytest.mark.parametrize("size", [1, 2, 7])
def test_lines_are_the_same_however_the_file_is_cut(size: int) -> None:
    text = "\ufeffid,title\r\n1,ä\n\n2,b"
    parts = [text[start : start + size] for start in range(0, len(text), size)]
    assert list(content.lines(parts)) == ["id,title\r\n", "1,ä\n", "\n", "2,b"]


def test_a_title_that_is_too_long_is_kept_in_the_description() -> None:
    (record,) = read(Format.CSV, f"title,description\n{'x' * 600},more\n")
    assert isinstance(record, TaskRecord)
    assert record.fields["title"] == "x" * 500
    assert record.fields["description"] == "x" * 600 + "\n\nmore"
    assert [note.code for note in record.notes] == ["TITLE_CUT"]


def test_a_cell_that_was_guarded_against_formulas_is_read_without_the_guard() -> None:
    found = read(Format.CSV, "title\n'=1+1\n'quoted'\n")
    assert [record.fields["title"] for record in found if isinstance(record, TaskRecord)] == ["=1+1", "'quoted'"]


def test_what_was_not_utf_8_is_noted() -> None:
    (record,) = read(Format.CSV, "title\nM\ufffdller\n")
    assert isinstance(record, TaskRecord)
    assert [note.code for note in record.notes] == ["ENCODING"]


def test_a_field_without_end_is_bounded() -> None:
    found = read(Format.CSV, 'title\n"' + "x" * 200_000)
    assert isinstance(found[-1], Problem)
    assert found[-1].code == "NOT_CSV"


def test_parents_stand_first_and_circles_apart() -> None:
    above = {"a": None, "b": "a", "c": "d", "d": "c", "e": "f", "f": None, "g": "c"}
    ordered, circles = content.parents_first(list(above), name=lambda each: each, parent=lambda each: above[each])
    assert (ordered, sorted(circles)) == (["a", "b", "f", "e"], ["c", "d", "g"])


def test_only_the_first_problems_are_kept_and_the_last_that_ends_it() -> None:
    problems = [Problem(f"line {number}", "X", "x") for number in range(150)]
    progress = Progress().after(150, {}, problems).stopped_by(Problem("", "END", "end"))
    assert (len(progress.problems), progress.problem_count, progress.problems[-1].code) == (100, 151, "END")


def test_a_record_without_an_id_is_rejected() -> None:
    found = read(Format.TODOIST, orjson.dumps({"items": [{"content": "x"}]}).decode())
    assert isinstance(found[0], RejectedRecord)
    assert found[0].notes[0].code == "ID_MISSING"


def test_an_instant_in_the_year_one_is_none() -> None:
    assert values.instant("0001-01-01T00:00:00Z") is None
