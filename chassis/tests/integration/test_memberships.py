from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from effects import ADD, COUNT
from rota.events.v1 import events_pb2
from rota_chassis.errors import NotFound, PermissionDenied, Unavailable
from rota_chassis.events.envelope import Event
from rota_chassis.ids import uuid7
from rota_chassis.memberships import WRITERS, Memberships, visible_workspaces
from rota_chassis.postgres.statements import statement
from rota_chassis.rpc.channel import open_channel
from rota_chassis.testing.auth import SmallAuth, small_auth
from rota_chassis.tokens import ServiceTokens

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from uuid import UUID

    from rota.auth.v1 import workspaces_pb2
    from rota_chassis.memberships import Guard
    from rota_chassis.postgres.database import Database

TOKENS = ServiceTokens("test", "a secret of at least thirty-two bytes")
VISIBLE = statement(visible_workspaces())


@dataclass
class Copy:
    """A copy of memberships, and the auth it asks."""

    memberships: Memberships
    auth: SmallAuth
    database: Database

    async def hear(self, kind: str, membership: workspaces_pb2.Membership) -> None:
        """Let an event of auth arrive."""
        message = {
            "added": events_pb2.WorkspaceMemberAdded,
            "changed": events_pb2.WorkspaceMemberChanged,
            "removed": events_pb2.WorkspaceMemberRemoved,
        }[kind]
        event: Any = Event.__new__(Event)
        object.__setattr__(event, "data", message(membership=membership))
        async with self.database.transaction() as work:
            await self.memberships.handlers()[f"workspace.member_{kind}"](work, event)


@pytest.fixture
async def copy(database: Database) -> AsyncIterator[Copy]:
    async with small_auth() as auth, open_channel(auth.address, TOKENS) as channel:
        yield Copy(Memberships(database, channel), auth, database)


def changed(membership: workspaces_pb2.Membership, version: int, role: int | None = None) -> Any:
    other = type(membership)()
    other.CopyFrom(membership)
    other.version = version
    other.role = role or membership.role  # type: ignore[assignment]
    return other


async def is_member(copy: Copy, user_id: UUID, workspace_id: UUID) -> bool:
    rows = await copy.database.fetch(VISIBLE, user_id=user_id)
    return workspace_id in {row["workspace_id"] for row in rows}


async def test_auth_is_asked_for_what_is_not_known_and_only_then(copy: Copy) -> None:
    user, workspace = uuid7(), uuid7()
    copy.auth.add_member(workspace, user, role="admin")
    for _ in range(3):
        assert await copy.memberships.require(user, workspace) == "admin"
    assert copy.auth.asked == 1
    assert await is_member(copy, user, workspace)


async def test_a_workspace_of_others_does_not_exist(copy: Copy) -> None:
    copy.auth.add_member(uuid7(), user := uuid7())
    with pytest.raises(NotFound) as caught:
        await copy.memberships.require(user, uuid7())
    assert caught.value.code == "WORKSPACE_NOT_FOUND"


async def test_a_role_that_is_not_enough_is_said(copy: Copy) -> None:
    copy.auth.add_member(workspace := uuid7(), user := uuid7(), role="viewer")
    assert await copy.memberships.require(user, workspace) == "viewer"
    with pytest.raises(PermissionDenied, match="Your role here is viewer") as caught:
        await copy.memberships.require(user, workspace, WRITERS)
    assert caught.value.code == "WORKSPACE_ROLE_REQUIRED"


def adding(copy: Copy) -> Callable[[Guard], Awaitable[None]]:
    """An effect that a guard decides on."""

    async def add(guard: Guard) -> None:
        async with copy.database.transaction(late=True) as work:
            await guard(work)
            await work.write(ADD, id=uuid7(), version=1)

    return add


async def test_what_is_guarded_is_written_for_who_has_the_role_and_auth_is_asked_for_who_is_not_known(
    copy: Copy,
) -> None:
    scope = {"user_id": uuid7(), "workspace_id": uuid7(), "roles": WRITERS}
    copy.auth.add_member(scope["workspace_id"], scope["user_id"])  # type: ignore[arg-type]
    for _ in range(3):
        await copy.memberships.guarded(adding(copy), **scope)
    assert copy.auth.asked == 1
    assert await copy.database.fetch_value(COUNT) == 3


async def test_nothing_that_is_guarded_is_written_for_who_has_not_the_role(copy: Copy) -> None:
    membership = copy.auth.add_member(workspace := uuid7(), user := uuid7(), role="viewer")
    scope = {"user_id": user, "workspace_id": workspace, "roles": WRITERS}
    with pytest.raises(PermissionDenied) as refused:
        await copy.memberships.guarded(adding(copy), **scope)
    assert refused.value.code == "WORKSPACE_ROLE_REQUIRED"
    await copy.hear("removed", changed(membership, 3))
    with pytest.raises(NotFound) as unknown:
        await copy.memberships.guarded(adding(copy), user_id=user, workspace_id=workspace)
    assert unknown.value.code == "WORKSPACE_NOT_FOUND"
    assert await copy.database.fetch_value(COUNT) == 0


async def test_who_is_removed_before_the_guarded_statement_writes_nothing(copy: Copy) -> None:
    membership = copy.auth.add_member(workspace := uuid7(), user := uuid7())
    assert await copy.memberships.require(user, workspace) == "member"

    async def act(guard: Guard) -> None:
        await copy.hear("removed", changed(membership, 3))
        await adding(copy)(guard)

    with pytest.raises(NotFound):
        await copy.memberships.guarded(act, user_id=user, workspace_id=workspace)
    assert await copy.database.fetch_value(COUNT) == 0


async def test_another_error_of_what_is_guarded_is_its_own(copy: Copy) -> None:
    copy.auth.add_member(workspace := uuid7(), user := uuid7())

    async def act(guard: Guard) -> None:
        async with copy.database.transaction(late=True) as work:
            await guard(work)
            await work.write(ADD, id=None, version=1)

    with pytest.raises(asyncpg.NotNullViolationError):
        await copy.memberships.guarded(act, user_id=user, workspace_id=workspace)


async def test_a_transaction_sees_what_it_wrote(copy: Copy) -> None:
    membership = copy.auth.add_member(workspace := uuid7(), user := uuid7())
    async with copy.database.transaction() as work:
        event: Any = Event.__new__(Event)
        object.__setattr__(event, "data", events_pb2.WorkspaceMemberAdded(membership=membership))
        await copy.memberships.handlers()["workspace.member_added"](work, event)
        assert await copy.memberships.require(user, workspace, reader=work) == "member"
    assert copy.auth.asked == 0


@pytest.mark.parametrize("order", [("added", "removed"), ("removed", "added")])
async def test_the_newest_version_stays_in_whatever_order_news_arrive(copy: Copy, order: tuple[str, str]) -> None:
    membership = copy.auth.add_member(workspace := uuid7(), user := uuid7(), version=2)
    news = {"added": membership, "removed": changed(membership, 3)}
    for kind in order:
        await copy.hear(kind, news[kind])
    assert not await is_member(copy, user, workspace)
    await copy.hear("added", changed(membership, 4))
    assert await is_member(copy, user, workspace)


async def test_a_changed_role_is_taken_over(copy: Copy) -> None:
    membership = copy.auth.add_member(workspace := uuid7(), user := uuid7(), role="admin", version=2)
    await copy.hear("added", membership)
    await copy.hear("changed", changed(membership, 3, role=4))
    assert await copy.memberships.require(user, workspace) == "viewer"


async def test_an_older_role_does_not_come_back(copy: Copy) -> None:
    membership = copy.auth.add_member(workspace := uuid7(), user := uuid7(), role="admin", version=5)
    await copy.hear("added", membership)
    await copy.hear("added", changed(membership, 4, role=4))
    assert await copy.memberships.require(user, workspace) == "admin"


async def test_an_answer_of_auth_that_is_older_than_the_news_changes_nothing(copy: Copy) -> None:
    membership = copy.auth.add_member(workspace := uuid7(), user := uuid7(), version=2)
    await copy.hear("removed", changed(membership, 3))
    with pytest.raises(NotFound):
        await copy.memberships.require(user, workspace)


async def test_calls_at_the_same_time_share_one_question(copy: Copy) -> None:
    copy.auth.add_member(workspace := uuid7(), user := uuid7())
    roles = await asyncio.gather(*(copy.memberships.require(user, workspace) for _ in range(10)))
    assert set(roles) == {"member"}
    assert copy.auth.asked == 1


async def test_a_caller_that_gives_up_does_not_end_the_question_of_the_others(copy: Copy) -> None:
    copy.auth.add_member(workspace := uuid7(), user := uuid7())
    impatient = asyncio.create_task(copy.memberships.refresh(user))
    patient = asyncio.create_task(copy.memberships.require(user, workspace))
    await asyncio.sleep(0)
    impatient.cancel()
    assert await patient == "member"
    assert impatient.cancelled() or (await asyncio.wait([impatient]))[0]


async def test_auth_is_asked_at_most_once_a_second_for_one_user(copy: Copy) -> None:
    user = uuid7()
    for _ in range(3):
        await copy.memberships.refresh(user)
    assert copy.auth.asked == 1
    await copy.memberships.refresh(uuid7())
    assert copy.auth.asked == 2
    async with open_channel(copy.auth.address, TOKENS) as channel:
        eager = Memberships(copy.database, channel, ask_at_most_every_s=0)
        for _ in range(3):
            await eager.refresh(user)
    assert copy.auth.asked == 5


async def test_strangers_are_named_in_order_and_auth_is_asked_for_them(copy: Copy) -> None:
    workspace = uuid7()
    known, new, one, other = (uuid7() for _ in range(4))
    await copy.hear("added", copy.auth.add_member(workspace, known))
    assert await copy.memberships.strangers(workspace, []) == []
    assert await copy.memberships.strangers(workspace, [known]) == []
    assert copy.auth.asked == 0
    copy.auth.add_member(workspace, new)
    assert await copy.memberships.strangers(workspace, [other, known, new, one]) == [other, one]
    assert copy.auth.asked == 3


async def test_without_auth_what_is_known_still_works(database: Database) -> None:
    async with open_channel("unix:/nobody.sock", TOKENS) as channel:
        memberships = Memberships(database, channel)
        with pytest.raises(Unavailable):
            await memberships.require(uuid7(), uuid7())
        async with small_auth() as auth:
            copy = Copy(memberships, auth, database)
            await copy.hear("added", auth.add_member(workspace := uuid7(), user := uuid7(), role="owner"))
        assert await memberships.require(user, workspace) == "owner"
