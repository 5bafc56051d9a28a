"""Templates and what is made of them, through gRPC, on real servers."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from rota.tasks.v1 import (
    boards_pb2,
    checklists_pb2,
    custom_fields_pb2,
    labels_pb2,
    projects_pb2,
    relations_pb2,
    sync_pb2,
    tasks_pb2,
    templates_pb2,
)
from rota_chassis.errors import (
    Conflict,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    PreconditionFailed,
    RotaError,
    Unavailable,
    Unprocessable,
)
from rota_chassis.testing.waiting import eventually
from templating import MOVE, checklist, content_of, counts, differences, get, related, save, tasks, use

if TYPE_CHECKING:
    from conftest import Stage


async def test_a_template_makes_a_whole_project_and_all_of_it_rebuilds(stage: Stage) -> None:
    template = await save(stage, MOVE, description="How we begin")
    assert (template.makes_project, template.task_count, template.version) == (True, 3, 1)
    made = await use(
        stage,
        template,
        variables={"client": "Acme+{{owner}}", "owner": str(stage.ada.id), "launch": "2027-03-29"},
        start_on="2027-03-01",
        time_zone="Europe/Berlin",
    )
    assert made.project.name == "Onboard Acme+{{owner}}"
    assert made.project.description == "For Acme+{{owner}}; not {{client}}"
    kick, notes, after = [await get(stage, each) for each in made.task_ids]
    assert (made.task.id, made.task.key) == (kick.id, kick.key)
    assert kick.key.startswith(made.project.key + "-")
    assert (kick.title, kick.description) == ("Call Acme+{{owner}}", "Ask Acme+{{owner}} about 100")
    assert (kick.start_on, kick.due_on) == ("2027-03-01", "2027-03-04")
    assert kick.deadline_at.ToJsonString() == "2027-03-08T22:59:59Z"
    assert kick.remind_at.ToJsonString() == "2027-03-03T16:30:00Z"
    assert (kick.estimate_s, kick.category, list(kick.remind_before_s)) == (600, "sales", [60])
    assert (list(kick.assignee_ids), list(kick.watcher_ids)) == ([str(stage.ada.id)],) * 2
    assert kick.priority == tasks_pb2.TASK_PRIORITY_HIGH
    # 09:00 in summer, a week before the launch in winter time: the clock of the day counts.
    assert notes.due_at.ToJsonString() == "2027-03-22T08:00:00Z"
    assert (notes.parent_id, after.parent_id) == (kick.id, notes.id)
    assert (after.due_on, after.time_zone, after.HasField("remind_at")) == ("2027-03-11", "America/New_York", False)
    assert {each.project_id for each in (kick, notes, after)} == {made.project.id}
    by: dict[str, Any] = {"metadata": stage.ada.metadata}
    labels = (await stage.labels.ListLabels(labels_pb2.ListLabelsRequest(), **by)).labels
    assert {each.id for each in labels} == set(kick.label_ids)
    assert {each.name for each in labels} == {"calls", "Acme+{{owner}}"}
    sections = await stage.boards.ListSections(boards_pb2.ListSectionsRequest(project_id=made.project.id), **by)
    assert [each.name for each in sections.sections] == ["First", "Then"]
    assert kick.section_id == sections.sections[1].id
    states = (await stage.boards.ListStates(boards_pb2.ListStatesRequest(project_id=made.project.id), **by)).states
    assert [(each.name, each.wip_limit) for each in states] == [("Open", 0), ("Over", 50)]
    assert [way.to_state_id for way in states[0].transitions] == [states[1].id]
    assert {each.state_id for each in (kick, notes, after)} == {states[0].id}
    custom = (
        await stage.fields.ListCustomFields(custom_fields_pb2.ListCustomFieldsRequest(project_id=made.project.id), **by)
    ).fields
    values = {each.name: kick.fields[each.id] for each in custom if each.id in kick.fields}
    options = {option.id: option.name for each in custom for option in each.options}
    assert (values["Budget"].number, options[values["Wood"].option_id]) == (100, "Elm")
    assert (values["Paid"].money.amount, values["Paid"].money.currency) == ("12.50", "EUR")
    assert values["Ready"].date == "2027-03-30"
    assert [options[each] for each in values["Kinds"].option_ids.ids] == ["B", "A"]
    assert await checklist(stage, kick.id) == [
        ("Greet Acme+{{owner}}", False, str(stage.ada.id)),
        ("Listen", False, ""),
    ]
    assert await related(stage, kick.id) == [(relations_pb2.RELATION_TYPE_BLOCKS, notes.id, 60)]
    assert await differences(stage) == 0


async def test_a_template_makes_tasks_in_a_project_that_is_there(stage: Stage) -> None:
    by: dict[str, Any] = {"metadata": stage.ada.metadata}
    project = (await stage.projects.CreateProject(projects_pb2.CreateProjectRequest(name="House"), **by)).project
    state = (
        await stage.boards.CreateState(
            boards_pb2.CreateStateRequest(
                project_id=project.id, name="Next", group=tasks_pb2.TASK_STATUS_TODO, wip_limit=3
            ),
            **by,
        )
    ).state
    template = await save(stage, {"tasks": [{"title": "Weed", "due": "+1d"}, {"title": "Mow"}]})
    made = await use(stage, template, project_id=project.id, start_on="2027-05-01")
    weed, mow = [await get(stage, each) for each in made.task_ids]
    assert (weed.project_id, weed.state_id, weed.due_on) == (project.id, state.id, "2027-05-02")
    assert (mow.state_id, mow.HasField("due_on"), made.HasField("project")) == (state.id, False, False)
    with pytest.raises(Conflict) as full:
        await use(stage, template, project_id=project.id)
    assert full.value.code == "WIP_LIMIT_REACHED"
    with pytest.raises(NotFound) as missing:
        await use(stage, template, project_id=str(uuid4()))
    assert missing.value.code == "PROJECT_NOT_FOUND"
    whole = await save(stage, {"project": {"name": "Whole"}})
    with pytest.raises(Conflict) as its_own:
        await use(stage, whole, project_id=project.id)
    assert its_own.value.code == "TEMPLATE_MAKES_PROJECT"
    loose = await use(stage, template)
    assert (await get(stage, loose.task.id)).project_id == ""


async def test_a_project_that_was_made_into_a_template_is_made_again(stage: Stage) -> None:
    first = await save(stage, MOVE)
    made = await use(
        stage, first, variables={"client": "{{x}}", "owner": str(stage.ada.id), "launch": "2027-03-29"},
        start_on="2027-03-01", time_zone="Europe/Berlin",
    )  # fmt: skip
    await stage.tasks.CompleteTask(tasks_pb2.CompleteTaskRequest(id=made.task_ids[2]), metadata=stage.ada.metadata)
    template = await save(stage, from_project_id=made.project.id)
    assert template.content.project.name == "Onboard \\{{x}}"
    again = await use(stage, template, start_on="2028-03-01")
    assert again.project.name == "Onboard {{x}}"
    for old_id, new_id in zip(made.task_ids, again.task_ids, strict=True):
        old, new = await get(stage, old_id), await get(stage, new_id)
        for name in ("title", "description", "priority", "category", "estimate_s", "assignee_ids", "label_ids"):
            assert getattr(new, name) == getattr(old, name), name
        assert await checklist(stage, new_id) == await checklist(stage, old_id)
        if old.HasField("due_on"):
            assert date.fromisoformat(new.due_on) - date.fromisoformat(old.due_on) == timedelta(days=366)
        assert new.status == tasks_pb2.TASK_STATUS_TODO
        assert len(new.fields) == len(old.fields)
    kick, notes, _ = again.task_ids
    assert await related(stage, kick) == [(relations_pb2.RELATION_TYPE_BLOCKS, notes, 60)]
    same = await save(stage, from_project_id=again.project.id)
    assert same.content.project == template.content.project
    assert list(same.content.tasks[:2]) == list(template.content.tasks[:2])


async def test_a_task_is_made_again_with_all_below_it(stage: Stage) -> None:
    top = await stage.create("Top {{a}}", due_on="2027-01-10", time_zone="Europe/Berlin")
    below = await stage.create("Below", parent_id=top.id, start_on="2027-01-08")
    await stage.checklists.CreateChecklistItem(
        checklists_pb2.CreateChecklistItemRequest(task_id=below.id, title="Step"), metadata=stage.ada.metadata
    )
    await stage.create("Beside")
    template = await save(stage, from_task_id=top.id)
    assert (template.makes_project, template.task_count) == (False, 2)
    made = await use(stage, template, start_on="2027-02-01")
    new_top, new_below = [await get(stage, each) for each in made.task_ids]
    assert (new_top.title, new_top.due_on, new_top.time_zone) == ("Top {{a}}", "2027-02-03", "Europe/Berlin")
    assert (new_below.parent_id, new_below.start_on) == (new_top.id, "2027-02-01")
    assert await checklist(stage, new_below.id) == [("Step", False, "")]
    for field, code in (("from_task_id", "TASK_NOT_FOUND"), ("from_project_id", "PROJECT_NOT_FOUND")):
        with pytest.raises(NotFound) as caught:
            await save(stage, user=stage.grace, **{field: top.id})
        assert caught.value.code == code


async def test_people_who_left_are_left_out_but_not_named_anew(stage: Stage) -> None:
    content = {"variables": [{"name": "who", "type": "user"}], **tasks(assignees=[str(stage.grace.id), "{{who}}"])}
    template = await save(stage, content)
    made = await use(stage, template, variables={"who": str(stage.ada.id)})
    assert list(made.task.assignee_ids) == [str(stage.ada.id)]
    with pytest.raises(Conflict) as caught:
        await use(stage, template, variables={"who": str(stage.grace.id)})
    assert caught.value.code == "ASSIGNEE_NOT_A_MEMBER"
    assert [each.field for each in caught.value.violations] == ["variables.who"]


async def test_the_same_request_at_once_makes_one_and_different_ones_each_their_own(stage: Stage) -> None:
    template = await save(stage, MOVE, request_id="saved")
    assert (await save(stage, MOVE, request_id="saved")).id == template.id
    given = {"client": "Acme"}
    answers = await asyncio.gather(*(use(stage, template, variables=given, request_id="key") for _ in range(5)))
    assert all(each == answers[0] for each in answers)
    # At once, and all with labels that are new.
    others = await asyncio.gather(*(use(stage, template, variables={"client": "Other"}) for _ in range(3)))
    assert len({each.project.id for each in [*answers, *others]}) == 4
    found = await counts(stage)
    assert (found["projects"], found["tasks"], found["labels"], found["templates"]) == (4, 12, 3, 1)
    with pytest.raises(Unprocessable) as caught:
        await use(stage, template, variables={"client": "Else"}, request_id="key")
    assert caught.value.code == "REQUEST_ID_REUSED"
    assert await differences(stage) == 0


async def test_a_use_whose_connection_ends_in_the_middle_leaves_nothing(stage: Stage) -> None:
    template = await save(stage, MOVE)
    before = await counts(stage)
    connection = await asyncpg.connect(stage.database_url)
    async with connection.transaction():
        # It comes to a stand when the tasks are written and their relations are not.
        await connection.execute("LOCK TABLE relations IN EXCLUSIVE MODE")
        making = asyncio.ensure_future(use(stage, template, variables={"client": "Acme"}, request_id="key"))

        async def ended() -> bool:
            found: bool | None = await connection.fetchval(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))"
            )
            return bool(found)

        await eventually(ended)
        with pytest.raises(Unavailable):
            await making
    await connection.close()
    assert await counts(stage) == before
    made = await use(stage, template, variables={"client": "Acme"}, request_id="key")
    assert len(made.task_ids) == 3


async def test_a_template_is_changed_by_whoever_has_its_entity_tag(stage: Stage) -> None:
    template = await save(stage, MOVE)

    async def rename(name: str) -> Any:
        request = templates_pb2.UpdateTemplateRequest(
            id=template.id, name=name, if_match=template.etag, update_mask=FieldMask(paths=["name"])
        )
        return (await stage.templates.UpdateTemplate(request, metadata=stage.ada.metadata)).template

    results = await asyncio.gather(*(rename(name) for name in "ab"), return_exceptions=True)
    assert sorted(type(each).__name__ for each in results) == ["PreconditionFailed", "Template"]
    refused = next(each for each in results if isinstance(each, RotaError))
    assert isinstance(refused, PreconditionFailed)
    request = templates_pb2.UpdateTemplateRequest(
        id=template.id, content=content_of(tasks()), update_mask=FieldMask(paths=["content", "description"])
    )
    changed = (await stage.templates.UpdateTemplate(request, metadata=stage.ada.metadata)).template
    assert (changed.version, changed.task_count, changed.makes_project) == (3, 1, False)
    for field in ("name", "content"):
        with pytest.raises(InvalidArgument) as caught:
            await stage.templates.UpdateTemplate(
                templates_pb2.UpdateTemplateRequest(id=template.id, update_mask=FieldMask(paths=[field])),
                metadata=stage.ada.metadata,
            )
        assert [each.field for each in caught.value.violations] == [field]
    assert await differences(stage) == 0


async def test_templates_are_listed_page_by_page_without_their_content_and_go(stage: Stage) -> None:
    saved = [await save(stage, tasks(), name=f"template {number}") for number in range(3)]
    first = await stage.templates.ListTemplates(
        templates_pb2.ListTemplatesRequest(page_size=2), metadata=stage.ada.metadata
    )
    rest = await stage.templates.ListTemplates(
        templates_pb2.ListTemplatesRequest(page_size=2, page_token=first.next_page_token),
        metadata=stage.ada.metadata,
    )
    listed = [*first.templates, *rest.templates]
    assert [each.id for each in listed] == [each.id for each in reversed(saved)]
    assert {(each.task_count, each.HasField("content")) for each in listed} == {(1, False)}
    synced = await stage.sync.Sync(sync_pb2.SyncRequest(), metadata=stage.ada.metadata)
    assert sum(each.kind == "template" for each in synced.changes) == 3
    await stage.templates.DeleteTemplate(
        templates_pb2.DeleteTemplateRequest(id=saved[0].id), metadata=stage.ada.metadata
    )
    with pytest.raises(NotFound) as caught:
        await use(stage, saved[0])
    assert caught.value.code == "TEMPLATE_NOT_FOUND"
    assert await differences(stage) == 0


async def test_another_users_template_does_not_exist(stage: Stage) -> None:
    template = await save(stage, tasks())
    by: dict[str, Any] = {"metadata": stage.grace.metadata}
    for call, request in (
        (stage.templates.GetTemplate, templates_pb2.GetTemplateRequest(id=template.id)),
        (stage.templates.UpdateTemplate, templates_pb2.UpdateTemplateRequest(id=template.id)),
        (stage.templates.DeleteTemplate, templates_pb2.DeleteTemplateRequest(id=template.id)),
        (stage.templates.InstantiateTemplate, templates_pb2.InstantiateTemplateRequest(id=template.id)),
    ):
        with pytest.raises(NotFound) as caught:
            await call(request, **by)
        assert caught.value.code == "TEMPLATE_NOT_FOUND"
    assert not (await stage.templates.ListTemplates(templates_pb2.ListTemplatesRequest(), **by)).templates


async def test_a_viewer_sees_templates_and_uses_none(stage: Stage) -> None:
    template = await save(stage, tasks())
    stage.auth.add_member(stage.ada.workspace_id, stage.grace.id, role="viewer")
    by: dict[str, Any] = {"metadata": stage.grace.metadata}
    seen = await stage.templates.GetTemplate(templates_pb2.GetTemplateRequest(id=template.id), **by)
    assert seen.template.content == template.content
    for call, request in (
        (
            stage.templates.CreateTemplate,
            templates_pb2.CreateTemplateRequest(
                name="x", content=content_of(tasks()), workspace_id=str(stage.ada.workspace_id)
            ),
        ),
        (stage.templates.UpdateTemplate, templates_pb2.UpdateTemplateRequest(id=template.id)),
        (stage.templates.DeleteTemplate, templates_pb2.DeleteTemplateRequest(id=template.id)),
        (stage.templates.InstantiateTemplate, templates_pb2.InstantiateTemplateRequest(id=template.id)),
    ):
        with pytest.raises(PermissionDenied) as caught:
            await call(request, **by)
        assert caught.value.code == "WORKSPACE_ROLE_REQUIRED"
