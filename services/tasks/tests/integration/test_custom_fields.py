"""Custom fields of projects and their values in tasks, through gRPC, on real servers."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from custom_fielding import (
    DATE,
    MONEY,
    MULTI_SELECT,
    NUMBER,
    PERSON,
    SELECT,
    TEXT,
    URL,
    Value,
    _json,
    a_field,
    a_project,
    change_field,
    delete_field,
    differences,
    get,
    names,
    one_of_each,
    patch,
)
from rota.tasks.v1 import (
    custom_fields_pb2,
    history_pb2,
    projects_pb2,
    sync_pb2,
    tasks_pb2,
    trash_pb2,
)
from rota_chassis.errors import Conflict, InvalidArgument, NotFound, PermissionDenied, PreconditionFailed, RotaError
from rota_tasks.fields.domain import FORMS, FieldType

if TYPE_CHECKING:
    from conftest import Stage


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
