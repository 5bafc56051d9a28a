"""Who looks at which task, over real sockets, gateways and NATS."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

if TYPE_CHECKING:
    from rota_chassis.testing.services import User
    from tests.integration.conftest import RunSystem, System
    from tests.integration.live_channels.conftest import Listener, Listening, Publisher

TASK = str(uuid4())


@pytest.fixture(autouse=True)
def _a_task(system: System) -> None:
    system.projects.add_task(task_id=TASK)


async def look(listener: Listener, user: User, task_id: str | None = TASK) -> None:
    place = {"workspace_id": str(user.workspace_id), "task_id": task_id} if task_id else {}
    await listener.socket.send(json.dumps({"type": "presence", **place}))


async def company(listener: Listener) -> list[str]:
    frame = await listener.frame()
    assert (frame["type"], frame["task_id"]) == ("presence", TASK), frame
    found: list[str] = frame["user_ids"]
    return found


def ids(*users: User) -> list[str]:
    return sorted(str(user.id) for user in users)


async def test_those_who_look_at_a_task_hear_who_comes_and_who_goes(system: System, listening: Listening) -> None:
    ada, grace = system.user(), system.user()
    system.join(grace, ada.workspace_id)
    async with listening(system, "tasks", ada) as first:
        await first.frame()
        await look(first, ada)
        assert await company(first) == ids(ada)
        async with listening(system, "tasks", grace) as second:
            await second.frame()
            await look(second, ada)
            assert await company(second) == await company(first) == ids(ada, grace)
            await look(second, ada, None)
            assert await company(first) == ids(ada)
            await look(second, ada)
            assert await company(first) == ids(ada, grace)
        # Her connection is gone.
        assert await company(first) == ids(ada)


async def test_a_second_window_of_one_user_is_nobody_else(system: System, listening: Listening) -> None:
    ada = system.user()
    async with listening(system, "tasks", ada) as first:
        await first.frame()
        await look(first, ada)
        assert await company(first) == ids(ada)
        async with listening(system, "tasks", ada) as second:
            await second.frame()
            await look(second, ada)
            assert await company(second) == ids(ada)
        await look(first, ada, system.projects.add_task())
        assert (await first.frame())["user_ids"] == ids(ada)


async def test_gateways_tell_each_other(
    system: System, run_system: RunSystem, fresh_nats_url: str, listening: Listening
) -> None:
    ada, grace = system.user(), system.user()
    async with run_system(nats_url=fresh_nats_url) as other:
        other.auth.memberships = system.auth.memberships
        other.projects.add_task(task_id=TASK)
        system.join(grace, ada.workspace_id)
        async with listening(system, "tasks", ada) as first:
            await first.frame()
            await look(first, ada)
            assert await company(first) == ids(ada)
            async with listening(other, "tasks", grace, token=grace.token) as second:
                await second.frame()
                await look(second, ada)
                assert await company(first) == ids(ada, grace)
            assert await company(first) == ids(ada)


async def test_nobody_looks_into_a_workspace_of_others(system: System, listening: Listening) -> None:
    ada, grace = system.user(), system.user()
    async with listening(system, "tasks", ada) as first, listening(system, "tasks", grace) as second:
        await first.frame()
        await second.frame()
        await look(first, ada)
        assert await company(first) == ids(ada)
        await look(second, ada)
        assert await company(second) == []
        await look(first, ada, None)
        await look(first, ada)
        assert await company(first) == ids(ada)


async def test_whoever_leaves_a_workspace_looks_at_nothing_in_it(
    system: System, listening: Listening, events: Publisher
) -> None:
    ada, grace = system.user(), system.user()
    membership = system.join(grace, ada.workspace_id)
    async with listening(system, "tasks", ada) as first, listening(system, "tasks", grace) as second:
        await first.frame()
        await second.frame()
        await look(second, ada)
        assert await company(second) == ids(grace)
        membership.version = 2
        await events.membership("member_removed", membership)
        own = await events.task(grace.workspace_id)
        assert await second.offsets(1) == [own]
        await look(first, ada)
        assert await company(first) == ids(ada)


@pytest.mark.parametrize(
    ("channel", "frame"),
    [
        ("tasks", {"task_id": TASK}),
        ("tasks", {"workspace_id": "x", "task_id": TASK}),
        ("tasks", {"workspace_id": 1, "task_id": []}),
        ("notifications", {}),
    ],
    ids=["no-workspace", "no-id", "no-text", "other-channel"],
)
async def test_a_presence_frame_that_names_no_task_ends_the_conversation(
    system: System, listening: Listening, channel: str, frame: dict[str, Any]
) -> None:
    ada = system.user()
    async with listening(system, channel, ada) as listener:
        await listener.frame()
        await listener.socket.send(json.dumps({"type": "presence", **frame}))
        assert (await listener.frame())["code"] == "BAD_FRAME"
        assert await listener.closed() == 4400
