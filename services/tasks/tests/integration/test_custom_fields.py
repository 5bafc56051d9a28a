"""Custom fields of projects and their values in tasks, through gRPC, on real servers."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from rota.tasks.v1 import (
    custom_fields_pb2,
    history_pb2,
    projects_pb2,
    search_pb2,
    sync_pb2,
    tasks_pb2,
    trash_pb2,
)
from rota_chassis.codec import decoder, member_names
from rota_chassis.errors import Conflict, InvalidArgument, NotFound, PermissionDenied, PreconditionFailed, RotaError
from rota_chassis.postgres.database import Database
from rota_tasks.fields.domain import FORMS, FieldType
from rota_tasks.rebuild import rebuild

if TYPE_CHECKING:
    from conftest import Stage
    from rota_chassis.testing.services import User

Value = tasks_pb2.CustomValue
TEXT, NUMBER, MONEY, DATE, SELECT, MULTI_SELECT, PERSON, URL = range(1, 9)


async def a_project(stage: Stage, name: str = "House") -> str:
    answer = await stage.projects.CreateProject(
        projects_pb2.CreateProjectRequest(name=name), metadata=stage.ada.metadata
    )
    return answer.project.id


async def a_field(
    stage: Stage,
    project_id: str,
    kind: Any = TEXT,
    name: str = "Budget",
    *options: str,
    user: User | None = None,
    **more: Any,
) -> custom_fields_pb2.CustomField:
    request = custom_fields_pb2.CreateCustomFieldRequest(
        project_id=project_id,
        name=name,
        type=kind,
        options=[custom_fields_pb2.CustomOption(name=each, color="#00ff00") for each in options],
        **more,
    )
    return (await stage.fields.CreateCustomField(request, metadata=(user or stage.ada).metadata)).field


async def change_field(
    stage: Stage,
    field: custom_fields_pb2.CustomField,
    *,
    clear: tuple[str, ...] = (),
    user: User | None = None,
    if_match: str = "",
    **parts: Any,
) -> custom_fields_pb2.CustomField:
    request = custom_fields_pb2.UpdateCustomFieldRequest(
        project_id=field.project_id,
        id=field.id,
        if_match=if_match,
        update_mask=FieldMask(paths=[*parts, *clear]),
        **parts,
    )
    return (await stage.fields.UpdateCustomField(request, metadata=(user or stage.ada).metadata)).field


async def delete_field(stage: Stage, field: custom_fields_pb2.CustomField, *, user: User | None = None) -> None:
    request = custom_fields_pb2.DeleteCustomFieldRequest(project_id=field.project_id, id=field.id)
    await stage.fields.DeleteCustomField(request, metadata=(user or stage.ada).metadata)


async def names(stage: Stage, project_id: str, *, size: int = 50) -> list[str]:
    seen: list[str] = []
    token = ""
    while True:
        request = custom_fields_pb2.ListCustomFieldsRequest(project_id=project_id, page_size=size, page_token=token)
        answer = await stage.fields.ListCustomFields(request, metadata=stage.ada.metadata)
        seen += [field.name for field in answer.fields]
        token = answer.next_page_token
        if not token:
            return seen


async def patch(stage: Stage, task: tasks_pb2.Task, body: dict[str, Any]) -> tasks_pb2.Task:
    """Change a task by a merge patch, as the gateway does."""
    request = decoder(tasks_pb2.UpdateTaskRequest, exclude=frozenset({"id", "update_mask"}))(body)
    request.update_mask.paths.extend(member_names(body, request.DESCRIPTOR))
    request.id = task.id
    return (await stage.tasks.UpdateTask(request, metadata=stage.ada.metadata)).task


async def get(stage: Stage, task: tasks_pb2.Task) -> tasks_pb2.Task:
    return (await stage.tasks.GetTask(tasks_pb2.GetTaskRequest(id=task.id), metadata=stage.ada.metadata)).task


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


async def differences(stage: Stage) -> int:
    database = await Database.connect(stage.database_url, size=1)
    try:
        return (await rebuild(database)).differences
    finally:
        await database.close()


async def test_fields_are_defined_listed_ordered_changed_and_deleted(stage: Stage) -> None:
    project_id = await a_project(stage)
    first, second, third = [await a_field(stage, project_id, name=each) for each in ("a", "b", "c")]
    assert await names(stage, project_id, size=2) == ["a", "b", "c"]
    await change_field(stage, third, after_id=first.id, name="C", required=True)
    await change_field(stage, second, clear=("after_id",))
    assert await names(stage, project_id, size=1) == ["b", "a", "C"]
    with pytest.raises(NotFound):
        await change_field(stage, third, after_id=third.id)
    with pytest.raises(PreconditionFailed):
        await change_field(stage, third, name="x", if_match=third.etag)
    await delete_field(stage, first)
    request = custom_fields_pb2.GetCustomFieldRequest(project_id=project_id, id=first.id)
    with pytest.raises(NotFound) as caught:
        await stage.fields.GetCustomField(request, metadata=stage.ada.metadata)
    assert caught.value.code == "FIELD_NOT_FOUND"
    assert await differences(stage) == 0
    delete = projects_pb2.DeleteProjectRequest(id=project_id)
    await stage.projects.DeleteProject(delete, metadata=stage.ada.metadata)
    assert await differences(stage) == 0


async def test_fields_are_for_members(stage: Stage) -> None:
    project_id = await a_project(stage)
    field = await a_field(stage, project_id)
    for attempt in (a_field(stage, project_id, user=stage.grace), delete_field(stage, field, user=stage.grace)):
        with pytest.raises(NotFound) as caught:
            await attempt
        assert caught.value.code == "PROJECT_NOT_FOUND"


async def test_a_viewer_reads_fields_and_changes_none(stage: Stage) -> None:
    project_id = await a_project(stage)
    field = await a_field(stage, project_id)
    stage.auth.add_member(stage.ada.workspace_id, stage.grace.id, role="viewer")
    request = custom_fields_pb2.GetCustomFieldRequest(project_id=project_id, id=field.id)
    assert (await stage.fields.GetCustomField(request, metadata=stage.grace.metadata)).field == field
    for attempt in (
        a_field(stage, project_id, user=stage.grace),
        change_field(stage, field, name="x", user=stage.grace),
        delete_field(stage, field, user=stage.grace),
    ):
        with pytest.raises(PermissionDenied):
            await attempt


async def test_a_project_has_at_most_fifty_fields_however_many_come_at_once(stage: Stage) -> None:
    project_id = await a_project(stage)
    outcomes = await asyncio.gather(*(a_field(stage, project_id) for _ in range(60)), return_exceptions=True)
    assert [each.code for each in outcomes if isinstance(each, Conflict)] == ["TOO_MANY_FIELDS"] * 10
    positions = {each.position for each in outcomes if isinstance(each, custom_fields_pb2.CustomField)}
    assert len(positions) == len(await names(stage, project_id)) == 50


async def one_of_each(stage: Stage, project_id: str) -> dict[str, tuple[custom_fields_pb2.CustomField, Value]]:
    fields = {
        kind: await a_field(
            stage, project_id, kind, str(kind), *(("low", "high") if kind in (SELECT, MULTI_SELECT) else ())
        )
        for kind in range(1, 9)
    }
    options = {kind: [option.id for option in field.options] for kind, field in fields.items()}
    values = {
        TEXT: Value(text="north"),
        NUMBER: Value(number=2.5),
        MONEY: Value(money=tasks_pb2.Money(amount="-12.50", currency="EUR")),
        DATE: Value(date="2026-11-21"),
        SELECT: Value(option_id=options[SELECT][1]),
        MULTI_SELECT: Value(option_ids=tasks_pb2.OptionIds(ids=options[MULTI_SELECT])),
        PERSON: Value(user_id=str(stage.ada.id)),
        URL: Value(url="https://example.com/a?b=c"),
    }
    return {str(kind): (fields[kind], values[kind]) for kind in fields}


async def test_a_task_has_a_value_of_each_type_and_only_what_fits(stage: Stage) -> None:
    project_id = await a_project(stage)
    each = await one_of_each(stage, project_id)
    values = {field.id: value for field, value in each.values()}
    task = await stage.create(project_id=project_id, fields=values)
    assert dict(task.fields) == values
    assert await get(stage, task) == task
    for field, _ in each.values():
        for _, other in each.values():
            body = {"fields": {field.id: {other.WhichOneof("kind"): _json(other)}}}
            if other == values[field.id]:
                assert await patch(stage, task, body) == task
                continue
            with pytest.raises(InvalidArgument) as caught:
                await patch(stage, task, body)
            assert [each.field for each in caught.value.violations] == [f"fields.{field.id}"]
    assert await differences(stage) == 0


def _json(value: Value) -> Any:
    match value.WhichOneof("kind"):
        case "money":
            return {"amount": value.money.amount, "currency": value.money.currency}
        case "option_ids":
            return {"ids": list(value.option_ids.ids)}
        case kind:
            return getattr(value, str(kind))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (TEXT, {"text": ""}),
        (TEXT, {"text": "x" * 5001}),
        (TEXT, {}),
        (MONEY, {"money": {"amount": "1,5", "currency": "EUR"}}),
        (MONEY, {"money": {"amount": "1", "currency": "euro"}}),
        (MONEY, {"money": {"currency": "EUR"}}),
        (DATE, {"date": "2026-02-30"}),
        (DATE, {"date": "21.11.2026"}),
        (SELECT, {"option_id": str(uuid4())}),
        (MULTI_SELECT, {"option_ids": {"ids": []}}),
        (MULTI_SELECT, {"option_ids": {"ids": [str(uuid4())]}}),
        (URL, {"url": "javascript:alert(1)"}),
        (PERSON, {"user_id": "me"}),
    ],
    ids=lambda each: str(each)[:24] if isinstance(each, int) else None,
)
async def test_a_value_that_is_none_is_refused(stage: Stage, kind: int, value: dict[str, Any]) -> None:
    project_id = await a_project(stage)
    field = await a_field(stage, project_id, kind, "It", "one")
    task = await stage.create(project_id=project_id)
    with pytest.raises(InvalidArgument) as caught:
        await patch(stage, task, {"fields": {field.id: value}})
    assert all(each.field.startswith("fields") for each in caught.value.violations)
    assert await get(stage, task) == task


async def test_only_members_can_be_a_value(stage: Stage) -> None:
    project_id = await a_project(stage)
    field = await a_field(stage, project_id, PERSON)
    task = await stage.create(project_id=project_id)
    stranger = str(uuid4())
    for attempt in (
        patch(stage, task, {"fields": {field.id: {"user_id": stranger}}}),
        stage.create(project_id=project_id, fields={field.id: Value(user_id=stranger)}),
    ):
        with pytest.raises(Conflict) as caught:
            await attempt
        assert caught.value.violations[0].field == f"fields.{field.id}"
    stage.auth.add_member(stage.ada.workspace_id, stage.grace.id)
    changed = await patch(stage, task, {"fields": {field.id: {"user_id": str(stage.grace.id)}}})
    assert changed.fields[field.id].user_id == str(stage.grace.id)


async def test_random_patches_change_exactly_the_named_values(stage: Stage) -> None:
    chance = random.Random(11)  # noqa: S311 (which changes happen, not a secret)
    project_id = await a_project(stage)
    each = await one_of_each(stage, project_id)
    choices = {field.id: value for field, value in each.values()}
    task = await stage.create(project_id=project_id, description="kept")
    expected: dict[str, Value] = {}
    for _ in range(60):
        body: dict[str, Any] = {}
        if chance.random() < 0.5:
            body["title"] = str(chance.random())
        if chance.random() < 0.05:
            body["fields"], expected = None, {}
        else:
            named = chance.sample(list(choices), chance.randrange(4))
            body["fields"] = {}
            for key in named:
                given = chance.random() < 0.6
                body["fields"][key] = {choices[key].WhichOneof("kind"): _json(choices[key])} if given else None
                expected = {name: value for name, value in expected.items() if name != key}
                expected |= {key: choices[key]} if given else {}
        before = task
        try:
            task = await patch(stage, task, body)
        except InvalidArgument as refused:
            pytest.fail(f"{body}: {refused.violations}")
        assert dict(task.fields) == expected
        assert (task.title, task.description) == (body.get("title", before.title), "kept")
    assert await get(stage, task) == task
    assert await differences(stage) == 0


async def test_what_must_have_a_value_gets_one_and_keeps_it(stage: Stage) -> None:
    project_id, other = await a_project(stage), await a_project(stage, "Garden")
    before = await stage.create(project_id=project_id)
    field = await a_field(stage, project_id, NUMBER, "Cost", required=True)
    assert (await patch(stage, before, {"title": "still"})).title == "still"
    elsewhere = await stage.create(project_id=other)
    for attempt in (
        stage.create(project_id=project_id),
        patch(stage, elsewhere, {"project_id": project_id}),
    ):
        with pytest.raises(InvalidArgument) as caught:
            await attempt
        assert [(each.field, each.reason) for each in caught.value.violations] == [(f"fields.{field.id}", "required")]
    task = await patch(stage, elsewhere, {"project_id": project_id, "fields": {field.id: {"number": 3}}})
    with pytest.raises(InvalidArgument):
        await patch(stage, task, {"fields": {field.id: None}})
    replace = tasks_pb2.ReplaceTaskRequest(id=task.id, title="x", project_id=project_id)
    with pytest.raises(InvalidArgument):
        await stage.tasks.ReplaceTask(replace, metadata=stage.ada.metadata)


async def test_values_go_with_their_field_and_when_the_task_moves(stage: Stage) -> None:
    project_id, other = await a_project(stage), await a_project(stage, "Garden")
    kept, gone = await a_field(stage, project_id, name="kept"), await a_field(stage, project_id, name="gone")
    values = {kept.id: Value(text="1"), gone.id: Value(text="2")}
    task = await stage.create("both", project_id=project_id, fields=values)
    await delete_field(stage, gone)
    seen = await get(stage, task)
    assert (dict(seen.fields), seen.version, seen.etag == task.etag) == ({kept.id: values[kept.id]}, 1, False)
    assert dict((await patch(stage, task, {"title": "x"})).fields) == {kept.id: values[kept.id]}
    with pytest.raises(InvalidArgument):
        await patch(stage, task, {"fields": {gone.id: {"text": "3"}}})
    there = await a_field(stage, other, name="there")
    moved = await patch(stage, task, {"project_id": other, "fields": {there.id: {"text": "4"}}})
    assert dict(moved.fields) == {there.id: Value(text="4")}
    back = await patch(stage, task, {"project_id": project_id})
    assert not back.fields
    assert await differences(stage) == 0


async def test_an_option_that_a_task_has_stays(stage: Stage) -> None:
    project_id = await a_project(stage)
    for kind in (SELECT, MULTI_SELECT):
        field = await a_field(stage, project_id, kind, "Size", "small", "large")
        small, large = field.options
        value = Value(option_id=small.id) if kind == SELECT else Value(option_ids=tasks_pb2.OptionIds(ids=[small.id]))
        task = await stage.create(project_id=project_id, fields={field.id: value})
        with pytest.raises(Conflict) as caught:
            await change_field(stage, field, options=[large])
        assert caught.value.code == "OPTION_IN_USE"
        renamed = custom_fields_pb2.CustomOption(id=small.id, name="tiny", color="")
        changed = await change_field(stage, field, options=[renamed, custom_fields_pb2.CustomOption(name="huge")])
        assert [each.name for each in changed.options] == ["tiny", "huge"]
        assert (changed.options[0].id, changed.options[1].id == large.id) == (small.id, False)
        # In the trash nothing keeps it: it comes back without.
        await stage.tasks.DeleteTask(tasks_pb2.DeleteTaskRequest(id=task.id), metadata=stage.ada.metadata)
        await change_field(stage, field, clear=("options",))
        restore = trash_pb2.RestoreTaskRequest(id=task.id)
        assert not (await stage.trash.RestoreTask(restore, metadata=stage.ada.metadata)).task.fields
    assert await differences(stage) == 0


async def test_an_option_is_not_left_out_while_a_task_gets_it(stage: Stage) -> None:
    project_id = await a_project(stage)
    for _ in range(6):
        field = await a_field(stage, project_id, SELECT, "Size", "small", "large")
        task = await stage.create(project_id=project_id)
        small, large = field.options
        given, left_out = await asyncio.gather(
            patch(stage, task, {"fields": {field.id: {"option_id": small.id}}}),
            change_field(stage, field, options=[large]),
            return_exceptions=True,
        )
        assert isinstance(given, RotaError) != isinstance(left_out, RotaError)


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


async def test_history_tells_of_values_and_undo_takes_them_back(stage: Stage) -> None:
    project_id = await a_project(stage)
    field, gone = await a_field(stage, project_id, NUMBER), await a_field(stage, project_id, NUMBER)
    task = await stage.create(project_id=project_id, fields={gone.id: Value(number=1)})
    await patch(stage, task, {"fields": {field.id: {"number": 2}, gone.id: None}})
    request = history_pb2.ListTaskHistoryRequest(id=task.id)
    entry = (await stage.history.ListTaskHistory(request, metadata=stage.ada.metadata)).entries[0]
    (change,) = entry.changes
    assert change.field == "fields"
    assert change.new.struct_value[field.id]["number"] == 2
    await delete_field(stage, gone)
    undo = history_pb2.UndoTaskRequest(id=task.id)
    assert not (await stage.history.UndoTask(undo, metadata=stage.ada.metadata)).task.fields
    assert await differences(stage) == 0


async def test_a_copy_hears_of_fields_and_of_values_that_went_with_them(stage: Stage) -> None:
    project_id = await a_project(stage)
    field = await a_field(stage, project_id)
    task = await stage.create(project_id=project_id, fields={field.id: Value(text="x")})
    await stage.create(project_id=project_id)
    first = await stage.sync.Sync(sync_pb2.SyncRequest(), metadata=stage.ada.metadata)
    copied = {change.id: change.data for change in first.changes}
    assert (copied[field.id].custom_field, copied[task.id].task) == (field, task)
    await delete_field(stage, field)
    request = sync_pb2.SyncRequest(since=first.next_token)
    changes = (await stage.sync.Sync(request, metadata=stage.ada.metadata)).changes
    assert {(change.kind, change.id, change.deleted) for change in changes} == {
        ("custom_field", field.id, True),
        ("task", task.id, False),
    }
    assert not next(change.data.task.fields for change in changes if change.kind == "task")


def test_every_type_has_a_form_of_its_own() -> None:
    kinds = {each.name for each in Value.DESCRIPTOR.oneofs_by_name["kind"].fields}
    assert set(FORMS.values()) == kinds
    assert len(FieldType) == len(kinds)
