"""Custom fields as tests define and fill them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf.field_mask_pb2 import FieldMask
from rota.tasks.v1 import (
    custom_fields_pb2,
    projects_pb2,
    tasks_pb2,
)
from rota_chassis.codec import decoder, member_names
from rota_chassis.postgres.database import Database
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


async def differences(stage: Stage) -> int:
    database = await Database.connect(stage.database_url, size=1)
    try:
        return (await rebuild(database)).differences
    finally:
        await database.close()


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


def _json(value: Value) -> Any:
    match value.WhichOneof("kind"):
        case "money":
            return {"amount": value.money.amount, "currency": value.money.currency}
        case "option_ids":
            return {"ids": list(value.option_ids.ids)}
        case kind:
            return getattr(value, str(kind))
