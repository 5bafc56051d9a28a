"""Favourites of users, through gRPC, on real servers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncpg
import pytest
from rebuilding import require_rebuilt
from rota.tasks.v1 import tasks_pb2
from rota_chassis.errors import NotFound

if TYPE_CHECKING:
    from conftest import Stage
    from rota_chassis.testing.services import User


async def favour(stage: Stage, task: tasks_pb2.Task, user: User) -> tasks_pb2.Task:
    return (await stage.tasks.FavouriteTask(tasks_pb2.FavouriteTaskRequest(id=task.id), metadata=user.metadata)).task


async def disfavour(stage: Stage, task: tasks_pb2.Task, user: User) -> tasks_pb2.Task:
    request = tasks_pb2.UnfavouriteTaskRequest(id=task.id)
    return (await stage.tasks.UnfavouriteTask(request, metadata=user.metadata)).task


async def favourites(stage: Stage, user: User) -> list[str]:
    request = tasks_pb2.ListTasksRequest(favourite=True, page_size=2)
    seen: list[str] = []
    while True:
        answer = await stage.tasks.ListTasks(request, metadata=user.metadata)
        assert all(each.is_favourite for each in answer.tasks)
        seen += [each.id for each in answer.tasks]
        request.page_token = answer.next_page_token
        if not request.page_token:
            return seen


async def rows(stage: Stage) -> int:
    connection = await asyncpg.connect(stage.database_url)
    count: int = await connection.fetchval("SELECT count(*) FROM favourites")
    await connection.close()
    return count


async def test_a_favourite_is_ones_own_and_changes_nothing_for_others(stage: Stage) -> None:
    stage.auth.add_member(stage.ada.workspace_id, stage.grace.id, role="viewer")
    tasks = [await stage.create(f"task {number}") for number in range(5)]
    for index in (0, 2, 4):
        shown = await favour(stage, tasks[index], stage.grace)
        assert (shown.is_favourite, shown.version) == (True, 1)
    assert await favourites(stage, stage.grace) == [tasks[index].id for index in (4, 2, 0)]
    assert await favourites(stage, stage.ada) == []
    read = (await stage.tasks.GetTask(tasks_pb2.GetTaskRequest(id=tasks[0].id), metadata=stage.ada.metadata)).task
    assert read == tasks[0]
    assert not (await disfavour(stage, tasks[2], stage.grace)).is_favourite
    assert await favourites(stage, stage.grace) == [tasks[index].id for index in (4, 0)]


async def test_another_users_task_cannot_be_a_favourite(stage: Stage) -> None:
    task = await stage.create()
    for call in (favour, disfavour):
        with pytest.raises(NotFound) as caught:
            await call(stage, task, stage.grace)
        assert caught.value.code == "TASK_NOT_FOUND"
    assert await rows(stage) == 0


async def test_favouring_at_once_counts_once_and_outlives_a_rebuild(stage: Stage) -> None:
    task = await stage.create()
    await asyncio.gather(*(favour(stage, task, stage.ada) for _ in range(6)))
    await require_rebuilt(stage.database_url)
    assert (await rows(stage), await favourites(stage, stage.ada)) == (1, [task.id])


async def test_nothing_is_left_of_a_task_that_is_deleted_while_it_is_favoured(stage: Stage) -> None:
    task = await stage.create()
    await asyncio.gather(
        *(favour(stage, task, stage.ada) for _ in range(3)),
        stage.tasks.DeleteTask(tasks_pb2.DeleteTaskRequest(id=task.id), metadata=stage.ada.metadata),
        *(favour(stage, task, stage.ada) for _ in range(3)),
        return_exceptions=True,
    )
    assert await rows(stage) == 0
