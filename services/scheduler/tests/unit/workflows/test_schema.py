"""The schema of definitions lets through what is accepted, and refuses what has the wrong shape."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator
from rota_scheduler.actions.contract import KINDS
from rota_scheduler.actions.templates import RefusedDefinition
from rota_scheduler.workflows.definition import parse
from rota_scheduler.workflows.schema import SCHEMA

ID = "0194f0c4-0000-7000-8000-000000000000"
ITEM = {"create_task": {"title": "x ${item} ${index}"}}
UNDO = {"create_task": {"title": "x ${item} ${index} ${output.task_id}"}}
ACTION = {"create_task": {"title": "x ${input}"}, "timeout_s": 20, "retry": {"max_attempts": 2}}


@pytest.mark.parametrize(
    "definition",
    [
        {"steps": {"a": {"action": ACTION, "compensate": ACTION, "if": "input > 1"}}, "output": {"x": "${input}"}},
        {"steps": {"_a1": {"wait": {"for_s": 5}}, "b": {"wait": {"signal": "go"}, "needs": ["_a1"]}}},
        {"steps": {"a": {"action": {"workflow": {"workflow_id": "${input}"}}}}},
        {"steps": {"a": {"workflow": {"workflow_id": "${input}", "input": {"x": ["${input}"]}}}}},
        {"steps": {"a": {"workflow": {"workflow_id": ID}, "for_each": {"in": "input", "on_item_failure": "continue"}}}},
        {"steps": {"a": {"action": ITEM, "compensate": UNDO, "for_each": {"in": "input", "max_parallel": 100}}}},
        {"steps": {"a": {"approval": {"title": "${input}", "assignee_ids": [ID], "timeout_s": 5}}}},
        {"steps": {"a": {"approval": {"title": "x", "on_refusal": "continue"}}}},
        {"steps": {"a": {"wait": {"event": {"type": "task.completed", "where": "title:x", "timeout_s": 5}}}}},
        {"steps": {"a": {"wait": {"event": {"type": "custom.published", "where": "run_id = ${input}"}}}}},
    ],
    ids=[
        "action", "waits", "start-workflow", "workflow", "workflows", "items", "approval", "refusal", "event", "where",
    ],
)  # fmt: skip
def test_what_is_accepted_is_let_through(definition: dict[str, Any]) -> None:
    parse(definition, KINDS)
    Draft202012Validator(SCHEMA).validate(definition)


@pytest.mark.parametrize(
    "definition",
    [
        {},
        {"steps": {}},
        {"steps": {"A": {"wait": {"for_s": 5}}}},
        {"steps": {"1a": {"wait": {"for_s": 5}}}},
        {"steps": {"a" * 65: {"wait": {"for_s": 5}}}},
        {"steps": {"a": {}}},
        {"steps": {"a": {"wait": {"for_s": 5}, "action": ACTION}}},
        {"steps": {"a": {"wait": {"for_s": 0}}}},
        {"steps": {"a": {"wait": {"for_s": 1, "signal": "x"}}}},
        {"steps": {"a": {"action": {"fly": {}}}}},
        {"steps": {"a": {"action": {"cleanup": {"what": "trash"}}}}},
        {"steps": {"a": {"action": {**ACTION, "http": {}}}}},
        {"steps": {"a": {"action": ACTION, "needs": "b"}}},
        {"steps": {"a": {"action": ACTION}}, "more": 1},
        {"steps": {"a": {"action": ACTION, "for_each": {}}}},
        {"steps": {"a": {"action": ACTION, "for_each": {"in": "input", "max_parallel": 101}}}},
        {"steps": {"a": {"action": ACTION, "for_each": {"in": "input", "on_item_failure": "stop"}}}},
        {"steps": {"a": {"wait": {"for_s": 5}, "for_each": {"in": "input"}}}},
        {"steps": {"a": {"approval": {"title": "x"}, "for_each": {"in": "input"}}}},
        {"steps": {"a": {"approval": {}}}},
        {"steps": {"a": {"approval": {"title": "x", "labels": []}}}},
        {"steps": {"a": {"workflow": {"input": 1}}}},
        {"steps": {"a": {"workflow": {"workflow_id": ID}, "action": ACTION}}},
        {"steps": {"a": {"wait": {"event": {"type": "task.flew"}}}}},
        {"steps": {"a": {"wait": {"event": {"type": "task.completed", "timeout_s": 0}}}}},
        {"steps": {"a": {"wait": {"event": {"type": "task.completed", "when": "x"}}}}},
    ],
    ids=[
        "nothing", "no-step", "capital", "digit", "long", "empty-step", "both", "zero", "two-waits", "kind", "system",
        "two-kinds", "needs", "more", "for-each-what", "parallel", "on-failure", "wait-each", "approval-each",
        "no-title", "approval-more", "no-workflow", "workflow-and-action", "event-type", "event-timeout", "event-more",
    ],
)  # fmt: skip
def test_what_has_the_wrong_shape_is_refused_by_both(definition: dict[str, Any]) -> None:
    with pytest.raises(RefusedDefinition):
        parse(definition, KINDS)
    assert not Draft202012Validator(SCHEMA).is_valid(definition)


@pytest.mark.parametrize(
    ("step", "path", "words"),
    [
        ({"action": ITEM}, "steps.a.action", "names item"),
        ({"action": UNDO, "for_each": {"in": "input"}}, "steps.a.action", "names output"),
        (
            {"action": {"http": {"url": "https://e.org", "template": True}}},
            "steps.a.action.http.template",
            "no templates",
        ),
        ({"action": ACTION, "for_each": {"in": "input +"}}, "steps.a.for_each.in", "character 8"),
        ({"action": ACTION, "for_each": {"in": "item"}}, "steps.a.for_each.in", "names item"),
        ({"workflow": {"workflow_id": "x"}}, "steps.a.workflow.workflow_id", "UUID"),
        ({"workflow": {"workflow_id": ID, "input": "${1 +}"}}, "steps.a.workflow.input", "character"),
        ({"approval": {"title": "${1 +}"}}, "steps.a.approval", "character"),
        ({"wait": {"event": {"type": "task.completed", "where": "x = y"}}}, "steps.a.wait.event.where", "position 0"),
        ({"wait": {"event": {"type": "task.completed", "where": "${1 +}"}}}, "steps.a.wait.event.where", "character"),
    ],
    ids=["item", "output", "template", "in", "in-item", "uuid", "input", "title", "where", "where-expression"],
)
def test_what_no_schema_can_say_is_refused_with_the_place(step: Any, path: str, words: str) -> None:
    with pytest.raises(RefusedDefinition, match=words) as caught:
        parse({"steps": {"a": step}}, KINDS)
    assert caught.value.path == path


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)
