"""Copies of a workspace, kept up to date through gRPC, on real servers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from hypothesis import HealthCheck, given, settings
from rebuilding import require_rebuilt
from rota.events.v1 import events_pb2
from rota.tasks.v1 import (
    labels_pb2,
    sync_pb2,
    tasks_pb2,
)
from rota_chassis.errors import Gone, InvalidArgument, NotFound
from rota_chassis.events.log import NewEvent
from rota_chassis.ids import uuid7
from rota_chassis.pagination import PageTokens
from rota_chassis.postgres.pool import prepare_connection
from rota_chassis.postgres.work import UnitOfWork
from rota_chassis.settings import DEVELOPMENT_SECRET
from syncing import STEPS, WORLD, Copy, Person, new_user, read_all

if TYPE_CHECKING:
    from conftest import Stage
    from rota_chassis.testing.tokens import TokenIssuer


async def test_a_copy_that_follows_equals_what_the_lists_give_whatever_happens(
    stage: Stage, issuer: TokenIssuer
) -> None:
    async def live(steps: list[tuple[str, int, int]]) -> None:
        user = new_user(stage, issuer)
        person, copy = Person(stage, user), Copy(stage, user)
        for action, one, other in [*WORLD, ("pull", 0, 0), *steps]:
            if action in ("page", "pull"):
                await getattr(copy, action)(1 + one)
            else:
                await person.do(action, one, other)
        await copy.pull(3)
        there = await read_all(stage, user)
        assert copy.things == there
        assert await copy.pull() == []
        anew = Copy(stage, user)
        await anew.pull()
        assert anew.things == there

    loop = asyncio.get_running_loop()

    @settings(max_examples=80, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(STEPS)
    def check(steps: list[tuple[str, int, int]]) -> None:
        asyncio.run_coroutine_threadsafe(live(steps), loop).result(60)

    await asyncio.to_thread(check)


async def test_a_copy_can_be_begun_in_an_empty_workspace_and_told_of_by_kind(stage: Stage) -> None:
    copy = Copy(stage, stage.ada)
    assert await copy.pull() == []
    label = await stage.labels.CreateLabel(labels_pb2.CreateLabelRequest(name="x"), metadata=stage.ada.metadata)
    task = await stage.create(label_ids=[label.label.id])
    heard = await copy.pull()
    assert [(each.kind, each.id, each.deleted, each.version) for each in heard] == [
        ("label", label.label.id, False, 1),
        ("task", task.id, False, 1),
    ]
    read = await stage.tasks.GetTask(tasks_pb2.GetTaskRequest(id=task.id), metadata=stage.ada.metadata)
    assert heard[1].data.task == read.task
    await stage.tasks.DeleteTask(tasks_pb2.DeleteTaskRequest(id=task.id), metadata=stage.ada.metadata)
    heard = await copy.pull()
    assert [(each.kind, each.id, each.deleted, each.version) for each in heard] == [("task", task.id, True, 2)]
    assert await copy.pull() == []


async def test_a_page_ends_before_it_grows_too_large_to_be_sent(stage: Stage) -> None:
    copy, large = Copy(stage, stage.ada), "\N{GRINNING FACE}" * 50_000
    await copy.pull()
    tasks = [await stage.create(f"task {number}", description=large) for number in range(45)]
    anew = Copy(stage, stage.ada)
    for each in (copy, anew):
        sizes = []
        more = True
        while more:
            each.heard = []
            more = await each.page(200)
            sizes.append(len(each.heard))
        assert sizes == [20, 20, 5]
        assert each.things.keys() == {("task", task.id) for task in tasks}


async def test_a_page_tells_of_a_thing_once_however_often_it_changed(stage: Stage) -> None:
    copy = Copy(stage, stage.ada)
    await copy.pull()
    task = await stage.create()
    for number in range(5):
        request = tasks_pb2.UpdateTaskRequest(
            id=task.id, title=f"title {number}", update_mask=FieldMask(paths=["title"])
        )
        await stage.tasks.UpdateTask(request, metadata=stage.ada.metadata)
    (change,) = await copy.pull()
    assert (change.version, change.data.task.title) == (6, "title 4")


async def test_what_commits_late_is_told_although_others_were_told_before(stage: Stage) -> None:
    """The late transaction has its id and its position before the others, and commits behind them."""
    copy = Copy(stage, stage.ada)
    await copy.pull()
    task = await stage.create("Late")
    await copy.pull()
    late = await asyncpg.connect(stage.database_url)
    await prepare_connection(late)
    transaction = late.transaction()
    await transaction.start()
    work = UnitOfWork.joining(late)
    gone = tasks_pb2.Task.FromString(task.SerializeToString())
    gone.version = 2
    work.append(
        NewEvent(stage.ada.workspace_id, uuid7(), 2, events_pb2.LabelDeleted(label=labels_pb2.Label(id=str(uuid7())))),
        NewEvent(stage.ada.workspace_id, UUID(task.id), 2, events_pb2.TaskUpdated(task=gone)),
    )
    await work.write_events()
    await late.execute("UPDATE tasks SET title = 'Changed late' WHERE id = $1", task.id)
    first = await stage.create("First")
    second = await stage.create("Second")
    for _ in range(2):
        # They are told at once, and again, since something may still come before them.
        assert [each.id for each in await copy.pull()] == [first.id, second.id]
    assert await copy.page(1) is False
    await transaction.commit()
    heard = await copy.pull()
    assert {each.id for each in heard if each.kind == "task"} == {task.id, first.id, second.id}
    assert copy.things["task", task.id].title == "Changed late"
    assert await copy.pull() == []
    await late.close()


async def test_a_first_reading_misses_nothing_that_commits_meanwhile(stage: Stage) -> None:
    for number in range(7):
        await stage.create(f"task {number}")
    copy, begun = Copy(stage, stage.ada), asyncio.Event()

    async def write() -> None:
        await begun.wait()
        await asyncio.gather(*(stage.create(f"more {number}") for number in range(20)))

    writing = asyncio.create_task(write())
    while await copy.page(2):
        begun.set()
    await writing
    await copy.pull(3)
    assert copy.things == await read_all(stage, stage.ada)
    assert len(copy.things) == 27


async def test_many_writers_at_once_and_a_reader_meanwhile_end_with_the_same(stage: Stage) -> None:
    copy = Copy(stage, stage.ada)
    await copy.pull()
    parent = await stage.create("Parent")
    writing = asyncio.gather(*(stage.create(f"part {number}", parent_id=parent.id) for number in range(50)))
    while not writing.done():
        await copy.pull(10)
    await writing
    await copy.pull(10)
    assert copy.things == await read_all(stage, stage.ada)
    assert copy.things["task", parent.id].subtasks.total == 50


async def test_who_leaves_a_workspace_is_told_that_it_is_gone_and_reads_anew_when_back(stage: Stage) -> None:
    stage.auth.add_member(stage.ada.workspace_id, stage.grace.id)
    task = await stage.create()
    request = sync_pb2.SyncRequest(workspace_id=str(stage.ada.workspace_id))
    first = await stage.sync.Sync(request, metadata=stage.grace.metadata)
    assert [each.id for each in first.changes] == [task.id]
    connection = await asyncpg.connect(stage.database_url)
    membership = "UPDATE memberships SET removed = $1, version = 9 WHERE workspace_id = $2 AND user_id = $3"
    await connection.execute(membership, True, stage.ada.workspace_id, stage.grace.id)
    left = await stage.sync.Sync(sync_pb2.SyncRequest(since=first.next_token), metadata=stage.grace.metadata)
    assert [(each.kind, each.id, each.deleted, each.version) for each in left.changes] == [
        ("workspace", str(stage.ada.workspace_id), True, 9)
    ]
    assert not left.has_more
    with pytest.raises(NotFound) as caught:
        await stage.sync.Sync(request, metadata=stage.grace.metadata)
    assert caught.value.code == "WORKSPACE_NOT_FOUND"
    await connection.execute(membership, False, stage.ada.workspace_id, stage.grace.id)
    back = await stage.sync.Sync(sync_pb2.SyncRequest(since=left.next_token), metadata=stage.grace.metadata)
    assert [each.id for each in back.changes] == [task.id]
    await connection.close()


async def test_favourites_are_told_to_their_user_alone(stage: Stage) -> None:
    stage.auth.add_member(stage.ada.workspace_id, stage.grace.id)
    task = await stage.create()
    copy = Copy(stage, stage.ada)
    await copy.pull()
    request = sync_pb2.SyncRequest(workspace_id=str(stage.ada.workspace_id))
    graces = await stage.sync.Sync(request, metadata=stage.grace.metadata)
    await stage.tasks.FavouriteTask(tasks_pb2.FavouriteTaskRequest(id=task.id), metadata=stage.ada.metadata)
    (change,) = await copy.pull()
    assert change.data.task.is_favourite
    assert await copy.pull() == []
    answer = await stage.sync.Sync(sync_pb2.SyncRequest(since=graces.next_token), metadata=stage.grace.metadata)
    assert not answer.changes


async def test_a_token_of_another_user_or_workspace_or_none_at_all_is_refused(stage: Stage) -> None:
    answer = await stage.sync.Sync(sync_pb2.SyncRequest(), metadata=stage.ada.metadata)
    stage.auth.add_member(stage.grace.workspace_id, stage.ada.id)
    for user, since, workspace_id in (
        (stage.grace, answer.next_token, None),
        (stage.ada, answer.next_token, str(stage.grace.workspace_id)),
        (stage.ada, answer.next_token[:-2], None),
        (stage.ada, "x", None),
        (stage.ada, "é" * 100, None),
    ):
        with pytest.raises(InvalidArgument) as caught:
            await stage.sync.Sync(sync_pb2.SyncRequest(since=since, workspace_id=workspace_id), metadata=user.metadata)
        assert (caught.value.code, caught.value.violations[0].field) == ("INVALID_SYNC_TOKEN", "since")


async def test_a_token_from_before_a_restored_backup_is_gone(stage: Stage) -> None:
    task = await stage.create()
    answer = await stage.sync.Sync(sync_pb2.SyncRequest(), metadata=stage.ada.metadata)
    connection = await asyncpg.connect(stage.database_url)
    # As rows that came with a dump from a cluster that had seen more transactions.
    await connection.execute("UPDATE events SET xid = '900000000000'")
    again = await stage.sync.Sync(sync_pb2.SyncRequest(since=answer.next_token), metadata=stage.ada.metadata)
    assert not again.changes
    anew = await stage.sync.Sync(sync_pb2.SyncRequest(), metadata=stage.ada.metadata)
    assert [each.id for each in anew.changes] == [task.id]
    tokens = PageTokens(DEVELOPMENT_SECRET)
    bound_to = ["sync", stage.ada.id]
    workspace_id, epoch, *cursor = tokens.decode(anew.next_token, bound_to=bound_to)
    for strange in ([workspace_id, "1.1", *cursor], [workspace_id, epoch, 2**62, *cursor[1:]]):
        request = sync_pb2.SyncRequest(since=tokens.encode(strange, bound_to=bound_to))
        with pytest.raises(Gone) as caught:
            await stage.sync.Sync(request, metadata=stage.ada.metadata)
        assert caught.value.code == "SYNC_TOKEN_GONE"
    await connection.close()


async def test_a_rebuild_changes_nothing_for_a_copy(stage: Stage) -> None:
    copy = Copy(stage, stage.ada)
    task = await stage.create()
    other = await stage.create("Other", parent_id=task.id)
    await copy.pull()
    await stage.tasks.DeleteTask(tasks_pb2.DeleteTaskRequest(id=other.id), metadata=stage.ada.metadata)
    await require_rebuilt(stage.database_url)
    assert {(each.id, each.deleted) for each in await copy.pull()} == {(task.id, False), (other.id, True)}
    assert copy.things == await read_all(stage, stage.ada)
