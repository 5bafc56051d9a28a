"""Tasks are found and ordered by custom fields."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from custom_fielding import DATE, MULTI_SELECT, NUMBER, SELECT, Value, a_field, a_project, one_of_each
from rota.tasks.v1 import (
    search_pb2,
    tasks_pb2,
)
from rota_chassis.errors import InvalidArgument

if TYPE_CHECKING:
    from conftest import Stage


async def found(stage: Stage, text: str, order_by: str = "title asc", *, size: int = 50) -> list[str]:
    seen: list[str] = []
    token = ""
    while True:
        request = tasks_pb2.ListTasksRequest(filter=text, order_by=order_by, page_size=size, page_token=token)
        answer = await stage.tasks.ListTasks(request, metadata=stage.ada.metadata)
        seen += [task.title for task in answer.tasks]
        token = answer.next_page_token
        if not token:
            return seen


async def test_lists_and_searches_are_filtered_by_custom_fields(stage: Stage) -> None:
    project_id, other = await a_project(stage), await a_project(stage, "Garden")
    each = await one_of_each(stage, project_id)
    values = {field.id: value for field, value in each.values()}
    name = {kind: f"fields.{field.id}" for kind, (field, _) in each.items()}
    low = each[str(SELECT)][0].options[0].id
    await stage.create("full", project_id=project_id, fields=values)
    await stage.create(
        "half",
        project_id=project_id,
        fields={
            each[str(NUMBER)][0].id: Value(number=10),
            each[str(SELECT)][0].id: Value(option_id=low),
            each[str(MULTI_SELECT)][0].id: Value(
                option_ids=tasks_pb2.OptionIds(ids=[each[str(MULTI_SELECT)][0].options[0].id])
            ),
        },
    )
    await stage.create("none", project_id=other)
    high = each[str(MULTI_SELECT)][0].options[1].id
    expected = {
        f'{name["1"]} = "north"': ["full"],
        f'{name["1"]} : "ORT"': ["full"],
        f"{name['2']} > 2.5": ["half"],
        f"{name['2']} >= 2.5 AND {name['2']} != 10": ["full"],
        f"{name['2']} = 10": ["half"],
        f"{name['2']} IN (2.5, 10)": ["full", "half"],
        f"NOT {name['2']} = 10": ["full", "none"],
        f"{name['2']} IS NULL": ["none"],
        f"{name['3']} < 0": ["full"],
        f"{name['3']} = -12.5": ["full"],
        f"{name['4']} = 2026-11-21": ["full"],
        f"{name['4']} < 2026-11-22": ["full"],
        f"{name['5']} = {low}": ["half"],
        f"{name['5']} != {low}": ["full"],
        f"{name['6']} = {high}": ["full"],
        f"{name['6']} != {high}": ["half", "none"],
        f"{name['6']} = NULL": ["none"],
        f"{name['7']} = me": ["full"],
        f'{name["8"]} : "example.com"': ["full"],
        f"{name['2']} = 10 OR {name['7']} = me": ["full", "half"],
    }
    assert {text: await found(stage, text) for text in expected} == expected
    request = search_pb2.SearchTasksRequest(q="full", filter=f"{name['2']} < 3")
    results = (await stage.search.SearchTasks(request, metadata=stage.ada.metadata)).results
    assert [result.task.title for result in results] == ["full"]
    for wrong in (f"fields.{uuid4()} = 1", f"{name['2']} = ten", f"{name['4']} = 2026-02-30", f"{name['5']} = low"):
        with pytest.raises(InvalidArgument) as caught:
            await found(stage, wrong)
        assert caught.value.code == "INVALID_FILTER"
    theirs = tasks_pb2.ListTasksRequest(filter=f"{name['2']} = 1")
    with pytest.raises(InvalidArgument):
        await stage.tasks.ListTasks(theirs, metadata=stage.grace.metadata)


async def test_lists_are_ordered_by_custom_fields_page_by_page(stage: Stage) -> None:
    project_id = await a_project(stage)
    number = await a_field(stage, project_id, NUMBER)
    size = await a_field(stage, project_id, SELECT, "Size", "small", "middle", "large")
    day = await a_field(stage, project_id, DATE)
    many = await a_field(stage, project_id, MULTI_SELECT, "Many", "one")
    for title, amount, option, date in (
        ("a", 10, 2, "2026-01-03"),
        ("b", 9, 0, "2026-01-20"),
        ("c", 9.5, 1, "2025-12-31"),
    ):
        await stage.create(
            title,
            project_id=project_id,
            fields={
                number.id: Value(number=amount),
                size.id: Value(option_id=size.options[option].id),
                day.id: Value(date=date),
            },
        )
    await stage.create("z")
    for field, ascending in ((number, "bca"), (size, "bca"), (day, "cab")):
        for pages in (50, 1):
            assert await found(stage, "", f"fields.{field.id} asc", size=pages) == [*ascending, "z"]
            assert await found(stage, "", f"fields.{field.id} desc", size=pages) == [*ascending[::-1], "z"]
    for wrong in (f"fields.{many.id}", f"fields.{uuid4()}", "fields.x"):
        with pytest.raises(InvalidArgument) as caught:
            await found(stage, "", wrong)
        assert caught.value.code == "INVALID_ORDER"
