"""Definitions in YAML: what they stand for, and what is refused before it costs much."""

from __future__ import annotations

import pytest
from rota_scheduler.actions.templates import RefusedDefinition
from rota_scheduler.workflows.definition import from_yaml


def test_a_definition_in_yaml_is_the_json_that_it_stands_for() -> None:
    assert from_yaml("steps:\n  a: {wait: {for_s: 5}}\noutput: 2027-01-01") == {
        "steps": {"a": {"wait": {"for_s": 5}}},
        "output": "2027-01-01",
    }


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_yaml_that_is_nested_too_deeply_is_refused_where_it_is(opening: str) -> None:
    with pytest.raises(RefusedDefinition, match="is nested too deeply in line 2"):
        from_yaml("# deep\n" + opening * 3000)


@pytest.mark.parametrize(
    "text",
    [
        "steps: [",
        "a: 1" + ":59" * 1000 + ".5",
        "a: !!set {x}",
        "a: !!binary aGVsbG8=",
        "1: 2",
        "a: 99999999999999999999",
    ],
    ids=["end", "sexagesimal", "set", "binary", "number-as-key", "big-number"],
)
def test_yaml_that_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(RefusedDefinition, match="cannot be read"):
        from_yaml(text)


def test_yaml_with_an_alias_is_refused() -> None:
    with pytest.raises(RefusedDefinition, match="has an alias in line 2"):
        from_yaml("a: &a [x]\nb: *a")
