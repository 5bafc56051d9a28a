"""What a decoder refuses, where it points, and what it says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from rota.auth.v1.users_pb2 import UpdateMeRequest, User
from rota.scheduler.v1.schedules_pb2 import CreateScheduleRequest, Schedule
from rota.tasks.v1.tasks_pb2 import CreateTaskRequest, Task, UpdateTaskRequest
from rota_chassis.codec import MAX_DEPTH, DecodeError, Problem, decoder, encoder, member_names

if TYPE_CHECKING:
    from google.protobuf.message import Message


def problems_of(message_class: type[Message], body: Any, **options: Any) -> tuple[Problem, ...]:
    with pytest.raises(DecodeError) as refused:
        decoder(message_class, **options)(body)
    return refused.value.problems


def places(message_class: type[Message], body: Any, **options: Any) -> list[tuple[str | None, str]]:
    return [(problem.pointer, problem.code) for problem in problems_of(message_class, body, **options)]


def nested(levels: int, *, by: str) -> Any:
    document: Any = 1
    for _ in range(levels):
        document = [document] if by == "list" else {"inner": document}
    return document


@pytest.mark.parametrize("body", [None, 1, "text", [], True])
def test_a_body_that_is_no_object_is_refused_at_its_root(body: Any) -> None:
    assert places(CreateTaskRequest, body) == [("", "wrong_type")]


@pytest.mark.parametrize("name", ["titel", "request_id", "", "a/b~c", "Title"])
def test_an_unknown_member_is_named_by_an_escaped_pointer(name: str) -> None:
    pointer = "/" + name.replace("~", "~0").replace("/", "~1")
    body = {"title": "x", name: 1}
    assert places(CreateTaskRequest, body, exclude=frozenset({"request_id"})) == [(pointer, "unknown_field")]


def test_an_unknown_member_suggests_the_closest_known_one() -> None:
    (problem,) = problems_of(CreateTaskRequest, {"titel": "x"})
    assert problem.detail == "is not a known member; did you mean `title`?"


def test_an_unknown_member_with_a_huge_name_is_not_echoed() -> None:
    (problem,) = problems_of(CreateTaskRequest, {"x" * 100_000: 1})
    assert (problem.pointer, problem.code) == ("", "unknown_field")
    assert len(problem.detail) < 200


def test_a_null_member_is_absent_even_when_unknown_members_are_not() -> None:
    body = {"title": "x", "due_at": None, "assignee_ids": None}
    assert decoder(CreateTaskRequest)(body) == CreateTaskRequest(title="x")
    assert places(CreateTaskRequest, {"nothing": None}) == [("/nothing", "unknown_field")]


@pytest.mark.parametrize("value", [1, True, 1.5, [], {}])
def test_text_must_be_a_string(value: Any) -> None:
    assert places(CreateTaskRequest, {"title": value}) == [("/title", "wrong_type")]


def test_text_may_hold_anything_but_nul_and_lone_surrogates() -> None:
    text = "\u0001\t\u200f\ud7ff\ue000\U0010ffff e\u0301"
    assert decoder(CreateTaskRequest)({"title": text}).title == text
    assert places(CreateTaskRequest, {"title": "a\0b"}) == [("/title", "nul_character")]
    assert places(CreateTaskRequest, {"title": "a\ud800b"}) == [("/title", "invalid_unicode")]


@pytest.mark.parametrize("value", [True, False, "1", 1.5, [1], float("nan"), float("inf")])
def test_an_integer_is_no_boolean_no_text_and_has_no_fraction(value: Any) -> None:
    assert places(CreateScheduleRequest, {"interval_s": value}) == [("/interval_s", "wrong_type")]


@pytest.mark.parametrize("value", [2**31, -(2**31) - 1, 10**30, 1e12])
def test_an_integer_out_of_range_is_refused(value: Any) -> None:
    assert places(CreateScheduleRequest, {"interval_s": value}) == [("/interval_s", "out_of_range")]


def test_a_whole_number_written_with_a_fraction_of_zero_is_an_integer() -> None:
    assert decoder(CreateScheduleRequest)({"interval_s": 60.0}).interval_s == 60


def test_an_unknown_word_of_an_enum_names_the_allowed_ones() -> None:
    for word in ("hig", "HIGH", "TASK_PRIORITY_HIGH", "unspecified", ""):
        (problem,) = problems_of(CreateTaskRequest, {"priority": word})
        assert (problem.pointer, problem.code) == ("/priority", "invalid_enum")
        assert problem.detail == "must be one of `none`, `low`, `medium`, `high`, `urgent`"
    assert places(CreateTaskRequest, {"priority": 4}) == [("/priority", "wrong_type")]


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-02",
        "2026-01-02T03:04:05",
        "2026-01-02 03:04:05Z",
        "2026-01-02T03:04Z",
        "20260102T030405Z",
        "2026-W01-5T03:04:05Z",
        "2026-01-02T03:04:05.1234567890Z",
        "2026-01-02T03:04:05,5Z",
        "2026-01-02T03:04:05+0100",
        "2026-01-02T03:04:05+24:00",
        "2026-01-02T24:00:00Z",
        "2026-02-30T03:04:05Z",
        "0000-01-02T03:04:05Z",
        "\u0662026-01-02T03:04:05Z",
        "2026-01-02T03:04:05Z\n",
        "",
    ],
)
def test_a_time_must_be_rfc_3339_with_an_offset_and_exist(text: str) -> None:
    assert places(CreateTaskRequest, {"due_at": text}) == [("/due_at", "invalid_timestamp")]


def test_a_leap_second_is_refused_with_advice() -> None:
    (problem,) = problems_of(CreateTaskRequest, {"due_at": "2016-12-31T23:59:60Z"})
    assert problem.code == "invalid_timestamp"
    assert "leap second" in problem.detail


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01"])
def test_a_time_that_leaves_the_years_1_to_9999_in_utc_is_refused(text: str) -> None:
    assert places(CreateTaskRequest, {"due_at": text}) == [("/due_at", "out_of_range")]


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-01-02t03:04:05z", "2026-01-02T03:04:05Z"),
        ("2026-01-02T03:04:05.123456789+05:30", "2026-01-01T21:34:05.123456Z"),
        ("2026-01-02T03:04:05.500-00:00", "2026-01-02T03:04:05.500000Z"),
        ("1969-12-31T23:59:59.25Z", "1969-12-31T23:59:59.250000Z"),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_a_time_is_kept_in_utc_to_the_microsecond(text: str, utc: str) -> None:
    message = decoder(Task)({"due_at": text})
    assert message.HasField("due_at")
    assert encoder(Task)(message)["due_at"] == utc


def test_a_list_points_at_the_item_that_is_wrong() -> None:
    body = {"title": "x", "assignee_ids": ["a", None, 3, "\0"]}
    expected = [
        ("/assignee_ids/1", "wrong_type"),
        ("/assignee_ids/2", "wrong_type"),
        ("/assignee_ids/3", "nul_character"),
    ]
    assert places(CreateTaskRequest, body) == expected
    assert places(CreateTaskRequest, {"assignee_ids": "a"}) == [("/assignee_ids", "wrong_type")]


def test_two_members_of_a_oneof_are_refused() -> None:
    body = {"action": {"create_task": {"title": "x"}, "http": {"url": "https://example.com"}}}
    (problem,) = problems_of(CreateScheduleRequest, body)
    assert (problem.pointer, problem.code) == ("/action/http", "oneof_conflict")
    assert "`create_task`, `http`" in problem.detail
    body["action"]["create_task"] = None  # type: ignore[assignment]  # absent, so only one is left
    assert decoder(CreateScheduleRequest)(body).action.http.url == "https://example.com"


def test_problems_within_nested_objects_carry_their_whole_pointer() -> None:
    body = {"action": {"http": {"url": 5, "body": {"a/b": ["x", {"k": "\0"}]}, "verb": "x"}}}
    expected = [
        ("/action/http/verb", "unknown_field"),
        ("/action/http/url", "wrong_type"),
        ("/action/http/body/a~1b/1/k", "nul_character"),
    ]
    assert places(CreateScheduleRequest, body) == expected


@pytest.mark.parametrize("by", ["list", "object"])
def test_json_nested_too_deeply_is_refused(by: str) -> None:
    body = {"action": {"http": {"url": "u", "body": nested(MAX_DEPTH, by=by)}}}
    ((pointer, code),) = places(CreateScheduleRequest, body)
    assert code == "too_deep"
    assert pointer is not None
    assert pointer.startswith("/action/http/body/")


@pytest.mark.parametrize("by", ["list", "object"])
def test_json_that_is_accepted_fits_within_the_nesting_that_protobuf_parses(by: str) -> None:
    for levels in range(MAX_DEPTH, 0, -1):
        body = {"action": {"http": {"body": nested(levels, by=by)}}}
        try:
            schedule = decoder(Schedule)(body)
        except DecodeError:
            continue
        assert levels >= 20
        assert Schedule.FromString(schedule.SerializeToString()) == schedule
        return
    pytest.fail("no nesting was accepted")


def test_the_problems_of_a_document_are_collected_up_to_twenty() -> None:
    assert len(problems_of(CreateTaskRequest, {"title": 1, "due_at": 2, "wrong": 3})) == 3
    assert len(problems_of(CreateTaskRequest, {"assignee_ids": [0] * 1000})) == 20


def test_the_members_of_a_merge_patch_include_null_ones() -> None:
    body = {"name": "Ada", "locale": None}
    message = decoder(UpdateMeRequest, exclude=frozenset({"update_mask", "if_match"}))(body)
    message.update_mask.paths.extend(member_names(body, message.DESCRIPTOR))
    assert list(message.update_mask.paths) == ["name", "locale"]


def test_a_map_is_patched_entry_by_entry() -> None:
    body = {"title": "x", "fields": {"a": {"number": 1}, "b": None}}
    message = decoder(UpdateTaskRequest, exclude=frozenset({"update_mask", "if_match"}))(body)
    assert member_names(body, message.DESCRIPTOR) == ("title", "fields.a", "fields.b")
    assert {key: value.number for key, value in message.fields.items()} == {"a": 1}
    for cleared in (None, {}):
        patch = {"fields": cleared}
        assert not decoder(UpdateTaskRequest)(patch).fields
        assert member_names(patch, message.DESCRIPTOR) == (("fields",) if cleared is None else ())


def test_an_enum_number_without_a_word_is_written_as_null() -> None:
    assert encoder(User)(User(role=77))["role"] is None  # type: ignore[arg-type]  # a newer peer's value


def test_a_number_that_json_does_not_have_is_not_written() -> None:
    schedule = Schedule()
    schedule.action.http.body.number_value = float("nan")
    with pytest.raises(ValueError, match="no number for nan"):
        encoder(Schedule)(schedule)


def test_a_time_beyond_the_year_9999_is_not_written() -> None:
    task = Task()
    task.due_at.seconds = 253_402_300_800
    with pytest.raises(ValueError, match="years 1 to 9999"):
        encoder(Task)(task)
