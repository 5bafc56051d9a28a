"""Nobody is named in what is made of a private project who would not see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from rota.tasks.v1 import (
    checklists_pb2,
    copies_pb2,
    custom_fields_pb2,
    projects_pb2,
    tasks_pb2,
    templates_pb2,
)
from rota_chassis.errors import Conflict

if TYPE_CHECKING:
    from integration.private_projects.conftest import World

WORKSPACE = projects_pb2.PROJECT_VISIBILITY_WORKSPACE
PERSON = custom_fields_pb2.CUSTOM_FIELD_TYPE_PERSON


async def furnished(world: World) -> None:
    """A task of the private project that names people in every way, among them one whom only the project knows."""
    names = [str(each.id) for each in (world.keeper, world.viewer, world.owner)]
    for name in ("Seller", "Boss"):
        custom = custom_fields_pb2.CreateCustomFieldRequest(project_id=world.project, name=name, type=PERSON)
        world.ids[name] = (await world.do("CustomFieldService.CreateCustomField", custom)).field.id
    task = await world.do(
        "TaskService.CreateTask",
        tasks_pb2.CreateTaskRequest(
            title="Everybody",
            project_id=world.project,
            assignee_ids=names,
            fields={
                world.Seller: tasks_pb2.CustomValue(user_id=str(world.viewer.id)),
                world.Boss: tasks_pb2.CustomValue(user_id=str(world.owner.id)),
            },
        ),
    )
    for user in (world.viewer, world.owner):
        await world.call("TaskService.WatchTask", tasks_pb2.WatchTaskRequest(id=task.task.id), user)
    for user in (world.viewer, world.owner):
        item = checklists_pb2.CreateChecklistItemRequest(task_id=task.task.id, title="Sign", assignee_id=str(user.id))
        await world.do("ChecklistService.CreateChecklistItem", item)


async def named(world: World, project_id: str) -> dict[str, set[str]]:
    """Whom the task that names everybody names in a project, and how."""
    listed = await world.do("TaskService.ListTasks", tasks_pb2.ListTasksRequest(project_id=project_id))
    (task,) = [each for each in listed.tasks if each.title == "Everybody"]
    items = await world.do(
        "ChecklistService.ListChecklistItems", checklists_pb2.ListChecklistItemsRequest(task_id=task.id)
    )
    return {
        "assignees": set(task.assignee_ids),
        "watchers": set(task.watcher_ids),
        "values": {each.user_id for each in task.fields.values()},
        "items": {each.assignee_id for each in items.items if each.HasField("assignee_id")},
    }


def all_of(world: World, *, but: Any = None) -> dict[str, set[str]]:
    keeper, viewer, owner = (str(each.id) for each in (world.keeper, world.viewer, world.owner))
    found = {
        "assignees": {keeper, viewer, owner},
        "watchers": {viewer, owner},
        "values": {viewer, owner},
        "items": {viewer, owner},
    }
    return {how: people - {str(but.id)} if but else people for how, people in found.items()}


async def copy(world: World) -> str:
    request = copies_pb2.CopyProjectRequest(id=world.project, include=[copies_pb2.COPY_PART_PEOPLE])
    return (await world.do("CopyService.CopyProject", request)).project.id


async def instantiate(world: World) -> str:
    template = templates_pb2.CreateTemplateRequest(name="Everybody", from_project_id=world.project)
    template_id = (await world.do("TemplateService.CreateTemplate", template)).template.id
    request = templates_pb2.InstantiateTemplateRequest(id=template_id)
    return (await world.do("TemplateService.InstantiateTemplate", request)).project.id


@pytest.mark.parametrize("make", [copy, instantiate])
async def test_what_is_made_of_a_private_project_names_those_alone_who_see_it(world: World, make: Any) -> None:
    await furnished(world)
    assert await named(world, world.project) == all_of(world)
    assert await named(world, await make(world)) == all_of(world, but=world.viewer)


@pytest.mark.parametrize("make", [copy, instantiate])
async def test_what_is_made_of_an_open_project_names_all_of_them(world: World, make: Any) -> None:
    await furnished(world)
    request = projects_pb2.UpdateProjectRequest(
        id=world.project, visibility=WORKSPACE, update_mask=FieldMask(paths=["visibility"])
    )
    await world.do("ProjectService.UpdateProject", request)
    assert await named(world, await make(world)) == all_of(world)


async def test_a_copy_without_people_names_no_person_who_does_not_see_it(world: World) -> None:
    await furnished(world)
    made = await world.do("CopyService.CopyProject", copies_pb2.CopyProjectRequest(id=world.project))
    assert await named(world, made.project.id) == {
        "assignees": set(),
        "watchers": set(),
        "values": {str(world.owner.id)},
        "items": set(),
    }


async def test_a_user_who_would_not_see_it_is_no_value_of_a_variable(world: World) -> None:
    template = templates_pb2.CreateTemplateRequest(name="Somebody's", from_project_id=world.project)
    made = (await world.do("TemplateService.CreateTemplate", template)).template
    content = templates_pb2.TemplateContent()
    content.CopyFrom(made.content)
    content.variables.add(name="who", type=templates_pb2.TEMPLATE_VARIABLE_TYPE_USER)
    content.tasks[0].assignees.append("{{who}}")
    update = templates_pb2.UpdateTemplateRequest(id=made.id, content=content, update_mask=FieldMask(paths=["content"]))
    await world.do("TemplateService.UpdateTemplate", update)
    request = templates_pb2.InstantiateTemplateRequest(id=made.id, variables={"who": str(world.viewer.id)})
    with pytest.raises(Conflict) as refused:
        await world.do("TemplateService.InstantiateTemplate", request)
    assert refused.value.code == "ASSIGNEE_NOT_A_MEMBER"
    request.variables["who"] = str(world.owner.id)
    await world.do("TemplateService.InstantiateTemplate", request)
