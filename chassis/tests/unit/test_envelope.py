from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import orjson
import pytest
from rota.auth.v1 import workspaces_pb2
from rota.events.v1 import events_pb2
from rota.tasks.v1 import tasks_pb2
from rota_chassis.events.envelope import Event, headers, parse, subject
from rota_chassis.events.log import NewEvent, PendingEvent
from rota_chassis.events.types import MalformedEvent, NewerEvent, event_type_of, event_types
from rota_chassis.identity import Principal, acting_as
from rota_chassis.ids import uuid7

WORKSPACE, TASK, USER = uuid7(), uuid7(), uuid7()
NOON = datetime(2026, 1, 2, 12, 0, 0, 123456, tzinfo=UTC)
CREATED = events_pb2.TaskCreated(task=tasks_pb2.Task(id=str(TASK), title="Gießen 🌱", version=1))


def message(**changes: Any) -> tuple[dict[str, str], bytes]:
    event = replace(NewEvent(WORKSPACE, TASK, 1, CREATED, time=NOON, id=UUID(int=5)), **changes)
    row = PendingEvent.of(event).row()
    return headers(row, "/rota/tasks"), orjson.dumps(row["data"])


def test_an_event_arrives_as_it_was_sent() -> None:
    with acting_as(Principal(user_id=USER)):
        sent = message()
    assert parse(*sent, 7) == Event(
        id=UUID(int=5),
        type="task.created",
        source="/rota/tasks",
        workspace_id=WORKSPACE,
        aggregate_id=TASK,
        aggregate_version=1,
        actor=f"user:{USER}",
        time=NOON,
        data=CREATED,
        sequence=7,
    )


def test_the_headers_are_cloudevents_and_name_the_message_for_deduplication() -> None:
    found, _ = message()
    assert found["ce-specversion"] == "1.0"
    assert found["Nats-Msg-Id"] == found["ce-id"] == str(UUID(int=5))
    assert found["ce-time"] == "2026-01-02T12:00:00.123456Z"
    assert found["content-type"] == "application/json"
    assert found["ce-actor"] == "system"
    assert "ce-traceparent" not in found


def test_the_trace_travels_with_the_event() -> None:
    row = {**PendingEvent.of(NewEvent(WORKSPACE, TASK, 1, CREATED)).row(), "traceparent": "00-ab-cd-00"}
    assert parse(headers(row, "/rota/tasks"), b"{}", 1).traceparent == "00-ab-cd-00"


def test_how_many_rules_led_to_it_travels_with_the_event() -> None:
    with acting_as(Principal(user_id=USER, causation_depth=3)):
        caused = PendingEvent.of(NewEvent(WORKSPACE, TASK, 1, CREATED)).row()
        told = PendingEvent.of(NewEvent(WORKSPACE, TASK, 1, CREATED, causation_depth=4)).row()
    assert parse(headers(caused, "/rota/tasks"), b"{}", 1).causation_depth == 3
    assert parse(headers(told, "/rota/tasks"), b"{}", 1).causation_depth == 4
    found, _ = message()
    assert "ce-causationdepth" not in found


def test_the_version_of_the_data_travels_with_the_event_once_there_is_a_second() -> None:
    row = PendingEvent.of(NewEvent(WORKSPACE, TASK, 1, CREATED)).row()
    assert "ce-dataversion" not in headers(row, "/rota/tasks")
    newer = headers({**row, "schema_version": 2}, "/rota/tasks")
    assert newer["ce-dataversion"] == "2"
    with pytest.raises(NewerEvent):
        parse(newer, b"{}", 1)


def test_members_that_only_newer_code_knows_are_passed_over() -> None:
    found, _ = message()
    assert parse(found, b'{"task": {"title": "Water", "mood": {}}, "unknown": 1}', 1).data.task.title == "Water"


def test_an_event_without_id_and_time_gets_both() -> None:
    row = PendingEvent.of(NewEvent(WORKSPACE, TASK, 1, CREATED)).row()
    assert isinstance(row["id"], UUID)
    assert datetime.now(UTC) - row["time"] < timedelta(seconds=5)


def test_the_subject_names_the_workspace_and_the_type() -> None:
    assert subject(WORKSPACE, "task.created") == f"rota.events.v1.{WORKSPACE}.task.created"


@pytest.mark.parametrize(
    "name", ["ce-id", "ce-type", "ce-source", "ce-subject", "ce-time", "ce-workspaceid", "ce-aggregateversion"]
)
def test_a_message_without_an_attribute_is_malformed(name: str) -> None:
    found, body = message()
    del found[name]
    with pytest.raises(MalformedEvent, match=name):
        parse(found, body, 1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ce-id", "x"),
        ("ce-type", "task.exploded"),
        ("ce-subject", ""),
        ("ce-time", "yesterday"),
        ("ce-time", "2026-01-02T12:00:00"),
        ("ce-workspaceid", "x"),
        ("ce-aggregateversion", "one"),
        ("ce-dataversion", "one"),
    ],
)
def test_a_message_with_a_wrong_attribute_is_malformed(name: str, value: str) -> None:
    found, body = message()
    with pytest.raises(MalformedEvent):
        parse({**found, name: value}, body, 1)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b"7", b'{"task": 7}', b"\xff", b"[" * 5_000],
    ids=lambda body: repr(body[:20]),
)
def test_a_message_with_another_body_is_malformed(body: bytes) -> None:
    found, _ = message()
    with pytest.raises(MalformedEvent):
        parse(found, body, 1)


def test_a_message_without_headers_is_malformed() -> None:
    with pytest.raises(MalformedEvent):
        parse(None, b"{}", 1)


def test_a_time_in_another_zone_is_the_same_instant() -> None:
    found, body = message(time=NOON.astimezone(timezone(timedelta(hours=2))))
    assert parse(found, body, 1).time == NOON


def test_every_event_of_the_contract_has_a_type_that_says_what_happened_to_what() -> None:
    for name, kind in event_types().items():
        assert kind.aggregate == name.split(".")[0]
        assert kind.version >= 1
        assert event_type_of(kind.message) is kind
        empty = kind.message()
        assert kind.decode(kind.encode(empty)) == empty


def test_a_message_that_is_no_event_has_no_type() -> None:
    with pytest.raises(LookupError, match="Membership"):
        event_type_of(workspaces_pb2.Membership)
