"""The document of events and live channels: complete, valid, and what is really sent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import jsonschema  # type: ignore[import-untyped]  # no stubs are published with it
import orjson
import pytest
from nats.aio.msg import Msg
from rota_chassis.events import envelope
from rota_chassis.events.types import event_types
from rota_gateway.asyncapi import build_document
from rota_gateway.live import protocol
from rota_gateway.live.protocol import CHANNEL_OF, Channel, Close, ResetReason

if TYPE_CHECKING:
    from collections.abc import Iterator

DIALECTS = (jsonschema.Draft202012Validator, jsonschema.Draft7Validator)
EVENTS = tuple(event_types())
LIVE_EVENTS = tuple(name for name in EVENTS if name.partition(".")[0] in CHANNEL_OF)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return build_document(version="1.2.3")


def parts(node: Any, key: str) -> Iterator[Any]:
    """Every value under a key, anywhere."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name == key:
                yield value
            yield from parts(value, key)
    elif isinstance(node, list):
        for item in node:
            yield from parts(item, key)


def follow(document: dict[str, Any], reference: str) -> Any:
    node: Any = document
    for step in reference.removeprefix("#/").split("/"):
        node = node[step]
    return node


def check(document: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
    for dialect in DIALECTS:
        dialect({**document, **schema}).validate(value)


def row(name: str, body: dict[str, Any]) -> dict[str, Any]:
    """An event as the log keeps it."""
    return {
        "id": uuid4(),
        "type": name,
        "aggregate_id": uuid4(),
        "workspace_id": uuid4(),
        "aggregate_version": 3,
        "actor": f"user:{uuid4()}",
        "time": datetime(2026, 1, 2, 3, 4, 5, 6, UTC),
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "data": body,
    }


def emptiest(name: str) -> dict[str, Any]:
    """Data of an event in which every message is there, and nothing in them is set."""
    kind = event_types()[name]
    data: Any = kind.message()
    for field in data.DESCRIPTOR.fields:
        if field.message_type is not None and not field.is_repeated:
            getattr(data, field.name).SetInParent()
    return kind.encode(data)


def test_every_type_of_event_has_a_channel_a_message_and_an_operation(document: dict[str, Any]) -> None:
    messages = document["components"]["messages"]
    for name, kind in event_types().items():
        assert document["channels"][name]["address"] == f"rota.events.v1.{{workspace_id}}.{name}"
        assert messages[name]["payload"] == {"$ref": f"#/components/schemas/{kind.message.DESCRIPTOR.name}"}
        assert messages[name]["summary"]
        assert messages[name]["x-rota-version"] == kind.version
        assert document["operations"][name]["action"] == "send"
    assert set(document["channels"]) == {*EVENTS, "live.tasks", "live.notifications"}


def test_every_live_channel_has_every_frame(document: dict[str, Any]) -> None:
    for channel in Channel:
        described = document["channels"][f"live.{channel.value}"]
        assert described["address"] == f"/ws/{channel.value}"
        events = {name for name in EVENTS if CHANNEL_OF.get(name.partition(".")[0]) is channel}
        assert events
        others = {"presence", "presence_in_project", "access"} if channel is Channel.TASKS else set()
        assert {name.removeprefix(f"live.{channel.value}.") for name in described["messages"]} == events | others | {
            "ready",
            "ping",
            "reset",
            "error",
            "auth",
            "pong",
        }
        assert all(str(close.value) in described["description"] for close in Close)


def test_every_schema_is_valid_json_schema(document: dict[str, Any]) -> None:
    schemas = [*document["components"]["schemas"].values(), *parts(document, "payload"), *parts(document, "headers")]
    for each in schemas:
        for dialect in DIALECTS:
            dialect.check_schema(each)


def test_every_schema_means_the_same_in_both_dialects(document: dict[str, Any]) -> None:
    # Draft 7 ignores what stands beside a reference: only a description may.
    def look(node: Any) -> None:
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                assert set(node) <= {"$ref", "description"}
            for value in node.values():
                look(value)
        elif isinstance(node, list):
            for item in node:
                look(item)

    look(document)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for reference in parts(document, "$ref"):
        assert follow(document, reference)


def test_every_operation_is_of_messages_of_its_channel(document: dict[str, Any]) -> None:
    for operation in document["operations"].values():
        channel = operation["channel"]["$ref"]
        for message in operation["messages"]:
            assert message["$ref"].startswith(f"{channel}/messages/")


@pytest.mark.parametrize("name", EVENTS)
def test_headers_and_data_of_an_event_are_as_described(document: dict[str, Any], name: str) -> None:
    message = document["components"]["messages"][name]
    event = row(name, emptiest(name))
    headers = envelope.headers(event, "/rota/tasks")
    check(document, message["headers"], headers)
    check(document, message["payload"], event["data"])
    other = next(each for each in EVENTS if each != name)
    with pytest.raises(jsonschema.ValidationError):
        check(document, message["headers"], {**headers, "ce-type": other})


@pytest.mark.parametrize("missing", ["ce-id", "ce-type", "ce-workspaceid", "ce-aggregateversion", "Nats-Msg-Id"])
def test_an_event_without_one_of_its_headers_is_not_as_described(document: dict[str, Any], missing: str) -> None:
    message = document["components"]["messages"]["task.created"]
    headers = envelope.headers(row("task.created", {}), "/rota/tasks")
    del headers[missing]
    with pytest.raises(jsonschema.ValidationError):
        check(document, message["headers"], headers)


@pytest.mark.parametrize("name", LIVE_EVENTS)
def test_the_frame_of_an_event_is_as_described(document: dict[str, Any], name: str) -> None:
    event = row(name, emptiest(name))
    message: Any = Msg(None, data=orjson.dumps(event["data"]), headers=envelope.headers(event, "/rota/tasks"))
    channel = CHANNEL_OF[name.partition(".")[0]]
    frame = json.loads(protocol.event_frame(message, channel, 7, "5f").text)
    described = document["components"]["messages"][f"live.{channel.value}.{name}"]["payload"]
    check(document, described, frame)
    assert described["required"] == list(frame)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ready", protocol.ready(7, "5f", str(UUID(int=7)))),
        ("ping", protocol.PING),
        ("reset", protocol.reset(ResetReason.TOO_FAR_BEHIND, 7, "5f")),
        ("error", protocol.error("TOO_SLOW", "Come back.")),
    ],
)
def test_the_other_frames_are_as_described(document: dict[str, Any], name: str, text: str) -> None:
    for channel in Channel:
        described = document["components"]["messages"][f"live.{channel.value}.{name}"]["payload"]
        check(document, described, json.loads(text))
        assert described["required"] == list(json.loads(text))


@pytest.mark.parametrize("about", ["project_id", "task_id"])
def test_the_frame_of_what_is_hidden_or_shown_is_as_described(document: dict[str, Any], about: str) -> None:
    named = {about: str(UUID(int=8))}
    frame = json.loads(protocol.access(str(UUID(int=7)), 9, "5f", visible=False, **named))
    check(document, document["components"]["messages"]["live.tasks.access"]["payload"], frame)
    assert set(frame) == {"type", "workspace_id", "visible", "offset", "epoch", about}


def test_it_is_the_same_in_every_process() -> None:
    script = (
        "import sys, orjson; from rota_gateway.asyncapi import build_document;"
        "sys.stdout.buffer.write(orjson.dumps(build_document(version='1')))"
    )
    first, second = (
        subprocess.run(  # noqa: S603 (this interpreter, a fixed script)
            [sys.executable, "-c", script], env={**os.environ, "PYTHONHASHSEED": seed}, check=True, capture_output=True
        ).stdout
        for seed in ("1", "2")
    )
    assert first == second
