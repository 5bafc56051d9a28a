"""What a template may say, and what becomes of the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from rota_chassis.errors import (
    Conflict,
    InvalidArgument,
)
from templating import MOVE, counts, save, tasks, use

if TYPE_CHECKING:
    from conftest import Stage


@pytest.mark.parametrize(
    ("variables", "wrong"),
    [
        ({}, ["variables.client"]),
        ({"client": ""}, ["variables.client"]),
        ({"client": "x", "clint": "y"}, ["variables.clint"]),
        ({"client": "x", "owner": "Ada"}, ["variables.owner"]),
        ({"client": "x", "launch": "tomorrow"}, ["variables.launch"]),
        ({"client": "x", "budget": "much"}, ["variables.budget"]),
        ({"client": "x", "budget": "NaN"}, ["variables.budget"]),
    ],
)
async def test_variables_that_are_unknown_missing_or_of_another_type_are_named(
    stage: Stage, variables: dict[str, str], wrong: list[str]
) -> None:
    template = await save(stage, MOVE)
    before = await counts(stage)
    with pytest.raises(InvalidArgument) as caught:
        await use(stage, template, variables=variables)
    assert caught.value.code == "INVALID_VARIABLES"
    assert [each.field for each in caught.value.violations] == wrong
    assert await counts(stage) == before


@pytest.mark.parametrize(
    ("content", "places"),
    [
        (tasks(title="{{nobody}}"), ["content.tasks[0].title"]),
        (tasks(due="{{when}}"), ["content.tasks[0].due"]),
        ({"variables": [{"name": "a"}], **tasks(due="{{a}}+1d")}, ["content.tasks[0].due"]),
        ({"variables": [{"name": "a"}], **tasks(assignees=["{{a}}"])}, ["content.tasks[0].assignees"]),
        ({"variables": [{"name": "a"}, {"name": "a"}]}, ["content.variables[1].name"]),
        (
            {"variables": [{"name": "a", "type": "date", "default_value": "soon"}]},
            ["content.variables[0].default_value"],
        ),
        (tasks(parent="later"), ["content.tasks[0].parent"]),
        ({"tasks": [{"key": "a", "title": "A"}, {"key": "a", "title": "B"}]}, ["content.tasks[1].key"]),
        (tasks(section="s", state="t"), ["content.tasks[0].section", "content.tasks[0].state"]),
        (
            {"project": {"name": "P"}, **tasks(fields={"Wood": {"values": ["Oak"]}})},
            ["content.tasks[0].fields.Wood"],
        ),
        (
            {"project": {"name": "P", "fields": [{"name": "Wood", "type": "text", "required": True}]}, **tasks()},
            ["content.tasks[0].fields.Wood"],
        ),
        (
            {"relations": [{"source": "a", "type": "blocks", "target": "b"}], **tasks(key="a")},
            ["content.relations[0].target"],
        ),
        (
            {
                "tasks": [{"key": each, "title": each} for each in "abc"],
                "relations": [
                    {"source": "a", "type": "blocks", "target": "b"},
                    {"source": "c", "type": "starts_after", "target": "b"},
                    {"source": "a", "type": "is_blocked_by", "target": "c"},
                ],
            },
            ["content.relations"],
        ),
        (
            {
                "tasks": [
                    {"key": f"t{level}", "title": "deep", "parent": f"t{level - 1}" if level else ""}
                    for level in range(33)
                ]
            },
            ["content.tasks[32].parent"],
        ),
        ({"tasks": [{"title": "many"}] * 1001}, ["content.tasks"]),
        (tasks(title="x" * 501), ["content.tasks[0].title"]),
        (tasks(due="tomorrow"), ["content.tasks[0].due"]),
        (tasks(due="+12345d"), ["content.tasks[0].due"]),
        (tasks(time_zone="Mars/Olympus"), ["time_zone"]),
    ],
)
async def test_a_content_that_cannot_be_made_is_refused(stage: Stage, content: Any, places: list[str]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await save(stage, content)
    assert [each.field for each in caught.value.violations] == places
    assert (await counts(stage))["templates"] == 0


async def test_a_content_that_is_too_large_is_refused(stage: Stage) -> None:
    with pytest.raises(Conflict) as caught:
        await save(stage, {"tasks": [{"title": "long", "description": "x" * 50_000}] * 11})
    assert caught.value.code == "TEMPLATE_TOO_LARGE"


@pytest.mark.parametrize(
    ("content", "given", "code", "place"),
    [
        (tasks(title="{{a}}"), {"a": "x" * 501}, "TEMPLATE_OUTPUT_TOO_LONG", "content.tasks[0].title"),
        (
            tasks(description="{{a}}" * 9_000),
            {"a": "x" * 5_000},
            "TEMPLATE_OUTPUT_TOO_LONG",
            "content.tasks[0].description",
        ),
        (tasks(title="{{a}}"), {"a": " "}, "INVALID_TEMPLATE", "content.tasks[0].title"),
        (tasks(due="+9999w"), {"a": "x"}, "DATE_OUT_OF_RANGE", "start_on"),
        (tasks(due="-9999w"), {"a": "x"}, "DATE_OUT_OF_RANGE", "start_on"),
        (
            tasks(fields={"Wood": {"values": ["Oak"]}}),
            {"a": "x"},
            "INVALID_TEMPLATE",
            "content.tasks[0].fields.Wood",
        ),
        (
            {
                "project": {"name": "P", "fields": [{"name": "N", "type": "number"}]},
                **tasks(fields={"N": {"values": ["{{a}}"]}}),
            },
            {"a": "x"},
            "INVALID_TEMPLATE",
            "content.tasks[0].fields.N",
        ),
    ],
)
async def test_what_cannot_be_made_with_these_values_leaves_nothing(
    stage: Stage, content: Any, given: dict[str, str], code: str, place: str
) -> None:
    template = await save(stage, {"variables": [{"name": "a"}], **content})
    before = await counts(stage)
    start_on = "0010-01-01" if "-" in str(content.get("tasks", [{}])[0].get("due", "")) else "9990-01-01"
    with pytest.raises(InvalidArgument) as caught:
        await use(stage, template, variables=given, start_on=start_on)
    assert (caught.value.code, [each.field for each in caught.value.violations]) == (code, [place])
    assert await counts(stage) == before


async def test_a_value_is_looked_at_once(stage: Stage) -> None:
    content = {"variables": [{"name": "a"}, {"name": "b"}], "tasks": [{"title": "{{a}}{{b}} \\{{a}} {{A}} {{ a }}"}]}
    made = await use(stage, await save(stage, content), variables={"a": "{{b}}", "b": "\\{{a}}"})
    assert made.task.title == "{{b}}\\{{a}} {{a}} {{A}} {{ a }}"
