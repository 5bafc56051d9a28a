"""Positions, guards and limits while many change one board at once, on real servers."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import asyncpg
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from rota.tasks.v1 import batch_pb2, boards_pb2, history_pb2, projects_pb2, relations_pb2, tasks_pb2, trash_pb2
from rota_chassis.clock import SystemClock
from rota_chassis.errors import Conflict, NotFound
from rota_chassis.identity import UserPrincipal
from rota_chassis.ids import uuid7
from rota_chassis.postgres.database import Database
from rota_chassis.testing.waiting import eventually
from rota_tasks import locks
from rota_tasks.boards import positions
from rota_tasks.boards.domain import MAX_POSITION
from rota_tasks.rebuild import rebuild
from rota_tasks.tasks import store
from rota_tasks.tasks.commands import edit
from rota_tasks.tasks.dependencies import Tasks
from rota_tasks.tasks.messages import event_message
from rota_tasks.tasks.workflow import Place

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from conftest import Stage
    from rota_chassis.memberships import Memberships
    from rota_chassis.postgres.work import Lock, UnitOfWork

TODO, DOING, DONE = tasks_pb2.TASK_STATUS_TODO, tasks_pb2.TASK_STATUS_IN_PROGRESS, tasks_pb2.TASK_STATUS_DONE
MOVES = 5_000


async def a_project(stage: Stage) -> str:
    answer = await stage.projects.CreateProject(
        projects_pb2.CreateProjectRequest(name="House"), metadata=stage.ada.metadata
    )
    return answer.project.id


async def a_state(stage: Stage, project_id: str, name: str, group: Any, **fields: Any) -> boards_pb2.State:
    request = boards_pb2.CreateStateRequest(project_id=project_id, name=name, group=group, **fields)
    return (await stage.boards.CreateState(request, metadata=stage.ada.metadata)).state


async def move(stage: Stage, task: tasks_pb2.Task, **where: Any) -> tasks_pb2.Task:
    request = boards_pb2.MoveTaskRequest(id=task.id, **where)
    return (await stage.boards.MoveTask(request, metadata=stage.ada.metadata)).task


async def update(stage: Stage, task: tasks_pb2.Task, **fields: Any) -> tasks_pb2.Task:
    request = tasks_pb2.UpdateTaskRequest(id=task.id, update_mask=FieldMask(paths=list(fields)), **fields)
    return (await stage.tasks.UpdateTask(request, metadata=stage.ada.metadata)).task


async def complete(stage: Stage, task: tasks_pb2.Task) -> tasks_pb2.Task:
    answer = await stage.tasks.CompleteTask(tasks_pb2.CompleteTaskRequest(id=task.id), metadata=stage.ada.metadata)
    return answer.task


async def reopen(stage: Stage, task: tasks_pb2.Task) -> tasks_pb2.Task:
    answer = await stage.tasks.ReopenTask(tasks_pb2.ReopenTaskRequest(id=task.id), metadata=stage.ada.metadata)
    return answer.task


async def in_order(stage: Stage, project_id: str) -> list[tasks_pb2.Task]:
    request = boards_pb2.GetBoardRequest(
        project_id=project_id, group_by=boards_pb2.BOARD_GROUPING_SECTION, page_size=100
    )
    (column,) = (await stage.boards.GetBoard(request, metadata=stage.ada.metadata)).columns
    return list(column.tasks)


async def differences(stage: Stage) -> int:
    database = await Database.connect(stage.database_url, size=1)
    try:
        return (await rebuild(database)).differences
    finally:
        await database.close()


@asynccontextmanager
async def held(stage: Stage, *held_locks: Lock) -> AsyncIterator[asyncpg.Connection]:
    """Someone else holds these locks meanwhile."""
    connection = await asyncpg.connect(stage.database_url)
    try:
        async with connection.transaction():
            for lock in held_locks:
                await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", lock.name)
            yield connection
    finally:
        await connection.close()


async def waiting(connection: asyncpg.Connection, number: int = 1) -> None:
    """Wait until so many wait for an advisory lock."""

    async def are_there() -> bool:
        found = await connection.fetchval(
            "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
            " WHERE locktype = 'advisory' AND NOT granted AND d.datname = current_database()"
        )
        return bool(found == number)

    await eventually(are_there)


async def test_positions_stay_short_however_many_tasks_are_put_at_one_spot(stage: Stage) -> None:
    project_id = await a_project(stage)
    first, *others = [await stage.create(str(number), project_id=project_id) for number in range(40)]
    user = UserPrincipal(stage.ada.id, stage.ada.workspace_id, "member", uuid7())
    database = await Database.connect(stage.database_url, size=1)
    tasks = Tasks(
        database, cast("Memberships", None), SystemClock(), times=cast("Any", None), actions=cast("Any", None)
    )
    place, longest = {"place": Place(after_id=UUID(first.id))}, 0

    async def put_all(work: UnitOfWork) -> None:
        nonlocal longest
        for number in range(MOVES):
            found = await store.lock(work, user_id=user.user_id, task_id=UUID(others[number % len(others)].id))
            assert found is not None
            events = await edit(work, tasks, user, found[0], place)
            work.append(*map(event_message, events))
            await positions.place(work, [events[-1].task])
            longest = max(longest, len(events[-1].task.position or ""))

    await database.ordered(put_all, locks.board(UUID(project_id)), locks.structure(stage.ada.workspace_id, alone=True))
    await database.close()
    assert longest <= MAX_POSITION
    last = [others[number % len(others)].id for number in range(MOVES)][: -len(others) - 1 : -1]
    assert [task.id for task in await in_order(stage, project_id)] == [first.id, *last]
    assert await differences(stage) == 0


async def test_movers_at_one_spot_side_by_side_spread_the_others_out_and_lose_nothing(stage: Stage) -> None:
    project_id = await a_project(stage)
    first, *others = [await stage.create(str(number), project_id=project_id) for number in range(21)]
    for _ in range(20):
        moved = await asyncio.gather(*(move(stage, task, after_id=first.id) for task in others))
        assert max(len(task.position) for task in moved) <= MAX_POSITION
    found = await in_order(stage, project_id)
    assert found[0].id == first.id
    assert sorted(task.id for task in found) == sorted(task.id for task in (first, *others))
    assert first.version < found[0].version
    assert await differences(stage) == 0


async def test_movers_and_updaters_of_all_kinds_at_once_never_wait_in_a_circle(stage: Stage) -> None:
    """Each outcome is a task or a refusal that says why; a deadlock would be an Unavailable."""
    projects = [await a_project(stage), await a_project(stage)]
    doing = [await a_state(stage, each, "Doing", DOING) for each in projects]
    shipped = [await a_state(stage, each, "Shipped", DONE) for each in projects]
    ways = [
        boards_pb2.Transition(to_state_id=each.id, guards=[boards_pb2.TRANSITION_GUARD_ALL_SUBTASKS_DONE])
        for each in shipped
    ]
    for project_id, state, way in zip(projects, doing, ways, strict=True):
        await stage.boards.UpdateState(
            boards_pb2.UpdateStateRequest(
                project_id=project_id, id=state.id, transitions=[way], update_mask=FieldMask(paths=["transitions"])
            ),
            metadata=stage.ada.metadata,
        )
    made = [await stage.create(str(number), project_id=projects[number % 2]) for number in range(10)]
    parts = [await stage.create("part", parent_id=task.id, project_id=projects[0]) for task in made]

    async def batch(number: int) -> Any:
        two = (made[number % 10], parts[(number + 3) % 10])
        operations = [
            batch_pb2.BatchOperation(
                update=tasks_pb2.UpdateTaskRequest(
                    id=task.id, project_id=projects[number % 2], update_mask=FieldMask(paths=["project_id"])
                )
            )
            for task in two
        ]
        return await stage.batches.BatchTasks(
            batch_pb2.BatchTasksRequest(operations=operations), metadata=stage.ada.metadata
        )

    async def bin_and_back(number: int) -> Any:
        task = parts[number % 10]
        await stage.tasks.DeleteTask(tasks_pb2.DeleteTaskRequest(id=task.id), metadata=stage.ada.metadata)
        return await stage.trash.RestoreTask(trash_pb2.RestoreTaskRequest(id=task.id), metadata=stage.ada.metadata)

    async def undo(number: int) -> Any:
        request = history_pb2.UndoTaskRequest(id=made[number % 10].id)
        return await stage.history.UndoTask(request, metadata=stage.ada.metadata)

    kinds = (
        lambda number: move(stage, made[number % 10], after_id=made[(number + 2) % 10].id),
        lambda number: complete(stage, made[number % 10]),
        lambda number: reopen(stage, parts[number % 10]),
        lambda number: update(stage, parts[number % 10], project_id=projects[number // 10 % 2]),
        lambda number: update(stage, parts[number % 10], parent_id=made[(number + 1) % 10].id),
        lambda number: complete(stage, parts[number % 10]),
        lambda number: reopen(stage, made[number % 10]),
        batch,
        bin_and_back,
        undo,
    )
    outcomes = await asyncio.gather(
        *(kinds[number % len(kinds)](number * 7 // 10) for number in range(100)), return_exceptions=True
    )
    refused = [each for each in outcomes if isinstance(each, BaseException)]
    assert all(isinstance(each, Conflict | NotFound) for each in refused), refused
    assert len(refused) < len(outcomes)
    assert await differences(stage) == 0


@pytest.mark.parametrize("how", ["reopen", "add", "move", "block"])
async def test_what_a_guard_asks_cannot_change_while_it_decides(stage: Stage, how: str) -> None:
    project_id = await a_project(stage)
    shipped = await a_state(stage, project_id, "Shipped", DONE)
    guards = [boards_pb2.TRANSITION_GUARD_ALL_SUBTASKS_DONE, boards_pb2.TRANSITION_GUARD_NOT_BLOCKED]
    ways = [boards_pb2.Transition(to_state_id=shipped.id, guards=guards)]
    doing = await a_state(stage, project_id, "Doing", DOING, transitions=ways)
    whole = await stage.create(project_id=project_id, state_id=doing.id)
    part, other = await stage.create(parent_id=whole.id), await stage.create()
    await complete(stage, part)

    async def stand_in_the_way() -> None:
        if how == "reopen":
            await reopen(stage, part)
        elif how == "add":
            await stage.create(parent_id=whole.id)
        elif how == "move":
            await update(stage, other, parent_id=whole.id)
        else:
            request = relations_pb2.CreateRelationRequest(
                id=other.id, type=relations_pb2.RELATION_TYPE_BLOCKS, task_id=whole.id
            )
            await stage.relations.CreateRelation(request, metadata=stage.ada.metadata)

    # The one who completes waits for the board, while the other gets through.
    async with held(stage, locks.board(UUID(project_id))) as holder:
        completing = asyncio.create_task(complete(stage, whole))
        await waiting(holder)
        await stand_in_the_way()
    with pytest.raises(Conflict) as caught:
        await completing
    assert caught.value.code == "TRANSITION_REFUSED"


async def test_who_opens_a_part_waits_for_who_relies_on_its_being_done(stage: Stage) -> None:
    project_id = await a_project(stage)
    shipped = await a_state(stage, project_id, "Shipped", DONE)
    ways = [boards_pb2.Transition(to_state_id=shipped.id, guards=[boards_pb2.TRANSITION_GUARD_ALL_SUBTASKS_DONE])]
    doing = await a_state(stage, project_id, "Doing", DOING, transitions=ways)
    whole = await stage.create(project_id=project_id, state_id=doing.id)
    part = await stage.create(parent_id=whole.id)
    await complete(stage, part)
    async with held(stage, locks.structure(stage.ada.workspace_id, alone=True)) as holder:
        opening = asyncio.create_task(reopen(stage, part))
        await waiting(holder)
        completing = asyncio.create_task(complete(stage, whole))
        await waiting(holder, 2)
    outcomes = await asyncio.gather(opening, completing, return_exceptions=True)
    # Who comes first decides: the part is open, so that the whole is refused.
    assert isinstance(outcomes[0], tasks_pb2.Task)
    assert isinstance(outcomes[1], Conflict)


async def test_a_restored_task_returns_to_its_state_although_that_is_full(stage: Stage) -> None:
    project_id = await a_project(stage)
    narrow = await a_state(stage, project_id, "Narrow", DOING, wip_limit=1)
    first = await stage.create(project_id=project_id, state_id=narrow.id)
    await stage.tasks.DeleteTask(tasks_pb2.DeleteTaskRequest(id=first.id), metadata=stage.ada.metadata)
    await stage.create(project_id=project_id, state_id=narrow.id)
    answer = await stage.trash.RestoreTask(trash_pb2.RestoreTaskRequest(id=first.id), metadata=stage.ada.metadata)
    assert answer.task.state_id == narrow.id
    with pytest.raises(Conflict) as caught:
        await stage.create(project_id=project_id, state_id=narrow.id)
    assert caught.value.code == "WIP_LIMIT_REACHED"


async def test_a_task_is_not_restored_into_a_state_that_is_being_deleted(stage: Stage) -> None:
    project_id = await a_project(stage)
    state = await a_state(stage, project_id, "Doing", DOING)
    task = await stage.create(project_id=project_id, state_id=state.id)
    await stage.tasks.DeleteTask(tasks_pb2.DeleteTaskRequest(id=task.id), metadata=stage.ada.metadata)
    async with held(stage, locks.board(UUID(project_id))) as holder:
        deleting = asyncio.ensure_future(
            stage.boards.DeleteState(
                boards_pb2.DeleteStateRequest(project_id=project_id, id=state.id), metadata=stage.ada.metadata
            )
        )
        await waiting(holder)
        request = trash_pb2.RestoreTaskRequest(id=task.id)
        restoring = asyncio.ensure_future(stage.trash.RestoreTask(request, metadata=stage.ada.metadata))
        await waiting(holder, 2)
    await deleting
    assert not (await restoring).task.HasField("state_id")
    assert await differences(stage) == 0


async def test_a_section_that_is_moved_again_and_again_keeps_a_short_position(stage: Stage) -> None:
    project_id = await a_project(stage)
    sections = []
    for name in "abc":
        request = boards_pb2.CreateSectionRequest(project_id=project_id, name=name)
        sections.append((await stage.boards.CreateSection(request, metadata=stage.ada.metadata)).section)
    first, *others = sections
    for number in range(600):
        moved = await stage.boards.UpdateSection(
            boards_pb2.UpdateSectionRequest(
                project_id=project_id,
                id=others[number % 2].id,
                after_id=first.id,
                update_mask=FieldMask(paths=["after_id"]),
            ),
            metadata=stage.ada.metadata,
        )
        assert len(moved.section.position) <= MAX_POSITION
    listing = boards_pb2.ListSectionsRequest(project_id=project_id)
    found = (await stage.boards.ListSections(listing, metadata=stage.ada.metadata)).sections
    assert [each.name for each in found] == ["a", "c", "b"]
    assert await differences(stage) == 0
