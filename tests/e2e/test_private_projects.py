"""A private project as two users of a workspace see it, through the gateway, live, in the app and at past events."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from rota_chassis.testing.waiting import eventually
from rota_cli.demo.people import Api
from websockets.asyncio.client import ClientConnection, connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rota_cli.demo.people import Person
    from whole import System

pytestmark = pytest.mark.e2e

WAIT_S = 30


@pytest.fixture
async def api(system: System) -> AsyncIterator[Api]:
    api = Api(system.base_url)
    yield api
    await api.close()


class Ear:
    """A client of /ws/tasks, and what it has heard."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self.heard: list[dict[str, Any]] = []

    async def until(self, **about: Any) -> dict[str, Any]:
        """The next frame with these members; what comes before it is kept."""
        async with asyncio.timeout(WAIT_S):
            while True:
                frame: dict[str, Any] = json.loads(await self._socket.recv())
                self.heard.append(frame)
                if about.items() <= frame.items():
                    return frame


@asynccontextmanager
async def listening(system: System, person: Person, query: str = "") -> AsyncIterator[Ear]:
    """A client that is connected within the block, and has been told where it begins."""
    url = f"{system.base_url.replace('http', 'ws', 1)}/ws/tasks{query}"
    async with connect(url, additional_headers={"authorization": f"Bearer {person.token}"}) as socket:
        ear = Ear(socket)
        await ear.until(type="ready")
        yield ear


async def told(api: Api, person: Person) -> list[str]:
    """What the person is told in the app."""
    page = await api.call(person, "GET", "/api/v1/notifications?page_size=200")
    return [each["title"] for each in page["notifications"]]


async def test_what_happens_in_a_private_project_reaches_its_members_alone(system: System, api: Api) -> None:
    ada, grace, alan = [await api.register(name) for name in ("Ada", "Grace", "Alan")]
    for person in (grace, alan):
        body = {"email": person.email, "role": "member"}
        await api.call(ada, "POST", f"/api/v1/workspaces/{ada.workspace_id}/members", body)
    body = {"workspace_id": ada.workspace_id, "name": "hush hush", "visibility": "private"}
    async with listening(system, grace) as outside, listening(system, alan) as inside:
        begun = outside.heard[0]
        project = await api.call(ada, "POST", "/api/v1/projects", body)
        members = f"/api/v1/projects/{project['id']}/members"
        await api.call(ada, "POST", members, {"user_id": alan.id, "role": "member"})
        await inside.until(event="project.member_added")
        task = {"workspace_id": ada.workspace_id, "project_id": project["id"], "assignee_ids": [alan.id]}
        first = await api.call(ada, "POST", "/api/v1/tasks", {"title": "hush task", **task})
        await api.call(alan, "POST", f"/api/v1/tasks/{first['id']}/comments", {"text": "hush comment"})
        await inside.until(event="comment.created")
        # Shown: from now on she hears, and is told.
        await api.call(ada, "POST", members, {"user_id": grace.id, "role": "viewer"})
        await outside.until(event="project.member_added")
        assert "hush" not in json.dumps(outside.heard[:-1])
        comment = {"text": "look", "mentioned_ids": [grace.id]}
        await api.call(alan, "POST", f"/api/v1/tasks/{first['id']}/comments", comment)
        await outside.until(event="comment.created")
        await eventually(lambda: told(api, grace), timeout_s=WAIT_S)
        # Hidden again.
        await api.call(ada, "DELETE", f"{members}/{grace.id}")
        gone = await outside.until(type="access")
        assert (gone["project_id"], gone["visible"]) == (project["id"], False)
        await api.call(alan, "POST", f"/api/v1/tasks/{first['id']}/complete")
        await inside.until(event="task.completed")
        heard = len(outside.heard)
        seen = {"workspace_id": ada.workspace_id, "title": "seen", "assignee_ids": [grace.id, alan.id]}
        await api.call(ada, "POST", "/api/v1/tasks", seen)
        await outside.until(event="task.created")
        assert "hush" not in json.dumps(outside.heard[heard:])
    async with listening(system, grace, f"?since={begun['offset']}&epoch={begun['epoch']}") as again:
        await again.until(event="task.created")
        assert "hush" not in json.dumps(again.heard)
        assert "seen" in json.dumps(again.heard)

    async def enough() -> Any:
        return len(await told(api, grace)) > 1

    await eventually(enough, timeout_s=WAIT_S)
    assert not [title for title in await told(api, grace) if "hush task" in title and "Assigned" in title]
    rule = {
        "name": "r",
        "workspace_id": ada.workspace_id,
        "on": ["task.created"],
        "actions": [{"event": {"type": "x"}}],
    }
    made = await api.call(grace, "POST", "/api/v1/rules", rule)
    dry = await api.call(grace, "POST", f"/api/v1/rules/{made['id']}/dry-run", {})
    assert dry["examined"] == 1
    assert "hush" not in json.dumps(dry)
