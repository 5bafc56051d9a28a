"""Who belongs to a project and what they may do in it, through gRPC, on real servers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import uuid4

import asyncpg
import nats
import pytest
from belonging import (
    ADMIN,
    MEMBER,
    PRIVATE,
    VIEWER,
    WORKSPACE,
    add,
    change,
    create,
    fetch,
    joined,
    members,
    project,
    remove,
    see,
    update,
)
from rebuilding import require_rebuilt
from rota.events.v1 import events_pb2
from rota.tasks.v1 import (
    tasks_pb2,
)
from rota_chassis.errors import AlreadyExists, Conflict, NotFound, PermissionDenied, Unprocessable
from rota_chassis.events.log import NewEvent
from rota_chassis.events.relay import Relay
from rota_chassis.postgres.database import Database
from rota_chassis.testing.services import User
from rota_chassis.testing.waiting import eventually

if TYPE_CHECKING:
    from integration.private_projects.conftest import World
    from rota_chassis.testing.tokens import TokenIssuer


async def test_members_come_and_go_with_events_that_hold_all_of_them(world: World) -> None:
    before = await project(world, world.keeper)
    added = await add(world, world.keeper, world.outsider.id, VIEWER)
    assert (added.role, added.added_by) == (VIEWER, str(world.keeper.id))
    assert (await change(world, world.keeper, world.outsider.id, ADMIN)).role == ADMIN
    assert await members(world, world.outsider, size=1) == sorted(
        [(str(world.keeper.id), ADMIN), (str(world.viewer.id), VIEWER), (str(world.outsider.id), ADMIN)]
    )
    # An admin of the project may do all of it, and everyone may leave.
    await remove(world, world.outsider, world.viewer.id)
    await remove(world, world.outsider, world.outsider.id)
    with pytest.raises(NotFound) as gone:
        await project(world, world.outsider)
    assert gone.value.code == "PROJECT_NOT_FOUND"
    after = await project(world, world.keeper)
    assert after.version == before.version + 4
    rows = await fetch(
        world,
        "SELECT type, data FROM events WHERE aggregate_id = $1 AND aggregate_version > $2 ORDER BY position",
        after.id,
        before.version,
    )
    assert [row["type"] for row in rows] == [
        "project.member_added",
        "project.member_changed",
        "project.member_removed",
        "project.member_removed",
    ]
    assert str(world.outsider.id) in rows[1]["data"]
    assert str(world.viewer.id) in rows[1]["data"]
    assert str(world.viewer.id) not in rows[3]["data"]
    await require_rebuilt(world.stage.database_url)


async def test_adding_a_member_is_refused_with_reasons(world: World, issuer: TokenIssuer) -> None:
    stranger = User(issuer)
    for by, user_id, kind, code in (
        (world.keeper, world.viewer.id, AlreadyExists, "PROJECT_MEMBER_EXISTS"),
        (world.keeper, stranger.id, Conflict, "NOT_IN_WORKSPACE"),
        (world.viewer, world.outsider.id, PermissionDenied, "WORKSPACE_ROLE_REQUIRED"),
        (world.outsider, world.outsider.id, NotFound, "PROJECT_NOT_FOUND"),
        (stranger, stranger.id, NotFound, "PROJECT_NOT_FOUND"),
    ):
        with pytest.raises(kind) as refused:
            await add(world, by, user_id)
        assert refused.value.code == code
    for call in (change(world, world.keeper, uuid4(), ADMIN), remove(world, world.keeper, uuid4())):
        with pytest.raises(NotFound) as missing:
            await call
        assert missing.value.code == "PROJECT_MEMBER_NOT_FOUND"
    # Who sees the project without being named has nothing to leave.
    with pytest.raises(NotFound):
        await remove(world, world.owner, world.owner.id)


async def test_an_addition_that_is_repeated_gives_the_first_answer(world: World) -> None:
    first, second = [await add(world, world.keeper, world.outsider.id, request_id="once") for _ in range(2)]
    assert first == second
    with pytest.raises(Unprocessable):
        await add(world, world.keeper, world.outsider.id, VIEWER, request_id="once")


async def test_of_two_who_add_one_user_at_once_one_does(world: World) -> None:
    by = [world.keeper, world.owner] * 4
    outcomes = await asyncio.gather(*(add(world, each, world.outsider.id) for each in by), return_exceptions=True)
    assert sum(not isinstance(each, Exception) for each in outcomes) == 1
    assert {each.code for each in outcomes if isinstance(each, Exception)} == {"PROJECT_MEMBER_EXISTS"}
    assert len([each for each, _role in await members(world, world.keeper) if each == str(world.outsider.id)]) == 1


async def test_the_role_in_a_project_counts_whatever_the_one_in_the_workspace(
    world: World, issuer: TokenIssuer
) -> None:
    guest = joined(world, issuer, role="viewer")
    await add(world, world.keeper, guest.id, MEMBER)
    made = await create(world, guest, project_id=world.project)
    assert (await update(world, guest, made.id, title="Signed")).title == "Signed"
    for refused in (create(world, guest), update(world, guest, made.id, project_id=None)):
        with pytest.raises(PermissionDenied):
            await refused
    # A member of the workspace who is named to read reads, also when everybody else may write.
    await see(world, world.keeper, WORKSPACE)
    with pytest.raises(PermissionDenied):
        await create(world, world.viewer, project_id=world.project)
    assert (await create(world, world.outsider, project_id=world.project)).project_id == world.project
    assert (await create(world, world.owner, project_id=world.project)).project_id == world.project


async def test_only_an_admin_says_who_sees_a_project(world: World) -> None:
    await add(world, world.keeper, world.outsider.id, MEMBER)
    with pytest.raises(PermissionDenied):
        await see(world, world.outsider, WORKSPACE)
    opened = await see(world, world.owner, WORKSPACE)
    assert opened.visibility == WORKSPACE
    assert (await see(world, world.keeper, PRIVATE)).version == opened.version + 1


async def test_who_leaves_the_workspace_is_named_in_none_of_its_projects(world: World) -> None:
    left = world.stage.auth.add_member(world.owner.workspace_id, world.viewer.id, version=7)
    database = await Database.connect(world.stage.database_url, size=2)
    client = await nats.connect(world.stage.nats_url)
    try:
        connection = await asyncpg.connect(world.stage.database_url)
        async with database.transaction() as work:
            work.append(
                NewEvent(
                    world.owner.workspace_id,
                    world.owner.workspace_id,
                    7,
                    events_pb2.WorkspaceMemberRemoved(membership=left),
                )
            )
        await Relay(database, client, "/rota/auth").publish_batch(connection)
        await connection.close()

        async def is_out() -> bool:
            return str(world.viewer.id) not in dict(await members(world, world.keeper))

        await eventually(is_out)
    finally:
        await client.close()
        await database.close()
    await require_rebuilt(world.stage.database_url)


async def test_making_a_project_private_and_creating_in_it_take_turns(world: World) -> None:
    await see(world, world.keeper, WORKSPACE)
    outcomes = await asyncio.gather(
        *(create(world, world.outsider, project_id=world.project) for _ in range(6)),
        see(world, world.keeper, PRIVATE),
        *(create(world, world.outsider, project_id=world.project) for _ in range(6)),
        return_exceptions=True,
    )
    assert all(not isinstance(each, Exception) or each.code == "PROJECT_NOT_FOUND" for each in outcomes)
    assert not isinstance(outcomes[6], Exception)
    with pytest.raises(NotFound):
        await create(world, world.outsider, project_id=world.project)
    listed = await world.call("TaskService.ListTasks", tasks_pb2.ListTasksRequest(), world.outsider)
    assert [each.id for each in listed.tasks] == [world.outside]
    await require_rebuilt(world.stage.database_url)


async def test_a_member_who_is_taken_out_while_they_write_has_written_before_or_not_at_all(world: World) -> None:
    await add(world, world.keeper, world.outsider.id)
    outcomes = await asyncio.gather(
        *(update(world, world.outsider, world.task, title=f"Title {number}") for number in range(4)),
        remove(world, world.keeper, world.outsider.id),
        *(update(world, world.outsider, world.task, title=f"Title {number}") for number in range(4, 8)),
        return_exceptions=True,
    )
    assert all(not isinstance(each, Exception) or each.code == "TASK_NOT_FOUND" for each in outcomes)
    with pytest.raises(NotFound):
        await update(world, world.outsider, world.task, title="Too late")
