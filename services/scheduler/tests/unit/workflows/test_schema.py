"""The schema of definitions lets through what is accepted, and refuses what has the wrong shape."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator
from rota_scheduler.actions.contract import KINDS
from rota_scheduler.actions.templates import RefusedDefinition
from rota_scheduler.workflows.definition import parse
from rota_scheduler.workflows.schema import SCHEMA

ACTION = {"create_task": {"title": "x ${input}"}, "timeout_s": 20, "retry": {"max_attempts": 2}}


@pytest.mark.parametrize(
    "definition",
    [
        {"steps": {"a": {"action": ACTION, "compensate": ACTION, "if": "input > 1"}}, "output": {"x": "${input}"}},
        {"steps": {"_a1": {"wait": {"for_s": 5}}, "b": {"wait": {"signal": "go"}, "needs": ["_a1"]}}},
        {"steps": {"a": {"action": {"workflow": {"workflow_id": "${input}"}}}}},
    ],
    ids=["action", "waits", "workflow"],
)
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
    ],
    ids=[
        "nothing", "no-step", "capital", "digit", "long", "empty-step", "both", "zero", "two-waits", "kind", "system",
        "two-kinds", "needs", "more",
    ],
)  # fmt: skip
def test_what_has_the_wrong_shape_is_refused_by_both(definition: dict[str, Any]) -> None:
    with pytest.raises(RefusedDefinition):
        parse(definition, KINDS)
    assert not Draft202012Validator(SCHEMA).is_valid(definition)


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)
