"""Tasks that are parts of others, through gRPC, on real servers."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

import asyncpg
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from rota.tasks.v1 import tasks_pb2
from rota_chassis.errors import Conflict, NotFound, RotaError
from rota_chassis.postgres.database import Database
from rota_tasks.rebuild import rebuild
from rota_tasks.tasks.domain import MAX_LEVELS

if TYPE_CHECKING:
    from conftest import Stage
    from rota_chassis.testing.services import User


async def move(stage: Stage, task: tasks_pb2.Task, parent: tasks_pb2.Task | None) -> tasks_pb2.Task:
    request = tasks_pb2.UpdateTaskRequest(
        id=task.id, parent_id=parent.id if parent else None, update_mask=FieldMask(paths=["parent_id"])
    )
    return (await stage.tasks.UpdateTask(request, metadata=stage.ada.metadata)).task


async def read(stage: Stage, task: tasks_pb2.Task) -> tasks_pb2.Task:
    return (await stage.tasks.GetTask(tasks_pb2.GetTaskRequest(id=task.id), metadata=stage.ada.metadata)).task


async def children(stage: Stage, task: tasks_pb2.Task, *, size: int = 50, user: User | None = None) -> list[str]:
    seen: list[str] = []
    token = ""
    while True:
        answer = await stage.tasks.ListSubtasks(
            tasks_pb2.ListSubtasksRequest(id=task.id, page_size=size, page_token=token),
            metadata=(user or stage.ada).metadata,
        )
        seen += [each.id for each in answer.tasks]
        token = answer.next_page_token
        if not token:
            return seen


async def a_chain(stage: Stage, levels: int) -> list[tasks_pb2.Task]:
    chain = [await stage.create("level 1")]
    while len(chain) < levels:
        chain.append(await stage.create(f"level {len(chain) + 1}", parent_id=chain[-1].id))
    return chain


async def test_a_task_lists_its_parts_oldest_first_in_pages_and_counts_them(stage: Stage) -> None:
    whole = await stage.create("Move house")
    parts = [await stage.create(f"part {number}", parent_id=whole.id) for number in range(5)]
    await stage.create("a part of a part", parent_id=parts[0].id)
    await stage.tasks.CompleteTask(tasks_pb2.CompleteTaskRequest(id=parts[1].id), metadata=stage.ada.metadata)
    assert await children(stage, whole, size=2) == [part.id for part in parts]
    shown = await read(stage, whole)
    assert (shown.subtasks.open, shown.subtasks.total) == (4, 5)
    assert (await read(stage, parts[0])).parent_id == whole.id
    assert (await read(stage, parts[2])).HasField("subtasks")
    assert await children(stage, parts[2]) == []


async def test_the_entity_tag_changes_with_the_counts_and_still_guards_a_write(stage: Stage) -> None:
    whole = await stage.create("Move house")
    await stage.create("Pack", parent_id=whole.id)
    shown = await read(stage, whole)
    assert (shown.version, shown.etag == whole.etag) == (whole.version, False)
    request = tasks_pb2.CompleteTaskRequest(id=whole.id, if_match=whole.etag)
    answer = await stage.tasks.CompleteTask(request, metadata=stage.ada.metadata)
    assert answer.task == await read(stage, whole)
    with pytest.raises(RotaError, match="changed"):
        await stage.tasks.CompleteTask(request, metadata=stage.ada.metadata)


async def test_a_parent_must_be_in_the_same_workspace(stage: Stage) -> None:
    foreign = await stage.create(user=stage.grace)
    task = await stage.create()
    with pytest.raises(NotFound) as caught:
        await stage.create(parent_id=foreign.id)
    assert caught.value.code == "PARENT_NOT_FOUND"
    with pytest.raises(NotFound) as caught:
        await move(stage, task, foreign)
    assert caught.value.code == "PARENT_NOT_FOUND"
    with pytest.raises(NotFound) as caught:
        await children(stage, task, user=stage.grace)
    assert caught.value.code == "TASK_NOT_FOUND"


async def test_a_task_cannot_be_a_part_of_itself_or_of_its_parts(stage: Stage) -> None:
    chain = await a_chain(stage, 3)
    for parent in chain:
        with pytest.raises(Conflict) as caught:
            await move(stage, chain[0], parent)
        assert caught.value.code == "SUBTASK_CYCLE"


async def test_tasks_nest_so_deep_and_no_deeper(stage: Stage) -> None:
    chain = await a_chain(stage, MAX_LEVELS)
    with pytest.raises(Conflict) as caught:
        await stage.create(parent_id=chain[-1].id)
    assert caught.value.code == "SUBTASKS_TOO_DEEP"
    short = await a_chain(stage, 2)
    with pytest.raises(Conflict) as caught:
        await move(stage, short[0], chain[-2])
    assert caught.value.code == "SUBTASKS_TOO_DEEP"
    assert (await move(stage, short[0], chain[-3])).parent_id == chain[-3].id


async def test_a_task_moves_with_its_parts_and_back_to_the_top(stage: Stage) -> None:
    chain = await a_chain(stage, 3)
    other = await stage.create("elsewhere")
    assert (await move(stage, chain[1], other)).version == 2
    assert (await children(stage, other), await children(stage, chain[0])) == ([chain[1].id], [])
    assert await children(stage, chain[1]) == [chain[2].id]
    assert not (await move(stage, chain[1], None)).HasField("parent_id")
    assert await children(stage, other) == []


async def test_moves_that_together_close_a_circle_do_not_all_happen(stage: Stage) -> None:
    ring = [await stage.create(f"task {number}") for number in range(6)]

    async def under(task: tasks_pb2.Task, parent: tasks_pb2.Task) -> str:
        try:
            await move(stage, task, parent)
        except Conflict as error:
            return error.code
        return "ok"

    for _round in range(5):
        pairs = [*itertools.pairwise(ring), (ring[-1], ring[0])]
        outcomes = await asyncio.gather(*(under(task, parent) for task, parent in pairs))
        assert sorted(outcomes) == ["SUBTASK_CYCLE"] + ["ok"] * (len(ring) - 1)
        await asyncio.gather(*(move(stage, task, None) for task in ring))


async def test_moves_and_additions_at_once_never_nest_too_deep(stage: Stage) -> None:
    deep, tail = await a_chain(stage, MAX_LEVELS - 2), await a_chain(stage, 1)

    async def grow() -> None:
        await stage.create(parent_id=tail[0].id)

    await asyncio.gather(
        *(grow() for _ in range(5)),
        move(stage, tail[0], deep[-1]),
        *(stage.create(parent_id=tail[0].id) for _ in range(5)),
        return_exceptions=True,
    )
    connection = await asyncpg.connect(stage.database_url)
    levels = await connection.fetchval(
        "WITH RECURSIVE t AS (SELECT id, 1 AS level FROM tasks WHERE parent_id IS NULL UNION ALL "
        "SELECT c.id, level + 1 FROM tasks c JOIN t ON c.parent_id = t.id) SELECT max(level) FROM t"
    )
    await connection.close()
    assert levels == MAX_LEVELS


async def test_deleting_a_task_deletes_everything_below_it_parts_first(stage: Stage) -> None:
    chain = await a_chain(stage, 3)
    beside = await stage.create("stays")
    await stage.tasks.DeleteTask(tasks_pb2.DeleteTaskRequest(id=chain[0].id), metadata=stage.ada.metadata)
    for task in chain:
        with pytest.raises(NotFound):
            await read(stage, task)
    await read(stage, beside)
    connection = await asyncpg.connect(stage.database_url)
    rows = await connection.fetch("SELECT aggregate_id FROM events WHERE type = 'task.deleted' ORDER BY position")
    await connection.close()
    assert [str(row["aggregate_id"]) for row in rows] == [task.id for task in reversed(chain)]


async def test_adding_parts_while_the_whole_is_deleted_leaves_no_orphan(stage: Stage) -> None:
    whole = await stage.create()
    outcomes = await asyncio.gather(
        *(stage.create(parent_id=whole.id) for _ in range(6)),
        stage.tasks.DeleteTask(tasks_pb2.DeleteTaskRequest(id=whole.id), metadata=stage.ada.metadata),
        *(stage.create(parent_id=whole.id) for _ in range(6)),
        return_exceptions=True,
    )
    assert {type(each) for each in outcomes} <= {tasks_pb2.Task, tasks_pb2.DeleteTaskResponse, NotFound}
    answer = await stage.tasks.ListTasks(tasks_pb2.ListTasksRequest(), metadata=stage.ada.metadata)
    assert list(answer.tasks) == []


async def test_a_tree_rebuilds_from_the_log(stage: Stage) -> None:
    chain, other = await a_chain(stage, 4), await stage.create("elsewhere")
    await move(stage, chain[1], other)
    await move(stage, chain[0], chain[3])
    await stage.tasks.DeleteTask(tasks_pb2.DeleteTaskRequest(id=chain[3].id), metadata=stage.ada.metadata)
    database = await Database.connect(stage.database_url, size=2)
    try:
        rebuilt = await rebuild(database)
    finally:
        await database.close()
    assert (rebuilt.rows, rebuilt.differences) == (3 + 2, 0)
