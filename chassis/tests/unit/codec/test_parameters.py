"""Query parameters, path parameters, headers, and pointers for what protovalidate finds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from rota.notifications.v1.notifications_pb2 import ListNotificationsRequest
from rota.scheduler.v1.schedules_pb2 import CreateScheduleRequest
from rota.tasks.v1.tasks_pb2 import (
    TASK_STATUS_IN_PROGRESS,
    CreateTaskRequest,
    ListTasksRequest,
    UpdateTaskRequest,
)
from rota_chassis.codec import DecodeError, parameter_decoder, query_decoder, violation_pointer

if TYPE_CHECKING:
    from google.protobuf.message import Message

LIST_FIELDS = ("page_size", "page_token", "workspace_id", "status")


def query(message_class: type[Message], fields: tuple[str, ...], pairs: list[tuple[str, str]]) -> Any:
    message = message_class()
    query_decoder(message_class, fields)(pairs, message)
    return message


def refused(message_class: type[Message], fields: tuple[str, ...], pairs: list[tuple[str, str]]) -> Any:
    with pytest.raises(DecodeError) as error:
        query(message_class, fields, pairs)
    assert all(problem.pointer is None for problem in error.value.problems)
    return [(problem.parameter, problem.code) for problem in error.value.problems]


def test_query_parameters_become_fields_of_their_types() -> None:
    pairs = [("page_size", "20"), ("status", "in_progress"), ("page_token", "ä b"), ("workspace_id", "w")]
    message = query(ListTasksRequest, LIST_FIELDS, pairs)
    assert message == ListTasksRequest(page_size=20, status=TASK_STATUS_IN_PROGRESS, page_token="ä b", workspace_id="w")
    assert query(ListNotificationsRequest, ("unread",), [("unread", "true")]).unread
    assert query(CreateTaskRequest, ("due_at",), [("due_at", "1970-01-01T00:01:00Z")]).due_at.seconds == 60


def test_a_repeated_field_takes_its_parameter_many_times() -> None:
    message = query(CreateTaskRequest, ("assignee_ids",), [("assignee_ids", "b"), ("assignee_ids", "a")])
    assert list(message.assignee_ids) == ["b", "a"]


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("page_size", "", "wrong_type"),
        ("page_size", "1.5", "wrong_type"),
        ("page_size", " 1", "wrong_type"),
        ("page_size", "+1", "wrong_type"),
        ("page_size", "007", "wrong_type"),
        ("page_size", "\u0661", "wrong_type"),
        ("page_size", "2147483648", "out_of_range"),
        ("page_size", "9" * 10_000, "wrong_type"),
        ("status", "DONE", "invalid_enum"),
        ("status", "", "invalid_enum"),
        ("page_token", "\0", "nul_character"),
        ("page_token", "\ud800", "invalid_unicode"),
    ],
)
def test_a_bad_value_is_refused_by_the_name_of_its_parameter(name: str, value: str, code: str) -> None:
    assert refused(ListTasksRequest, LIST_FIELDS, [(name, value)]) == [(name, code)]


@pytest.mark.parametrize("value", ["True", "1", "yes", ""])
def test_a_boolean_parameter_is_true_or_false(value: str) -> None:
    assert refused(ListNotificationsRequest, ("unread",), [("unread", value)]) == [("unread", "wrong_type")]


def test_a_parameter_time_must_be_rfc_3339() -> None:
    assert refused(CreateTaskRequest, ("due_at",), [("due_at", "tomorrow")]) == [("due_at", "invalid_timestamp")]


def test_unknown_and_repeated_parameters_are_refused() -> None:
    pairs = [("page_sise", "1"), ("status", "todo"), ("status", "done"), ("assignee_id", "x")]
    expected = [
        ("page_sise", "unknown_parameter"),
        ("status", "repeated_parameter"),
        ("assignee_id", "unknown_parameter"),
    ]
    assert refused(ListTasksRequest, LIST_FIELDS, pairs) == expected


def test_hundreds_of_bad_parameters_are_answered_with_twenty_problems() -> None:
    assert len(refused(ListTasksRequest, LIST_FIELDS, [("x", "")] * 500)) == 20


def test_path_parameters_and_headers_fill_the_fields_they_carry() -> None:
    message = UpdateTaskRequest()
    fill = parameter_decoder(UpdateTaskRequest, {"id": "id", "if_match": "If-Match"})
    fill({"id": "7", "If-Match": '"3"', "Accept": "*/*"}, message)
    assert message == UpdateTaskRequest(id="7", if_match='"3"')
    with pytest.raises(DecodeError) as error:
        fill({"id": "a\0"}, message)
    assert [(problem.parameter, problem.code) for problem in error.value.problems] == [("id", "nul_character")]


def test_a_message_cannot_be_a_parameter() -> None:
    with pytest.raises(TypeError, match="action cannot be a parameter"):
        query_decoder(CreateScheduleRequest, ("action",))


@pytest.mark.parametrize(
    ("path", "pointer"),
    [
        ("", ""),
        ("name", "/name"),
        ("action.http.url", "/action/http/url"),
        ("action.create_task.assignee_ids[1]", "/action/create_task/assignee_ids/1"),
        ("action.kind", "/action"),
        ("at.seconds", "/at"),
        ("action.http.body.string_value", "/action/http/body"),
    ],
)
def test_a_path_of_protovalidate_becomes_a_pointer(path: str, pointer: str) -> None:
    assert violation_pointer(CreateScheduleRequest.DESCRIPTOR, path) == pointer


@pytest.mark.parametrize(
    ("path", "pointer"),
    [
        ("action.http.headers[1].name", "/action/http/headers/1/name"),
        ("action", "/action"),
        ("action.http.x-y", "/action/http/x"),
    ],
)
def test_a_path_goes_on_within_json(path: str, pointer: str) -> None:
    assert violation_pointer(CreateTaskRequest.DESCRIPTOR, path) == pointer


def test_the_key_of_a_map_is_escaped_in_a_pointer(everything_class: Any) -> None:
    path = r'map_itself["a/\"b~"].keys_int32[-7]'
    assert violation_pointer(everything_class.DESCRIPTOR, path) == '/map_itself/a~1"b~0/keys_int32/-7'
