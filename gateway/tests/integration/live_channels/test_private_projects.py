"""Who hears of what happens in a private project, over real sockets, gateways and NATS."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from rota_chassis.ids import uuid7

if TYPE_CHECKING:
    from uuid import UUID

    from rota_chassis.testing.services import User
    from tests.integration.conftest import RunSystem, System
    from tests.integration.live_channels.conftest import Listener, Listening, Publisher

ADMIN, MEMBER = 2, 3


class Project:
    """A project whose events are published as tasks would."""

    def __init__(self, events: Publisher, workspace_id: UUID, *members: User, private: bool = True) -> None:
        self.id, self.workspace_id = str(uuid7()), workspace_id
        self.members, self.private, self.version = [str(each.id) for each in members], private, 0
        self._events = events

    async def tell(self, what: str, **data: Any) -> int:
        """Publish an event of the project as it is now; its offset."""
        self.version += 1
        visibility = "private" if self.private else "workspace"
        project = {"id": self.id, "name": "Secret", "visibility": visibility, "version": self.version}
        members = [{"user_id": each} for each in self.members]
        return await self._events.publish(
            f"project.{what}", self.workspace_id, {"project": project, "members": members, **data}
        )

    async def show(self, user: User) -> int:
        """Let a user in."""
        self.members.append(str(user.id))
        return await self.tell("member_added", member={"user_id": str(user.id)})

    async def hide(self, user: User) -> int:
        """Take a user out."""
        self.members.remove(str(user.id))
        return await self.tell("member_removed", member={"user_id": str(user.id)})

    async def open(self, *, private: bool = False) -> int:
        """Let everybody in, or only members."""
        self.private = private
        return await self.tell("updated")

    async def task(self, task_id: str | None = None) -> int:
        """Publish that a task was created in it."""
        data = {"task": {"id": task_id or str(uuid7()), "project_id": self.id}}
        return await self._events.publish("task.created", self.workspace_id, data)


def about(project: Project) -> list[tuple[str, dict[str, Any]]]:
    """An event of each kind of thing in a project."""
    of = {"project_id": project.id}
    return [
        ("task.created", {"task": of}),
        ("task_series.created", {"series": {"template": of}}),
        ("section.created", {"section": of}),
        ("state.created", {"state": of}),
        ("custom_field.created", {"custom_field": of}),
        ("saved_filter.created", {"saved_filter": {"is_shared": True, "owner_id": "x", **of}}),
        ("template.created", {"template": {}, **of}),
        ("relation.added", {"relation": {}, **of, "other_project_id": ""}),
        ("relation.added", {"relation": {}, "project_id": "", "other_project_id": project.id}),
        ("checklist_item.created", {"checklist_item": {}, **of}),
        ("comment.created", {"comment": {}, **of}),
        ("reaction.added", {"reaction": {}, **of}),
        ("attachment.created", {"attachment": {}, **of}),
        ("workflow_run.finished", {"workflow_run": {"project_ids": [str(uuid7()), project.id]}}),
        # From before events said so: it might be of any project.
        ("comment.created", {"comment": {}}),
    ]


async def access(listener: Listener, *, visible: bool = False) -> tuple[str | None, int]:
    frame = await listener.frame()
    assert (frame["type"], frame.get("visible")) == ("access", visible), frame
    return frame.get("project_id") or frame.get("task_id"), frame["offset"]


async def ready(listener: Listener) -> dict[str, Any]:
    frame = await listener.frame()
    assert frame["type"] == "ready"
    return frame


async def test_members_and_who_manages_the_workspace_hear_of_everything_in_it_and_others_of_nothing(
    system: System, listening: Listening, events: Publisher
) -> None:
    ada, grace, alan, boss = [system.user() for _ in range(4)]
    for user, role in ((grace, MEMBER), (alan, MEMBER), (boss, ADMIN)):
        system.join(user, ada.workspace_id, role=role)
    project = Project(events, ada.workspace_id, alan)
    async with (
        listening(system, "tasks", grace) as outside,
        listening(system, "tasks", alan) as inside,
        listening(system, "tasks", boss) as above,
    ):
        for listener in (outside, inside, above):
            await ready(listener)
        told = [await project.tell("created")]
        told += [await events.publish(name, ada.workspace_id, data) for name, data in about(project)]
        told.append(await project.tell("deleted"))
        seen = await events.task(ada.workspace_id)
        assert await inside.offsets(len(told) + 1) == [*told, seen]
        assert await outside.offsets(1) == [seen]
        assert await above.offsets(len(told) + 1) == [*told, seen]


async def live_through(project: Project, user: User, steps: str) -> tuple[list[tuple[str, int]], list[int]]:
    """What happens to a private project, and in it; what the user is to hear, and which offsets tell of tasks.

    By letter: a task is made, the user is shown or hidden, the project is opened to all or closed again.
    """
    heard, tasks, inside = [], [], False
    for step in steps:
        match step:
            case "t":
                offset = await project.task()
                tasks.append(offset)
            case "s":
                offset = await project.show(user)
            case "h":
                offset = await project.hide(user)
            case _:
                offset = await project.open(private=step == "c")
        was, inside = inside, str(user.id) in project.members or not project.private
        if inside or was:
            heard.append(("event" if inside else "access", offset))
    return heard, tasks


async def test_a_change_of_members_takes_effect_between_one_event_and_the_next(
    system: System, run_system: RunSystem, fresh_nats_url: str, listening: Listening, events: Publisher
) -> None:
    ada, grace = system.user(), system.user()
    system.join(grace, ada.workspace_id)
    project = Project(events, ada.workspace_id)
    async with listening(system, "tasks", grace) as listener:
        begun = await ready(listener)
        await project.tell("created")
        heard, tasks = await live_through(project, grace, "tstthtsttothtctstotcthtotstcthttotctt")
        found = [await listener.frame() for _ in heard]
        assert [(frame["type"], frame["offset"]) for frame in found] == heard
        last = await events.task(ada.workspace_id)
        assert await listener.offsets(1) == [last]
    # Who comes back, to this gateway or to one that has not seen any of it, hears of nothing that happened in it.
    query = f"?since={begun['offset']}&epoch={begun['epoch']}"
    async with run_system(nats_url=fresh_nats_url) as other:
        other.auth.memberships = system.auth.memberships
        other.projects.add_private(ada.workspace_id, project_id=project.id, version=project.version)
        for gateway in (system, other):
            async with listening(gateway, "tasks", None, query, token=grace.token) as listener:
                await ready(listener)
                frames = []
                while (frame := await listener.frame())["offset"] != last:
                    frames.append(frame)
                assert {frame["type"] for frame in frames} == {"access"}
                assert not {frame["offset"] for frame in frames} & set(tasks)


async def test_who_joins_a_workspace_that_nobody_listens_to_hears_nothing_of_its_private_projects(
    system: System, listening: Listening, events: Publisher
) -> None:
    ada, grace = system.user(), system.user()
    hidden = Project(events, ada.workspace_id)
    system.projects.add_private(ada.workspace_id, project_id=hidden.id)
    async with listening(system, "tasks", grace) as listener:
        await ready(listener)
        await events.membership("member_added", system.join(grace, ada.workspace_id, version=5))
        await hidden.task()
        seen = await events.task(ada.workspace_id)
        assert await listener.offsets(1) == [seen]
        opened = await hidden.open()
        told = [opened, await hidden.task()]
        assert await listener.offsets(2) == told


async def test_a_role_in_the_workspace_shows_and_hides_at_once(
    system: System, listening: Listening, events: Publisher
) -> None:
    ada, grace = system.user(), system.user()
    membership = system.join(grace, ada.workspace_id, version=2, role=ADMIN)
    hidden, named = Project(events, ada.workspace_id), Project(events, ada.workspace_id, grace)
    for project in (hidden, named):
        members = [grace.id] if project is named else []
        system.projects.add_private(ada.workspace_id, *members, project_id=project.id)
    async with listening(system, "tasks", grace) as listener:
        await ready(listener)
        told = await hidden.task()
        assert await listener.offsets(1) == [told]
        membership.version = 3
        changed = await events.membership("member_changed", membership)
        assert await access(listener) == (hidden.id, changed)
        await hidden.task()
        told = await named.task()
        assert await listener.offsets(1) == [told]
        membership.version = 4
        changed = await events.membership("member_changed", membership, role="admin")
        assert await access(listener, visible=True) == (hidden.id, changed)
        told = await hidden.task()
        assert await listener.offsets(1) == [told]


async def test_a_task_that_moves_into_a_private_project_is_told_to_be_gone(
    system: System, listening: Listening, events: Publisher
) -> None:
    ada, grace = system.user(), system.user()
    system.join(grace, ada.workspace_id)
    hidden, other, task_id = Project(events, ada.workspace_id), Project(events, ada.workspace_id), str(uuid7())
    for project in (hidden, other):
        system.projects.add_private(ada.workspace_id, project_id=project.id)
    async with listening(system, "tasks", grace) as listener:
        begun = await ready(listener)
        for old, new in ((None, hidden.id), (hidden.id, other.id), (other.id, None)):
            change = {"field": "project_id", "old": old, "new": new}
            data = {"task": {"id": task_id, "project_id": new}, "changes": [change]}
            last = await events.publish("task.updated", ada.workspace_id, data)
        assert await access(listener) == (task_id, last - 2)
        assert await listener.offsets(1) == [last]
    query = f"?since={begun['offset']}&epoch={begun['epoch']}"
    async with listening(system, "tasks", grace, query) as listener:
        await ready(listener)
        assert await access(listener) == (task_id, last - 2)
        assert await listener.offsets(1) == [last]


async def look(listener: Listener, user: User, task_id: str) -> None:
    place = {"workspace_id": str(user.workspace_id), "task_id": task_id}
    await listener.socket.send(json.dumps({"type": "presence", **place}))


async def company(listener: Listener) -> list[str]:
    while (frame := await listener.frame())["type"] != "presence":
        pass
    found: list[str] = frame["user_ids"]
    return found


@pytest.mark.parametrize("what", ["removed", "moved", "made private"])
async def test_presence_says_nothing_of_a_task_that_is_hidden(
    system: System, listening: Listening, events: Publisher, what: str
) -> None:
    ada, grace, alan = [system.user() for _ in range(3)]
    system.join(ada, ada.workspace_id, role=ADMIN)
    for user in (grace, alan):
        system.join(user, ada.workspace_id)
    hidden = Project(events, ada.workspace_id)
    project = Project(events, ada.workspace_id, alan, private=what == "removed")
    if what == "removed":
        project.members.append(str(grace.id))
        system.projects.add_private(ada.workspace_id, grace.id, alan.id, project_id=project.id)
    system.projects.add_private(ada.workspace_id, alan.id, project_id=hidden.id)
    task_id, other = system.projects.add_task(project.id), system.projects.add_task(hidden.id)
    async with listening(system, "tasks", grace) as first, listening(system, "tasks", alan) as second:
        await ready(first)
        await ready(second)
        await look(first, ada, other)
        assert await company(first) == []
        await look(second, ada, task_id)
        assert await company(second) == [str(alan.id)]
        await look(first, ada, task_id)
        both = sorted([str(grace.id), str(alan.id)])
        assert (await company(first), await company(second)) == (both, both)
        match what:
            case "removed":
                await project.hide(grace)
            case "moved":
                data = {"task": {"id": task_id, "project_id": hidden.id}, "changes": []}
                await events.publish("task.updated", ada.workspace_id, data)
            case _:
                await project.open(private=True)
        assert await company(second) == [str(alan.id)]
        await look(first, ada, task_id)
        assert await company(first) == []
