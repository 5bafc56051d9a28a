"""Rebuilding the read tables from the log while the service serves, on real servers."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from rota.tasks.v1 import comments_pb2, labels_pb2, projects_pb2, tasks_pb2, trash_pb2
from rota_chassis.errors import Conflict, Unavailable
from rota_chassis.postgres.database import Database
from rota_chassis.testing.waiting import eventually
from rota_tasks.rebuild import LOCK, Rebuilt, rebuild
from rota_tasks.tasks import store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from conftest import Stage

TABLES = ("projects", "labels", "tasks", "comments", "trash", "trashed_comments", "search_documents")


@asynccontextmanager
async def database_of(stage: Stage) -> AsyncIterator[Database]:
    database = await Database.connect(stage.database_url, size=1, name="rebuild")
    try:
        yield database
    finally:
        await database.close()


async def rebuilt(stage: Stage, projection: str | None = None) -> Rebuilt:
    async with database_of(stage) as database:
        return await rebuild(database, projection)


async def execute(stage: Stage, *statements: str) -> None:
    connection = await asyncpg.connect(stage.database_url)
    for each in statements:
        await connection.execute(each)
    await connection.close()


async def everything(stage: Stage) -> dict[str, list[str]]:
    connection = await asyncpg.connect(stage.database_url)
    found = {
        name: [row[0] for row in await connection.fetch(f"SELECT t::text FROM {name} t ORDER BY 1")]  # noqa: S608
        for name in TABLES
    }
    await connection.close()
    return found


async def rename(stage: Stage, task: Any, title: str) -> None:
    request = tasks_pb2.UpdateTaskRequest(id=task.id, title=title, update_mask=FieldMask(paths=["title"]))
    await stage.tasks.UpdateTask(request, metadata=stage.ada.metadata)


async def comment(stage: Stage, task: Any, text: str) -> None:
    request = comments_pb2.CreateCommentRequest(task_id=task.id, text=text)
    await stage.comments.CreateComment(request, metadata=stage.ada.metadata)


async def delete(stage: Stage, task: Any) -> None:
    await stage.tasks.DeleteTask(tasks_pb2.DeleteTaskRequest(id=task.id), metadata=stage.ada.metadata)


async def restore(stage: Stage, task: Any) -> None:
    await stage.trash.RestoreTask(trash_pb2.RestoreTaskRequest(id=task.id), metadata=stage.ada.metadata)


async def label(stage: Stage, name: str) -> Any:
    return (await stage.labels.CreateLabel(labels_pb2.CreateLabelRequest(name=name), metadata=stage.ada.metadata)).label


async def project(stage: Stage, name: str) -> Any:
    request = projects_pb2.CreateProjectRequest(name=name)
    return (await stage.projects.CreateProject(request, metadata=stage.ada.metadata)).project


async def some_tasks(stage: Stage) -> list[Any]:
    """A project with labelled tasks, parts, comments, and one task in the trash."""
    home, mark = await project(stage, "Home"), await label(stage, "garden")
    tasks = [await stage.create(f"task {n}", project_id=home.id, label_ids=[mark.id]) for n in range(10)]
    tasks += [await stage.create(f"part {n}", project_id=home.id, parent_id=tasks[n].id) for n in range(5)]
    for task in tasks[:4]:
        await comment(stage, task, "seen")
    await delete(stage, tasks[3])
    return tasks


class Writers:
    """They change tasks all the time, until told to stop."""

    def __init__(self, stage: Stage, tasks: list[Any]) -> None:
        self._stage = stage
        self._tasks = tasks
        self._stopped = False
        self.writes = 0

    async def run(self, number: int) -> None:
        chance = random.Random(number)  # noqa: S311 (which changes happen, not a secret)
        mine: list[Any] = []
        while not self._stopped:
            match chance.randrange(6):
                case 0:
                    mine.append(await self._stage.create(f"new {number} {self.writes}"))
                case 1 if mine:
                    task = mine.pop()
                    await comment(self._stage, task, "soon gone")
                    await delete(self._stage, task)
                    await restore(self._stage, task)
                case 2:
                    await comment(self._stage, chance.choice(self._tasks), f"word{self.writes}")
                case _:
                    await rename(self._stage, chance.choice(self._tasks), f"title {number} {self.writes}")
            self.writes += 1

    @asynccontextmanager
    async def running(self, number: int) -> AsyncIterator[Writers]:
        async with asyncio.TaskGroup() as group:
            for each in range(number):
                group.create_task(self.run(each))
            try:
                yield self
            finally:
                self._stopped = True


async def test_a_rebuild_beside_writers_stops_none_and_finds_nothing_to_repair(stage: Stage) -> None:
    tasks = [await stage.create(f"task {number}") for number in range(20)]
    async with Writers(stage, tasks).running(8) as writers:
        await eventually(lambda: _at_least(writers, 20))
        found = await rebuilt(stage)
        seen = writers.writes
        await eventually(lambda: _at_least(writers, seen + 20))
    assert found.differences == 0
    assert (await rebuilt(stage)).differences == 0


async def _at_least(writers: Writers, number: int) -> bool:
    return writers.writes >= number


async def test_what_is_broken_is_repaired_beside_writers(stage: Stage) -> None:
    tasks = await some_tasks(stage)
    tasks.pop(3)
    await execute(
        stage,
        "UPDATE tasks SET description = 'broken' WHERE title LIKE 'part%'",
        "DELETE FROM comments",
        "DELETE FROM trash",
        "UPDATE search_documents SET document = ''",
    )
    async with Writers(stage, tasks[3:8]).running(4) as writers:
        await eventually(lambda: _at_least(writers, 10))
        found = await rebuilt(stage)
    # The parts that live, the comments of tasks that do, and the deleted task with its part.
    assert found.differences >= 4 + 3 + 2
    assert (await rebuilt(stage)).differences == 0


async def test_tables_that_were_emptied_or_have_too_much_are_as_before(stage: Stage) -> None:
    tasks = await some_tasks(stage)
    before = await everything(stage)
    await execute(
        stage,
        # Parents younger than their parts, and a project of tasks that never were.
        "INSERT INTO projects SELECT workspace_id, gen_random_uuid(), 'Never', created_by, now(), now(), 1"
        " FROM projects",
        "UPDATE tasks SET project_id = (SELECT id FROM projects WHERE name = 'Never') WHERE title = 'task 8'",
        "DELETE FROM tasks WHERE title <> 'task 8'",
        "DELETE FROM labels",
        "INSERT INTO labels SELECT workspace_id, gen_random_uuid(), 'Garden', 'garden', '', created_by, now(), now(), 1"
        " FROM projects WHERE name = 'Never'",
    )
    found = await rebuilt(stage)
    assert found.differences > len(tasks)
    assert await everything(stage) == before
    assert (await rebuilt(stage)).differences == 0


async def test_parts_that_are_older_than_their_wholes_come_back_too(stage: Stage) -> None:
    parts = [await stage.create(f"part {number}") for number in range(3)]
    whole = await stage.create("whole")
    for part in parts:
        request = tasks_pb2.UpdateTaskRequest(
            id=part.id, parent_id=whole.id, update_mask=FieldMask(paths=["parent_id"])
        )
        await stage.tasks.UpdateTask(request, metadata=stage.ada.metadata)
    before = await everything(stage)
    await execute(stage, "DELETE FROM tasks")
    assert (await rebuilt(stage)).differences == 4
    assert await everything(stage) == before


async def test_one_projection_is_rebuilt_alone(stage: Stage) -> None:
    await some_tasks(stage)
    await execute(stage, "UPDATE labels SET color = 'broken'", "UPDATE tasks SET category = 'broken'")
    found = await rebuilt(stage, "labels")
    assert (found.events, found.rows, found.differences) == (1, 1, 1)
    found = await rebuilt(stage, "trash")
    assert (found.rows, found.differences) == (2, 0)
    assert (await rebuilt(stage)).differences == 13
    with pytest.raises(LookupError, match="no projection nothing; there are: projects, "):
        await rebuilt(stage, "nothing")


async def test_dying_in_the_middle_leaves_nothing_and_the_next_goes_through(stage: Stage) -> None:
    await some_tasks(stage)
    await execute(stage, "UPDATE tasks SET category = 'broken'")
    connection = await asyncpg.connect(stage.database_url)
    # It stands where it would repair the first task.
    await connection.execute("BEGIN; SELECT FROM tasks FOR UPDATE")
    dying = asyncio.create_task(rebuilt(stage))
    pid = await eventually(lambda: _backend_with_shadows(connection))
    await connection.execute("SELECT pg_terminate_backend($1)", pid)
    with pytest.raises(Unavailable):
        await dying
    await connection.execute("ROLLBACK")
    assert await connection.fetchval("SELECT count(*) FROM tasks WHERE category = 'broken'") == 13

    async def is_clean() -> bool:
        return not await connection.fetchval(
            "SELECT count(*) FROM pg_class WHERE relname = 'tasks' AND relnamespace <> 'public'::regnamespace"
        )

    await eventually(is_clean)
    await connection.close()
    assert (await rebuilt(stage)).differences == 13


async def _backend_with_shadows(connection: asyncpg.Connection) -> int:
    pid: int | None = await connection.fetchval(
        "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = $1 AND granted AND database ="
        " (SELECT oid FROM pg_database WHERE datname = current_database())"
        " AND EXISTS (SELECT FROM pg_class WHERE relname = 'trash' AND relpersistence = 't')",
        LOCK,
    )
    return pid or 0


async def test_a_row_that_a_writer_holds_is_repaired_once_it_is_free(stage: Stage) -> None:
    held, other = await stage.create("held"), await stage.create("other")
    await execute(stage, "UPDATE tasks SET category = 'broken'")
    connection = await asyncpg.connect(stage.database_url)
    await connection.execute(f"BEGIN; SELECT FROM tasks WHERE id = '{held.id}' FOR UPDATE")
    waiting = asyncio.create_task(rebuilt(stage))

    async def other_is_repaired() -> bool:
        return bool(await connection.fetchval("SELECT category = '' FROM tasks WHERE id = $1", other.id))

    await eventually(other_is_repaired)
    # Nobody waits for it meanwhile.
    await rename(stage, other, "renamed")
    assert not waiting.done()
    await connection.execute("ROLLBACK")
    await connection.close()
    assert (await waiting).differences == 2


async def test_two_at_once_do_not_meet(stage: Stage) -> None:
    task = await stage.create()
    await execute(stage, "UPDATE tasks SET category = 'broken'")
    connection = await asyncpg.connect(stage.database_url)
    await connection.execute(f"BEGIN; SELECT FROM tasks WHERE id = '{task.id}' FOR UPDATE")
    first = asyncio.create_task(rebuilt(stage))
    await eventually(lambda: _backend_with_shadows(connection))
    with pytest.raises(Conflict) as caught:
        await rebuilt(stage)
    assert caught.value.code == "REBUILD_RUNS"
    await connection.execute("ROLLBACK")
    await connection.close()
    assert (await first).differences == 1


async def test_who_uses_the_database_beside_or_after_reads_the_live_tables(stage: Stage) -> None:
    task = await stage.create()
    async with database_of(stage) as database:
        for _ in range(3):
            # On the one connection there is, before its names mean the shadows and after.
            assert await store.get(database, user_id=stage.ada.id, task_id=task.id) is not None
            assert (await rebuild(database)).differences == 0
        await rename(stage, task, "renamed")
        assert (await store.get(database, user_id=stage.ada.id, task_id=task.id)).title == "renamed"  # type: ignore[union-attr]


async def test_favourites_of_a_task_that_was_in_the_trash_outlive_it(stage: Stage) -> None:
    task = await stage.create()
    await delete(stage, task)
    await restore(stage, task)
    request = tasks_pb2.FavouriteTaskRequest(id=task.id)
    await stage.tasks.FavouriteTask(request, metadata=stage.ada.metadata)
    assert (await rebuilt(stage)).differences == 0
    got = await stage.tasks.GetTask(tasks_pb2.GetTaskRequest(id=task.id), metadata=stage.ada.metadata)
    assert got.task.is_favourite
