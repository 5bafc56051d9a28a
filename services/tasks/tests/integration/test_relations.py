"""Relations between tasks through gRPC, on real servers."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING
from uuid import uuid4

import asyncpg
import pytest
from rota.tasks.v1 import relations_pb2, tasks_pb2
from rota_chassis.errors import Conflict, NotFound, PermissionDenied
from rota_chassis.postgres.database import Database
from rota_tasks.rebuild import rebuild
from rota_tasks.relations import commands

if TYPE_CHECKING:
    from conftest import Stage
    from rota_chassis.testing.services import User

BLOCKS, IS_BLOCKED_BY = relations_pb2.RELATION_TYPE_BLOCKS, relations_pb2.RELATION_TYPE_IS_BLOCKED_BY
RELATES, DUPLICATES = relations_pb2.RELATION_TYPE_RELATES, relations_pb2.RELATION_TYPE_DUPLICATES
STARTS_AFTER = relations_pb2.RELATION_TYPE_STARTS_AFTER
FINISHES_BEFORE = relations_pb2.RELATION_TYPE_FINISHES_BEFORE


async def relate(
    stage: Stage, one: str, kind: relations_pb2.RelationType, other: str, *, user: User | None = None
) -> relations_pb2.Relation:
    request = relations_pb2.CreateRelationRequest(id=one, type=kind, task_id=other)
    return (await stage.relations.CreateRelation(request, metadata=(user or stage.ada).metadata)).relation


async def end(stage: Stage, one: str, kind: relations_pb2.RelationType, other: str) -> None:
    request = relations_pb2.DeleteRelationRequest(id=one, type=kind, task_id=other)
    await stage.relations.DeleteRelation(request, metadata=stage.ada.metadata)


async def of(stage: Stage, task_id: str, *, size: int = 50) -> list[relations_pb2.Relation]:
    seen: list[relations_pb2.Relation] = []
    token = ""
    while True:
        request = relations_pb2.ListRelationsRequest(id=task_id, page_size=size, page_token=token)
        answer = await stage.relations.ListRelations(request, metadata=stage.ada.metadata)
        seen += answer.relations
        token = answer.next_page_token
        if not token:
            return seen


async def read(stage: Stage, task_id: str) -> tasks_pb2.Task:
    return (await stage.tasks.GetTask(tasks_pb2.GetTaskRequest(id=task_id), metadata=stage.ada.metadata)).task


async def made(stage: Stage, count: int) -> list[str]:
    return [(await stage.create(f"task {number}")).id for number in range(count)]


async def test_a_relation_is_seen_from_both_tasks(stage: Stage) -> None:
    one, other = await made(stage, 2)
    relation = await relate(stage, one, BLOCKS, other)
    assert (relation.source_id, relation.type, relation.task_id) == (one, BLOCKS, other)
    (seen,) = await of(stage, other)
    assert (seen.id, seen.source_id, seen.type, seen.task_id) == (relation.id, other, IS_BLOCKED_BY, one)
    await end(stage, other, IS_BLOCKED_BY, one)
    assert await of(stage, one) == await of(stage, other) == []
    with pytest.raises(NotFound) as caught:
        await end(stage, one, BLOCKS, other)
    assert caught.value.code == "RELATION_NOT_FOUND"


async def test_there_is_one_of_a_type_for_a_pair_however_often_and_from_wherever_it_is_made(stage: Stage) -> None:
    one, other = await made(stage, 2)
    relations = await asyncio.gather(
        *(relate(stage, one, BLOCKS, other) for _ in range(5)),
        *(relate(stage, other, IS_BLOCKED_BY, one) for _ in range(5)),
        *(relate(stage, one, RELATES, other) for _ in range(3)),
        *(relate(stage, other, RELATES, one) for _ in range(3)),
    )
    assert len({relation.id for relation in relations}) == 2
    assert len(await of(stage, one)) == len(await of(stage, other)) == 2
    connection = await asyncpg.connect(stage.database_url)
    assert await connection.fetchval("SELECT count(*) FROM events WHERE type = 'relation.added'") == 2
    await connection.close()


async def test_a_blocked_task_says_by_what_until_that_is_done(stage: Stage) -> None:
    task, first, second = await made(stage, 3)
    assert (await read(stage, task)).is_blocked is False
    assert (await read(stage, task)).HasField("is_blocked")
    await relate(stage, task, IS_BLOCKED_BY, first)
    await relate(stage, second, BLOCKS, task)
    await relate(stage, task, STARTS_AFTER, second)
    before = await read(stage, task)
    assert (before.is_blocked, list(before.blocked_by)) == (True, [first, second])
    await stage.tasks.CompleteTask(tasks_pb2.CompleteTaskRequest(id=first), metadata=stage.ada.metadata)
    after = await read(stage, task)
    assert (list(after.blocked_by), after.version, after.etag == before.etag) == ([second], before.version, False)
    await stage.tasks.DeleteTask(tasks_pb2.DeleteTaskRequest(id=second), metadata=stage.ada.metadata)
    assert not (await read(stage, task)).is_blocked
    listed = await stage.tasks.ListTasks(tasks_pb2.ListTasksRequest(), metadata=stage.ada.metadata)
    assert [each.is_blocked for each in listed.tasks] == [False, False]


async def test_a_task_is_not_related_to_itself_nor_to_what_is_not_there(stage: Stage) -> None:
    (task,) = await made(stage, 1)
    with pytest.raises(Conflict) as refused:
        await relate(stage, task, RELATES, task)
    assert refused.value.code == "SELF_RELATION"
    assert [each.field for each in refused.value.violations] == ["task_id"]
    foreign = await stage.create(user=stage.grace)
    for other in (str(uuid4()), foreign.id):
        with pytest.raises(NotFound) as caught:
            await relate(stage, task, RELATES, other)
        assert caught.value.code == "RELATED_TASK_NOT_FOUND"
    with pytest.raises(NotFound) as caught:
        await relate(stage, task, RELATES, foreign.id, user=stage.grace)
    assert caught.value.code == "TASK_NOT_FOUND"


async def test_a_viewer_relates_nothing(stage: Stage) -> None:
    stage.auth.add_member(stage.ada.workspace_id, stage.grace.id, role="viewer")
    one, other = await made(stage, 2)
    with pytest.raises(PermissionDenied):
        await relate(stage, one, BLOCKS, other, user=stage.grace)


async def test_ordering_types_together_form_no_circle(stage: Stage) -> None:
    one, two, three = await made(stage, 3)
    await relate(stage, one, BLOCKS, two)
    await relate(stage, three, STARTS_AFTER, two)
    for kind, source, other in (
        (BLOCKS, three, one),
        (FINISHES_BEFORE, three, one),
        (IS_BLOCKED_BY, one, three),
        (STARTS_AFTER, one, two),
    ):
        with pytest.raises(Conflict) as caught:
            await relate(stage, source, kind, other)
        assert caught.value.code == "RELATION_CYCLE"
    await relate(stage, three, RELATES, one)
    await relate(stage, three, DUPLICATES, one)
    with pytest.raises(Conflict):
        await relate(stage, one, DUPLICATES, three)


async def test_relations_that_together_close_a_circle_are_not_all_made(stage: Stage) -> None:
    ring = await made(stage, 5)
    pairs = [*itertools.pairwise(ring), (ring[-1], ring[0])]

    async def order(one: str, other: str, kind: relations_pb2.RelationType) -> str:
        try:
            await relate(stage, one, kind, other)
        except Conflict as error:
            return error.code
        return "ok"

    for _round in range(4):
        outcomes = await asyncio.gather(
            *(order(*pair, kind) for pair, kind in zip(pairs, itertools.cycle([BLOCKS, FINISHES_BEFORE]), strict=False))
        )
        assert sorted(outcomes) == ["RELATION_CYCLE"] + ["ok"] * (len(ring) - 1)
        for task in ring:
            for relation in await of(stage, task):
                await end(stage, task, relation.type, relation.task_id)


async def test_relations_come_in_pages_and_there_are_only_so_many(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, *others = await made(stage, 6)
    for other in others[:-1]:
        await relate(stage, task, RELATES, other)
    assert [relation.task_id for relation in await of(stage, task, size=2)] == sorted(others[:-1])
    monkeypatch.setattr(commands, "MAX_RELATIONS", 4)
    for one, other in ((task, others[-1]), (others[-1], task)):
        with pytest.raises(Conflict) as caught:
            await relate(stage, one, BLOCKS, other)
        assert caught.value.code == "TOO_MANY_RELATIONS"


async def test_relations_rebuild_from_the_log(stage: Stage) -> None:
    one, two, three, four = await made(stage, 4)
    await relate(stage, one, BLOCKS, two)
    await relate(stage, two, RELATES, three)
    await relate(stage, three, DUPLICATES, four)
    await end(stage, three, RELATES, two)
    await relate(stage, two, RELATES, three)
    await stage.tasks.DeleteTask(tasks_pb2.DeleteTaskRequest(id=four), metadata=stage.ada.metadata)
    database = await Database.connect(stage.database_url, size=2)
    try:
        rebuilt = await rebuild(database)
    finally:
        await database.close()
    assert (rebuilt.rows, rebuilt.differences) == (3 + 4 + 2, 0)
