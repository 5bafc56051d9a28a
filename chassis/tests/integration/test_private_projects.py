"""The copy of private projects, fed by a real stream, beside the copy of memberships."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson
import pytest
from rota.events.v1 import events_pb2
from rota_chassis.cancellation import cancel_and_wait
from rota_chassis.errors import Unavailable
from rota_chassis.events import envelope
from rota_chassis.events.consumer import AskFirst
from rota_chassis.events.stream import ensure_streams
from rota_chassis.events.types import event_type_of
from rota_chassis.ids import uuid7
from rota_chassis.memberships import Memberships
from rota_chassis.private_projects import PrivateProjects
from rota_chassis.rpc.channel import open_channel
from rota_chassis.testing.auth import SmallAuth, small_auth
from rota_chassis.testing.tasks import SmallTasks, a_project, small_tasks
from rota_chassis.tokens import ServiceTokens

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nats.aio.client import Client
    from rota_chassis.events.envelope import Event
    from rota_chassis.postgres.database import Database

TOKENS = ServiceTokens("test", "a secret of at least thirty-two bytes")
WORKSPACE, MEMBER, OTHER = uuid7(), uuid7(), uuid7()


@dataclass
class Copy:
    """A copy, and what feeds it."""

    projects: PrivateProjects
    auth: SmallAuth
    tasks: SmallTasks
    database: Database
    client: Client

    async def publish(self, data: Any, *, aggregate_id: UUID | None = None, version: int = 1) -> Event:
        """Publish an event; what its consumers get."""
        kind = event_type_of(type(data))
        row: dict[str, Any] = {
            "id": uuid7(),
            "type": kind.name,
            "workspace_id": WORKSPACE,
            "aggregate_id": aggregate_id or uuid7(),
            "aggregate_version": version,
            "actor": "system",
            "time": datetime.now(UTC),
            "traceparent": None,
        }
        headers, body = envelope.headers(row, "/rota/tasks"), orjson.dumps(kind.encode(data))
        at = await self.client.jetstream().publish(envelope.subject(WORKSPACE, kind.name), body, headers=headers)
        return envelope.parse(headers, body, at.seq)

    async def tell(self, message: Any, project_id: str, *members: UUID, version: int, private: bool = True) -> None:
        """Publish an event of a project."""
        project, named = a_project(WORKSPACE, *members, project_id=project_id, version=version, private=private)
        await self.publish(message(project=project, members=named), aggregate_id=UUID(project_id), version=version)

    async def seen_by(self, *project_ids: str, users: tuple[UUID, ...] = (MEMBER, OTHER)) -> set[UUID]:
        """Who of the users sees an event of these projects that is published now."""
        event = await self.publish(events_pb2.CommentCreated(project_id=project_ids[0]))
        while True:
            try:
                return set(await self.projects.audience(self.database, event, project_ids, users))
            except AskFirst as lacking:
                await lacking.ask()


@pytest.fixture
async def copy(database: Database, client: Client) -> AsyncIterator[Copy]:
    await ensure_streams(client.jetstream())
    async with (
        small_auth() as auth,
        small_tasks() as tasks,
        open_channel(auth.address, TOKENS) as to_auth,
        open_channel(tasks.address, TOKENS) as to_tasks,
    ):
        for user_id in (MEMBER, OTHER):
            auth.add_member(WORKSPACE, user_id)
        memberships = Memberships(database, to_auth)
        projects = PrivateProjects("test", database=database, memberships=memberships, tasks=to_tasks, nats=client)
        running = asyncio.create_task(projects.run())
        yield Copy(projects, auth, tasks, database, client)
        await cancel_and_wait([running])


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
async def test_the_newest_version_stays_in_whatever_order_news_arrive(copy: Copy, order: tuple[int, ...]) -> None:
    opened, closed, deleted = str(uuid7()), str(uuid7()), str(uuid7())
    for place in order:
        version = place + 1
        await copy.tell(events_pb2.ProjectUpdated, opened, version=version, private=version < 3)
        await copy.tell(events_pb2.ProjectUpdated, closed, *([MEMBER] * (version == 3)), version=version)
        message = events_pb2.ProjectDeleted if version == 3 else events_pb2.ProjectUpdated
        await copy.tell(message, deleted, MEMBER, version=version)
    assert await copy.seen_by(opened) == {MEMBER, OTHER}
    assert await copy.seen_by(closed) == {MEMBER}
    assert await copy.seen_by(deleted) == set()


async def test_what_tasks_answers_is_not_newer_than_the_news(copy: Copy) -> None:
    known = copy.tasks.add_private(WORKSPACE, MEMBER, version=5)
    outdated = copy.tasks.add_private(WORKSPACE, version=5)
    gone = copy.tasks.add_private(WORKSPACE, version=0)
    await copy.tell(events_pb2.ProjectUpdated, known, OTHER, version=4)
    await copy.tell(events_pb2.ProjectUpdated, outdated, version=6, private=False)
    assert [await copy.seen_by(each) for each in (known, outdated, gone)] == [{MEMBER}, {MEMBER, OTHER}, set()]
    assert copy.tasks.asked == 1


async def test_all_projects_of_an_event_have_to_be_seen(copy: Copy) -> None:
    ids = [copy.tasks.add_private(WORKSPACE, MEMBER), copy.tasks.add_private(WORKSPACE, MEMBER, OTHER)]
    assert await copy.seen_by(*ids) == {MEMBER}
    assert await copy.seen_by(ids[1], "") == {MEMBER, OTHER}


async def test_who_manages_the_workspace_sees_all_and_who_is_not_in_it_nothing(copy: Copy) -> None:
    owner, admin, stranger, left = (uuid7() for _ in range(4))
    copy.auth.add_member(WORKSPACE, owner, role="owner")
    copy.auth.add_member(WORKSPACE, admin, role="admin")
    gone = copy.auth.add_member(uuid7(), left)
    gone.workspace_id = str(WORKSPACE)
    await copy.publish(events_pb2.WorkspaceMemberRemoved(membership=gone))
    hidden = copy.tasks.add_private(WORKSPACE, stranger, left)
    users = (owner, admin, stranger, left, MEMBER)
    assert await copy.seen_by(hidden, users=users) == {owner, admin}
    assert left not in await copy.seen_by(str(uuid7()), users=users)
    asked = copy.auth.asked
    assert await copy.seen_by(hidden, users=users) == {owner, admin}
    assert copy.auth.asked == asked


async def test_the_copy_is_as_new_as_the_event_that_is_asked_about(copy: Copy) -> None:
    for number in range(50):
        project_id = str(uuid7())
        await copy.tell(events_pb2.ProjectCreated, project_id, version=1, private=False)
        await copy.tell(events_pb2.ProjectUpdated, project_id, MEMBER, version=2)
        assert await copy.seen_by(project_id) == {MEMBER}, number


async def test_a_copy_that_cannot_be_fed_says_so_and_guesses_nothing(copy: Copy) -> None:
    event = await copy.publish(events_pb2.CommentCreated(project_id=str(uuid7())))
    deaf = PrivateProjects(
        "deaf",
        database=copy.database,
        memberships=copy.projects._memberships,
        tasks=open_channel("unix:/nowhere", TOKENS),
        nats=copy.client,
    )
    with pytest.raises(Unavailable):
        await deaf.settle(uuid7(), event.sequence)
    deaf._known.add(WORKSPACE)
    with pytest.raises(Unavailable) as caught:
        await deaf.settle(WORKSPACE, event.sequence)
    assert caught.value.code == "PROJECTS_UNKNOWN"
