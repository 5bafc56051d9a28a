"""What the tasks service tells the world, and that its log is the truth."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import asyncpg
import nats
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from rota.events.v1 import events_pb2
from rota.tasks.v1 import tasks_pb2
from rota_chassis.events.envelope import Event, parse, subject
from rota_chassis.events.log import NewEvent
from rota_chassis.events.relay import Relay
from rota_chassis.events.stream import EVENTS_STREAM
from rota_chassis.postgres.database import Database
from rota_chassis.testing.waiting import eventually
from rota_tasks.rebuild import rebuild

if TYPE_CHECKING:
    from conftest import Stage


async def events_of(stage: Stage, *, at_least: int) -> list[Event]:
    """Everything in the stream of Ada's workspace, in order, once there is enough."""
    client = await nats.connect(stage.nats_url)
    try:
        subscription = await client.jetstream().subscribe(
            subject(stage.ada.workspace_id, ">"), stream=EVENTS_STREAM, ordered_consumer=True
        )
        found = []
        while len(found) < at_least or subscription.pending_msgs:
            message = await subscription.next_msg(timeout=5)
            found.append(parse(message.headers, message.data, message.metadata.sequence.stream))
        return found
    finally:
        await client.close()


async def test_each_change_is_told_once_in_order_by_whom(stage: Stage) -> None:
    task = await stage.create()
    await stage.tasks.UpdateTask(
        tasks_pb2.UpdateTaskRequest(id=task.id, title="Feed the cat", update_mask=FieldMask(paths=["title"])),
        metadata=stage.ada.metadata,
    )
    await stage.tasks.CompleteTask(tasks_pb2.CompleteTaskRequest(id=task.id), metadata=stage.ada.metadata)
    await stage.tasks.DeleteTask(tasks_pb2.DeleteTaskRequest(id=task.id), metadata=stage.ada.metadata)
    events = await events_of(stage, at_least=4)
    assert [event.type for event in events] == ["task.created", "task.updated", "task.completed", "task.deleted"]
    assert [event.aggregate_version for event in events] == [1, 2, 3, 4]
    assert {event.actor for event in events} == {f"user:{stage.ada.id}"}
    assert {event.source for event in events} == {"/rota/tasks"}
    assert events[1].data.changes[0].old.string_value == "Water the plants"


async def test_a_refused_change_tells_nothing(stage: Stage) -> None:
    task = await stage.create()
    with pytest.raises(Exception, match="title"):
        await stage.tasks.UpdateTask(
            tasks_pb2.UpdateTaskRequest(id=task.id, update_mask=FieldMask(paths=["title"])),
            metadata=stage.ada.metadata,
        )
    connection = await asyncpg.connect(stage.database_url)
    assert await connection.fetchval("SELECT count(*) FROM events") == 1
    await connection.close()


async def test_a_member_learns_from_an_event_and_loses_access_by_one(stage: Stage) -> None:
    task = await stage.create()
    membership = stage.auth.add_member(stage.ada.workspace_id, stage.grace.id, version=5)
    await _publish(
        stage,
        NewEvent(
            stage.ada.workspace_id, stage.ada.workspace_id, 5, events_pb2.WorkspaceMemberAdded(membership=membership)
        ),
    )

    async def can_read() -> bool:
        try:
            await stage.tasks.GetTask(tasks_pb2.GetTaskRequest(id=task.id), metadata=stage.grace.metadata)
        except Exception:  # noqa: BLE001 (either answer is one)
            return False
        return True

    await eventually(can_read)
    gone = removal_of(membership)
    await _publish(stage, NewEvent(stage.ada.workspace_id, stage.ada.workspace_id, 6, gone))
    await eventually(lambda: _not(can_read()))


def removal_of(membership: object) -> events_pb2.WorkspaceMemberRemoved:
    removed = events_pb2.WorkspaceMemberRemoved(membership=membership)  # type: ignore[arg-type]
    removed.membership.version += 1
    return removed


async def _not(answer: object) -> bool:
    return not await answer  # type: ignore[misc]


async def _publish(stage: Stage, event: NewEvent) -> None:
    """Publish an event as auth would: through a log and a relay (here, the log of the database under test)."""
    database = await Database.connect(stage.database_url, size=2)
    try:
        async with database.transaction() as work:
            work.append(event)
        client = await nats.connect(stage.nats_url)
        async with database.connection() as connection:
            await Relay(database, client, "/rota/auth").publish_batch(connection)
        await client.close()
    finally:
        await database.close()


async def test_a_rebuild_from_the_log_equals_the_live_table_and_repairs_a_broken_one(stage: Stage) -> None:
    chance = random.Random(7)  # noqa: S311 (which changes happen, not a secret)
    tasks = [await stage.create(f"task {number}") for number in range(12)]

    async def change(task: tasks_pb2.Task) -> None:
        for _ in range(chance.randrange(6)):
            metadata = stage.ada.metadata
            match chance.randrange(4):
                case 0:
                    await stage.tasks.CompleteTask(tasks_pb2.CompleteTaskRequest(id=task.id), metadata=metadata)
                case 1:
                    await stage.tasks.ReopenTask(tasks_pb2.ReopenTaskRequest(id=task.id), metadata=metadata)
                case 2:
                    request = tasks_pb2.UpdateTaskRequest(
                        id=task.id, description=str(chance.random()), update_mask=FieldMask(paths=["description"])
                    )
                    await stage.tasks.UpdateTask(request, metadata=metadata)
                case 3:
                    request = tasks_pb2.AssignTaskRequest(id=task.id, assignee_id=str(stage.ada.id))
                    await stage.tasks.AssignTask(request, metadata=metadata)

    await asyncio.gather(*(change(task) for task in tasks))
    await stage.tasks.DeleteTask(tasks_pb2.DeleteTaskRequest(id=tasks[0].id), metadata=stage.ada.metadata)

    database = await Database.connect(stage.database_url, size=2)
    rebuilt = await rebuild(database)
    assert (rebuilt.rows, rebuilt.differences) == (11 + 1, 0)

    connection = await asyncpg.connect(stage.database_url)
    await connection.execute("UPDATE tasks SET title = 'broken' WHERE id = $1", tasks[1].id)
    await connection.execute("DELETE FROM tasks WHERE id = $1", tasks[2].id)
    await connection.close()
    assert (await rebuild(database)).differences == 2
    assert (await rebuild(database)).differences == 0
    await database.close()
