"""Templates whose tasks recur, act, and are commented on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from rebuilding import require_rebuilt
from rota.tasks.v1 import comments_pb2, executions_pb2, projects_pb2, series_pb2, tasks_pb2, templates_pb2
from rota_chassis.codec import decoder
from rota_chassis.errors import InvalidArgument, NotFound, PermissionDenied
from rota_chassis.testing.waiting import eventually

if TYPE_CHECKING:
    from conftest import Stage
    from rota_chassis.testing.auth import SmallAuth
    from rota_chassis.testing.services import User

SECRET = "whsec_" + "QUJD" * 12
CALL = {
    "http": {
        "url": "http://127.0.0.1:1/{{path}}",
        "headers": [{"name": "Authorization", "value": "Bearer {{token}}", "sensitive": True}],
        "signing_secret": "{{token}}",
    },
    "retry": {"max_attempts": 1},
}
content_of = decoder(templates_pb2.TemplateContent)


async def save(stage: Stage, *tasks: Any, variables: Any = (), **fields: Any) -> Any:
    content = content_of({"variables": list(variables), "tasks": list(tasks)}) if tasks else None
    request = templates_pb2.CreateTemplateRequest(name="Care", content=content, **fields)
    return (await stage.templates.CreateTemplate(request, metadata=stage.ada.metadata)).template


async def use(stage: Stage, template: Any, *, user: User | None = None, **fields: Any) -> list[Any]:
    """The tasks that come of it."""
    metadata = (user or stage.ada).metadata
    request = templates_pb2.InstantiateTemplateRequest(id=template.id, **fields)
    made = await stage.templates.InstantiateTemplate(request, metadata=metadata)
    return [
        (await stage.tasks.GetTask(tasks_pb2.GetTaskRequest(id=each), metadata=metadata)).task for each in made.task_ids
    ]


async def comments(stage: Stage, task: Any) -> list[tuple[str, str]]:
    request = comments_pb2.ListCommentsRequest(task_id=task.id)
    found = await stage.comments.ListComments(request, metadata=stage.ada.metadata)
    return sorted((each.text, each.author_id) for each in found.comments)


async def say(stage: Stage, task: Any, text: str) -> None:
    request = comments_pb2.CreateCommentRequest(task_id=task.id, text=text)
    await stage.comments.CreateComment(request, metadata=stage.ada.metadata)


async def names(stage: Stage, task: Any) -> list[str]:
    request = series_pb2.ListOccurrencesRequest(id=task.id, preview=0)
    answer = await stage.series.ListOccurrences(request, metadata=stage.ada.metadata)
    return [each.occurrence for each in answer.occurrences]


async def test_tasks_of_a_template_recur_and_are_commented_on(stage: Stage) -> None:
    template = await save(
        stage,
        {
            "key": "water",
            "title": "Water",
            "due": "+1d",
            "recurrence": {"every": "2d"},
            "comments": ["Mind the {{plant}}", "Use rain"],
        },
        {"title": "Fill", "parent": "water", "due": "+1d"},
        {"title": "Feed", "recurrence": {"rrule": "FREQ=WEEKLY;BYDAY=FR"}, "time_zone": "Europe/Berlin"},
        variables=[{"name": "plant"}],
    )
    water, _fill, feed = await use(stage, template, start_on="2026-01-05", variables={"plant": "fern"})
    assert (water.due_on, water.recurrence.starts_on) == ("2026-01-06", "2026-01-06")
    assert (feed.due_on, feed.recurrence.time_zone) == ("2026-01-02", "Europe/Berlin")
    ada = str(stage.ada.id)
    assert await comments(stage, water) == [("Mind the fern", ada), ("Use rain", ada)]
    await stage.tasks.CompleteTask(tasks_pb2.CompleteTaskRequest(id=water.id), metadata=stage.ada.metadata)

    async def follows() -> bool:
        return await names(stage, water) == ["2026-01-06", "2026-01-08"]

    assert await eventually(follows)
    await require_rebuilt(stage.database_url)


async def test_an_action_is_taken_on_behalf_of_whoever_uses_the_template_with_secrets_given_then(
    stage: Stage, scheduler_auth: SmallAuth
) -> None:
    for auth in (stage.auth, scheduler_auth):
        auth.add_member(stage.ada.workspace_id, stage.grace.id)
    template = await save(
        stage,
        {"title": "Call", "due": "+0d", "action": CALL, "run_when": "unblocked", "complete_on_success": False},
        variables=[{"name": "path"}, {"name": "token", "required": True}],
    )
    await stage.tasks.ListTasks(
        tasks_pb2.ListTasksRequest(workspace_id=str(stage.ada.workspace_id)), metadata=stage.grace.metadata
    )
    (task,) = await use(stage, template, user=stage.grace, variables={"path": "hook", "token": SECRET})
    assert task.action["http"]["url"] == "http://127.0.0.1:1/hook"
    assert task.action["http"]["headers"][0]["value"] == "********"
    assert (task.run_when, task.complete_on_success) == (executions_pb2.RUN_WHEN_UNBLOCKED, False)
    assert task.action_state.given_by == str(stage.grace.id)
    connection = await asyncpg.connect(stage.database_url)
    told = await connection.fetchval("SELECT count(*) FROM events WHERE data::text LIKE '%QUJD%'")
    await connection.close()
    assert told == 0


@pytest.mark.parametrize(
    ("task", "field"),
    [
        ({"action": {"http": {"url": "https://example.com", "signing_secret": "0123456789abcdef"}}}, "action"),
        ({"action": {"http": {"url": "https://example.com", "signing_secret": "********"}}}, "action"),
        ({"action": {"event": {"type": "{{nobody}}"}}}, "action"),
        ({"comments": ["{{nobody}}"]}, "comments[0]"),
        ({"recurrence": {"every": "1d"}, "parent": "whole"}, "recurrence"),
    ],
)
async def test_what_a_template_cannot_hold_is_refused_with_its_place(
    stage: Stage, task: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await save(stage, {"key": "whole", "title": "x", "recurrence": {"every": "1d"}}, {"title": "y"} | task)
    assert [each.field for each in refused.value.violations] == [f"content.tasks[1].{field}"]


@pytest.mark.parametrize(
    ("task", "field"),
    [
        ({"recurrence": {"rrule": "FREQ=NEVER"}}, "recurrence.rrule"),
        ({"action": {"nothing": {}}}, "action"),
    ],
)
async def test_what_the_scheduler_refuses_makes_nothing(stage: Stage, task: dict[str, Any], field: str) -> None:
    template = await save(stage, {"title": "x"}, {"title": "y"} | task)
    with pytest.raises(InvalidArgument) as refused:
        await use(stage, template)
    assert refused.value.code == "INVALID_TEMPLATE"
    assert all(each.field.startswith(f"content.tasks[1].{field}") for each in refused.value.violations)
    answer = await stage.tasks.ListTasks(tasks_pb2.ListTasksRequest(), metadata=stage.ada.metadata)
    assert list(answer.tasks) == []


async def test_a_template_is_made_of_what_recurs_and_acts_with_a_variable_for_each_secret(stage: Stage) -> None:
    action = {"http": {"url": "http://127.0.0.1:1/x", "headers": [{"name": "A", "value": SECRET, "sensitive": True}]}}
    given = tasks_pb2.CreateTaskRequest(title="Call", due_on="2026-01-05")
    given.recurrence.every = "3d"
    given.action.update(action)
    first = (await stage.tasks.CreateTask(given, metadata=stage.ada.metadata)).task
    for text in ("Mind {{braces}}", "And again"):
        await say(stage, first, text)
    plain = await save(stage, from_task_id=first.id)
    assert list(plain.content.tasks[0].comments) == []
    template = await save(stage, from_task_id=first.id, with_comments=True)
    assert [(each.name, each.required) for each in template.content.variables] == [("secret_1", True)]
    with pytest.raises(InvalidArgument) as missing:
        await use(stage, template)
    assert missing.value.code == "INVALID_VARIABLES"
    (task,) = await use(stage, template, start_on="2026-02-01", variables={"secret_1": "another"})
    assert (task.due_on, task.recurrence.every, task.recurrence.starts_on) == ("2026-02-01", "3d", "2026-02-01")
    assert task.action["http"]["headers"][0]["value"] == "********"
    assert task.action_state.id != first.action_state.id
    assert [text for text, _ in await comments(stage, task)] == ["And again", "Mind {{braces}}"]


async def test_a_template_of_a_project_takes_its_comments_where_they_are_wanted(stage: Stage) -> None:
    project = (
        await stage.projects.CreateProject(projects_pb2.CreateProjectRequest(name="House"), metadata=stage.ada.metadata)
    ).project
    await say(stage, await stage.create("Paint", project_id=project.id), "Blue")
    template = await save(stage, from_project_id=project.id, with_comments=True)
    (task,) = await use(stage, template)
    assert await comments(stage, task) == [("Blue", str(stage.ada.id))]


async def test_repeated_and_at_once_it_is_made_once(stage: Stage) -> None:
    template = await save(
        stage, {"title": "Water", "recurrence": {"every": "1d"}, "action": {"event": {"type": "a.b"}}}
    )
    made = await asyncio.gather(*(use(stage, template, request_id="once") for _ in range(4)))
    assert len({each.id for tasks in made for each in tasks}) == 1
    connection = await asyncpg.connect(stage.database_url)
    assert await connection.fetchval("SELECT count(*) FROM task_series") == 1
    await connection.close()


async def test_who_may_not_use_it_begins_nothing(stage: Stage) -> None:
    template = await save(stage, {"title": "Water", "recurrence": {"every": "1d"}})
    with pytest.raises(NotFound):
        await use(stage, template, user=stage.grace)


async def test_viewers_begin_nothing(stage: Stage) -> None:
    template = await save(stage, {"title": "Water", "recurrence": {"every": "1d"}})
    stage.auth.add_member(stage.ada.workspace_id, stage.grace.id, role="viewer", version=9)
    with pytest.raises(PermissionDenied):
        await use(stage, template, user=stage.grace)
