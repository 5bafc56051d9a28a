"""Who looks at which tasks of a project, over real sockets, gateways and NATS."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from rota_chassis.ids import uuid7

if TYPE_CHECKING:
    from rota_chassis.testing.services import User
    from tests.integration.conftest import RunSystem, System
    from tests.integration.live_channels.conftest import Listener, Listening, Publisher

Company = dict[str, list[str]]


async def say(listener: Listener, user: User, **named: str) -> None:
    """What a client looks at in a user's workspace."""
    await listener.socket.send(json.dumps({"type": "presence", "workspace_id": str(user.workspace_id), **named}))


async def heard(listener: Listener, project_id: str, want: Company) -> None:
    """Read until what has been told of a project since comes to this."""
    known: Company = {}
    while True:
        frame = await listener.frame()
        assert frame["type"] in {"presence", "access", "event"}, frame
        if frame.get("project_id") == project_id and "tasks" in frame:
            known |= {each["task_id"]: each["user_ids"] for each in frame["tasks"]}
            if known == want:
                return


def ids(*users: User) -> list[str]:
    return sorted(str(user.id) for user in users)


async def test_who_follows_a_project_hears_who_looks_at_which_of_its_tasks(
    system: System, listening: Listening
) -> None:
    ada, grace = system.user(), system.user()
    system.join(grace, ada.workspace_id)
    project_id = str(uuid7())
    one, other = system.projects.add_task(project_id), system.projects.add_task(project_id)
    elsewhere = system.projects.add_task(str(uuid7()))
    async with listening(system, "tasks", ada) as first:
        await first.frame()
        async with listening(system, "tasks", grace) as second:
            await second.frame()
            await say(second, ada, task_id=one)
            await second.frame()
            await say(first, ada, project_id=project_id)
            await heard(first, project_id, {one: ids(grace)})
            await say(second, ada, task_id=other)
            await heard(first, project_id, {one: [], other: ids(grace)})
            # At a task and at the list at once.
            await say(first, ada, task_id=other, project_id=project_id)
            await heard(first, project_id, {other: ids(ada, grace)})
            await say(second, ada, task_id=elsewhere)
            await heard(first, project_id, {other: ids(ada)})
            await say(second, ada, task_id=one)
            await heard(first, project_id, {one: ids(grace)})
        # Her connection is gone.
        await heard(first, project_id, {one: []})


async def test_gateways_tell_each_other_of_projects(
    system: System, run_system: RunSystem, fresh_nats_url: str, listening: Listening
) -> None:
    ada, grace = system.user(), system.user()
    project_id = str(uuid7())
    async with run_system(nats_url=fresh_nats_url) as other:
        other.auth.memberships = system.auth.memberships
        system.join(grace, ada.workspace_id)
        # The first gateway asks nobody where the task is.
        task_id = other.projects.add_task(project_id)
        async with listening(system, "tasks", ada) as first:
            await first.frame()
            await say(first, ada, project_id=project_id)
            await heard(first, project_id, {})
            async with listening(other, "tasks", grace, token=grace.token) as second:
                await second.frame()
                await say(second, ada, task_id=task_id)
                await heard(first, project_id, {task_id: ids(grace)})
            await heard(first, project_id, {task_id: []})


async def test_a_task_that_moves_is_looked_at_where_it_is(
    system: System, listening: Listening, events: Publisher
) -> None:
    ada, grace = system.user(), system.user()
    system.join(grace, ada.workspace_id)
    before, after = str(uuid7()), str(uuid7())
    task_id = system.projects.add_task(before)
    async with listening(system, "tasks", ada) as first, listening(system, "tasks", grace) as second:
        for listener, project_id in ((first, before), (second, after)):
            await listener.frame()
            await say(listener, ada, project_id=project_id)
            await heard(listener, project_id, {})
        await say(first, ada, project_id=before, task_id=task_id)
        await heard(first, before, {task_id: ids(ada)})
        changes = [{"field": "project_id", "old": before, "new": after}]
        moved = {"task": {"id": task_id, "project_id": after}, "changes": changes}
        await events.publish("task.updated", ada.workspace_id, moved)
        await heard(first, before, {task_id: []})
        await heard(second, after, {task_id: ids(ada)})


async def test_nobody_follows_a_project_that_is_hidden_from_them(
    system: System, listening: Listening, events: Publisher
) -> None:
    ada, grace = system.user(), system.user()
    system.join(grace, ada.workspace_id)
    project_id = str(uuid7())
    task_id = system.projects.add_task(project_id)

    async def tell(what: str, version: int, *members: User, **data: Any) -> int:
        project = {"id": project_id, "name": "Secret", "visibility": "private", "version": version}
        named = [{"user_id": str(each.id)} for each in members]
        return await events.publish(f"project.{what}", ada.workspace_id, {"project": project, "members": named, **data})

    async with listening(system, "tasks", ada) as first, listening(system, "tasks", grace) as second:
        for listener in (first, second):
            await listener.frame()
        created = await tell("created", 1, ada)
        assert await first.offsets(1) == [created]
        await say(first, ada, task_id=task_id, project_id=project_id)
        await heard(first, project_id, {task_id: ids(ada)})
        await say(second, ada, project_id=project_id)
        await heard(second, project_id, {})
        shown = await tell("member_added", 2, ada, grace, member={"user_id": str(grace.id)})
        assert await second.offsets(1) == [shown]
        await say(second, ada, project_id=project_id)
        await heard(second, project_id, {task_id: ids(ada)})
        await tell("member_removed", 3, ada, member={"user_id": str(grace.id)})
        gone = await second.frame()
        assert (gone["type"], gone["visible"]) == ("access", False)
        await say(first, ada, project_id=project_id)
        await heard(first, project_id, {task_id: []})
        seen = await events.task(ada.workspace_id)
        assert await second.offsets(1) == [seen]


@pytest.mark.parametrize("named", [{"project_id": "x"}, {}], ids=["no-id", "nothing"])
async def test_a_frame_that_names_no_project_ends_the_conversation(
    system: System, listening: Listening, named: dict[str, str]
) -> None:
    ada = system.user()
    async with listening(system, "tasks", ada) as listener:
        await listener.frame()
        await say(listener, ada, **named)
        assert (await listener.frame())["code"] == "BAD_FRAME"
        assert await listener.closed() == 4400
