"""The document as a whole: that it is valid, complete, and says what the contract says."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import jsonschema  # type: ignore[import-untyped]  # no stubs are published with it
import pytest
import schemathesis
from rota_chassis.codec import encoder
from rota_gateway.routes import Transfer, load_routes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rota_gateway.routes import Route

DIALECT = jsonschema.Draft202012Validator


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


def operation(document: dict[str, Any], method: str, path: str) -> dict[str, Any]:
    described: dict[str, Any] = document["paths"][path][method]
    return described


def schema(document: dict[str, Any], name: str) -> dict[str, Any]:
    described: dict[str, Any] = document["components"]["schemas"][name]
    return described


def test_every_schema_is_valid_json_schema(document: dict[str, Any]) -> None:
    schemas = [*document["components"]["schemas"].values(), *parts(document["paths"], "schema")]
    for each in schemas:
        DIALECT.check_schema(each)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for reference in parts(document, "$ref"):
        node = document
        for step in reference.removeprefix("#/").split("/"):
            node = node[step]
        assert node


def test_the_loader_of_schemathesis_takes_it_and_sees_every_route(document: dict[str, Any]) -> None:
    schemathesis.openapi.from_dict(document).validate()
    seen = {(verb.upper(), path) for path, item in document["paths"].items() for verb in item}
    assert seen == {(route.method, route.path_template) for route in load_routes()}


def test_every_operation_is_described_and_has_a_name_of_its_own(document: dict[str, Any]) -> None:
    operations = [each for item in document["paths"].values() for each in item.values()]
    assert len({each["operationId"] for each in operations}) == len(operations)
    tags = {tag["name"] for tag in document["tags"]}
    for each in operations:
        assert each["summary"]
        assert each["description"]
        assert set(each["tags"]) <= tags
        assert {"400", "429", "500", "503", "504"} <= set(each["responses"])


def test_it_is_the_same_in_every_process() -> None:
    script = (
        "import sys, orjson; from rota_gateway.openapi import build_document, docs_html;"
        "from rota_gateway.routes import load_routes;"
        "document = build_document(load_routes(), version='1');"
        "sys.stdout.buffer.write(orjson.dumps(document) + docs_html(document).encode())"
    )
    first, second = (
        subprocess.run(  # noqa: S603 (this interpreter, a fixed script)
            [sys.executable, "-c", script], env={**os.environ, "PYTHONHASHSEED": seed}, check=True, capture_output=True
        ).stdout
        for seed in ("1", "2")
    )
    assert first == second


@pytest.mark.parametrize("route", load_routes(), ids=lambda route: route.operation_id)
def test_an_answer_with_nothing_set_has_the_form_that_is_described(document: dict[str, Any], route: Route) -> None:
    described = operation(document, route.method.lower(), route.path_template)
    success = described["responses"][str(route.policy.success_status)]
    if route.policy.success_status == 204:
        assert "content" not in success
        return
    if route.transfer is Transfer.DOWN:
        assert success["content"] == {"*/*": {"schema": {"type": "string", "format": "binary"}}}
        return
    response: Any = route.response_class
    answer = encoder(response)(response(**({route.response_body: {}} if route.response_body else {})))
    body = answer[route.response_body] if route.response_body else answer
    reference = success["content"]["application/json"]["schema"]
    DIALECT({**document, **reference}, format_checker=DIALECT.FORMAT_CHECKER).validate(body)
    if "$ref" in reference:
        named = schema(document, reference["$ref"].rpartition("/")[2])
        assert named["required"] == list(body)


def test_a_request_says_what_its_rules_say(document: dict[str, Any]) -> None:
    request = schema(document, "CreateTaskRequest")
    members = request["properties"]
    assert request["required"] == ["title"]
    assert request["additionalProperties"] is False
    assert "request_id" not in members
    assert (members["title"]["minLength"], members["title"]["maxLength"]) == (1, 500)
    assert members["title"]["examples"] == ["Water the plants"]
    assert members["priority"]["enum"] == ["none", "low", "medium", "high", "urgent", None]
    assert members["assignee_ids"]["uniqueItems"]
    assert members["assignee_ids"]["maxItems"] == 50
    assert members["assignee_ids"]["items"] == {"type": "string", "format": "uuid"}
    assert members["due_at"]["type"] == ["string", "null"]
    assert members["due_at"]["format"] == "date-time"
    assert (members["due_on"]["format"], "pattern" in members["due_on"]) == ("date", False)
    assert schema(document, "AddMemberRequest")["properties"]["role"]["enum"] == ["admin", "member", "viewer", None]
    password = schema(document, "RegisterRequest")["properties"]["password"]
    assert (password["format"], password["writeOnly"]) == ("password", True)


def test_an_answer_has_every_member_and_null_where_nothing_is_set(document: dict[str, Any]) -> None:
    task = schema(document, "Task")
    assert task["required"] == list(task["properties"])
    assert task["properties"]["title"]["type"] == "string"
    assert task["properties"]["project_id"]["type"] == ["string", "null"]
    assert None in task["properties"]["status"]["enum"]
    assert schema(document, "RegisterResponse")["properties"]["user"]["anyOf"][1] == {"type": "null"}


@pytest.mark.parametrize(
    ("members", "valid"),
    [
        ({"cron": "* * * * *"}, True),
        ({"interval_s": 5, "cron": None}, True),
        ({}, False),
        ({"cron": None}, False),
        ({"cron": "* * * * *", "interval_s": 5}, False),
        ({"cron": "* * * * *", "action": {"http": {"url": "https://example.com"}, "create_task": None}}, True),
        ({"cron": "* * * * *", "action": {}}, False),
        ({"cron": "* * * * *", "action": {"http": None, "create_task": None}}, False),
        (
            {"cron": "* * * * *", "action": {"http": {"url": "https://example.com"}, "create_task": {"title": "x"}}},
            False,
        ),
    ],
)
def test_exactly_one_of_a_group_may_be_given(document: dict[str, Any], members: dict[str, Any], valid: bool) -> None:  # noqa: FBT001
    body = {"name": "x", "action": {"create_task": {"title": "x"}}, **members}
    validator = DIALECT({**document, "$ref": "#/components/schemas/CreateScheduleRequest"})
    assert validator.is_valid(body) is valid


def test_a_creation_answers_201_with_where_it_is_and_its_entity_tag(document: dict[str, Any]) -> None:
    headers = operation(document, "post", "/api/v1/tasks")["responses"]["201"]["headers"]
    assert {"Location", "ETag", "RateLimit", "RateLimit-Policy"} == set(headers)


def test_fields_that_travel_beside_the_body_are_parameters(document: dict[str, Any]) -> None:
    update = operation(document, "patch", "/api/v1/tasks/{id}")
    assert [(each["name"], each["in"], each.get("required", False)) for each in update["parameters"]] == [
        ("id", "path", True),
        ("scope", "query", False),
        ("If-Match", "header", False),
    ]
    assert "412" in update["responses"]
    assert set(update["requestBody"]["content"]) == {"application/merge-patch+json", "application/json"}
    listing = operation(document, "get", "/api/v1/tasks")
    assert {each["in"] for each in listing["parameters"]} == {"query"}
    assert listing["parameters"][0]["schema"] == {"type": "integer", "format": "int32", "minimum": 0, "maximum": 200}


def test_a_read_of_something_with_an_entity_tag_may_answer_304(document: dict[str, Any]) -> None:
    read = operation(document, "get", "/api/v1/tasks/{id}")
    assert "If-None-Match" in {each["name"] for each in read["parameters"]}
    assert "304" in read["responses"]
    assert "304" not in operation(document, "get", "/api/v1/tasks")["responses"]


def test_only_public_operations_go_without_a_token(document: dict[str, Any]) -> None:
    for route in load_routes():
        described = operation(document, route.method.lower(), route.path_template)
        assert bool(described["security"]) is (route.policy.access != "public")
    assert operation(document, "post", "/api/v1/tasks")["x-rota-errors"]
