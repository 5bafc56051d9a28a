"""Tasks that do something when their time has come, and show what became of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import asyncpg
import grpc.aio
import orjson
import pytest
from acting import (
    CANCELLED,
    DONE,
    DUE,
    FAILED,
    PENDING,
    RUNNING,
    SAYS,
    SUCCEEDED,
    TODO,
    UNBLOCKED,
    after,
    armed,
    ended,
    get,
    patch,
    runs,
)
from google.protobuf.json_format import MessageToDict
from rota.events.v1 import events_pb2
from rota.tasks.v1 import (
    relations_pb2,
    tasks_pb2,
    trash_pb2,
)
from rota_chassis.events.consumer import Consumer
from rota_chassis.events.envelope import Event
from rota_chassis.events.types import event_types
from rota_chassis.ids import uuid7
from rota_chassis.memberships import Memberships
from rota_chassis.postgres.database import Database
from rota_chassis.postgres.statements import statement
from rota_chassis.testing.waiting import eventually
from rota_tasks.executions.handlers import handlers
from rota_tasks.tasks.dependencies import Tasks
from sqlalchemy import bindparam, func, select

if TYPE_CHECKING:
    from conftest import Stage
    from rota_chassis.testing.clock import ManualClock

# Nobody listens there, and it is not tried again.
FAILS = {"http": {"url": "http://127.0.0.1:1/hook"}, "retry": {"max_attempts": 1}}

_TERMINATE = statement(select(func.pg_terminate_backend(bindparam("pid"))))


async def complete(stage: Stage, task_id: str) -> None:
    await stage.tasks.CompleteTask(tasks_pb2.CompleteTaskRequest(id=task_id), metadata=stage.ada.metadata)


async def block(stage: Stage, blocker: Any, task: Any) -> None:
    request = relations_pb2.CreateRelationRequest(
        id=blocker.id, type=relations_pb2.RELATION_TYPE_BLOCKS, task_id=task.id
    )
    await stage.relations.CreateRelation(request, metadata=stage.ada.metadata)


async def failures(stage: Stage) -> list[Any]:
    """What has been told of actions that failed."""
    connection = await asyncpg.connect(stage.database_url)
    try:
        rows = await connection.fetch("SELECT data FROM events WHERE type = 'task_run.failed' ORDER BY position")
    finally:
        await connection.close()
    return [event_types()["task_run.failed"].decode(orjson.loads(row["data"])) for row in rows]


async def test_a_task_takes_its_action_when_it_is_due_and_is_completed(
    stage: Stage, clock: ManualClock, scheduler_url: str
) -> None:
    task = await stage.create(action=SAYS, due_at=after(clock, 60))
    assert MessageToDict(task.action) == SAYS
    assert (task.run_when, task.complete_on_success, task.HasField("run")) == (DUE, True, False)
    assert task.action_state.given_by == str(stage.ada.id)
    await armed(scheduler_url, 1)
    assert await runs(scheduler_url) == []
    clock.advance(60)
    task = await ended(stage, task.id)
    assert (task.status, task.completed_by) == (DONE, str(stage.ada.id))
    assert task.run.HasField("started_at")
    assert [(str(each["id"]), each["status"]) for each in await runs(scheduler_url)] == [(task.run.id, "succeeded")]


async def test_a_task_whose_action_fails_stays_open_and_says_why(stage: Stage, clock: ManualClock) -> None:
    task = await stage.create(action=FAILS, due_at=after(clock, -5))
    task = await ended(stage, task.id, FAILED)
    assert task.status == TODO
    assert task.run.error


async def test_a_task_says_that_its_action_is_being_taken(stage: Stage, clock: ManualClock) -> None:
    called, answers = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        called.set()
        await answers.wait()
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        action = {"http": {"url": f"http://127.0.0.1:{port}/hook"}, "timeout_s": 60}
        task = await stage.create(action=action, due_at=after(clock, 0))
        task = await ended(stage, task.id, RUNNING)
        assert task.run.HasField("started_at")
        assert not task.run.HasField("finished_at")
        await called.wait()
        answers.set()
        done = await ended(stage, task.id)
    assert (done.run.id, done.run.started_at) == (task.run.id, task.run.started_at)


async def test_whoever_it_concerns_is_to_be_told_of_a_failure_once(stage: Stage, clock: ManualClock) -> None:
    stage.auth.add_member(stage.ada.workspace_id, stage.grace.id)
    task = await stage.create(action=FAILS, due_at=after(clock, 0), assignee_ids=[str(stage.grace.id)])
    task = await ended(stage, task.id, FAILED)
    (told,) = await failures(stage)
    assert (told.task.id, told.task.run.error) == (task.id, task.run.error)
    assert list(told.recipient_ids) == [str(stage.grace.id), str(stage.ada.id)]
    # What became of it while a task was in the trash is told again when it comes back.
    await stage.tasks.DeleteTask(tasks_pb2.DeleteTaskRequest(id=task.id), metadata=stage.ada.metadata)
    await stage.trash.RestoreTask(trash_pb2.RestoreTaskRequest(id=task.id), metadata=stage.ada.metadata)
    again = await patch(stage, task.id, action={**FAILS, "timeout_s": 5})
    again = await ended(stage, again.id, FAILED)
    assert [each.task.run.id for each in await failures(stage)] == [task.run.id, again.run.id]


async def test_a_task_that_is_not_to_be_completed_stays_open(stage: Stage, clock: ManualClock) -> None:
    task = await stage.create(action=SAYS, due_at=after(clock, 0), complete_on_success=False)
    assert (await ended(stage, task.id)).status == TODO


async def test_a_task_takes_its_action_when_the_last_task_that_blocks_it_is_done(
    stage: Stage, scheduler_url: str
) -> None:
    task = await stage.create(action=SAYS, run_when=UNBLOCKED)
    first, second = await stage.create("first"), await stage.create("second")
    await block(stage, first, task)
    await block(stage, second, task)
    # Both at once: each sees the other open, and whoever looks afterwards sees both.
    await asyncio.gather(complete(stage, first.id), complete(stage, second.id))
    task = await ended(stage, task.id)
    assert task.status == DONE
    assert task.action_state.HasField("unblocked_at")
    assert len(await runs(scheduler_url)) == 1


async def test_a_task_that_nothing_has_blocked_waits_and_an_action_given_late_is_taken_at_once(stage: Stage) -> None:
    waiting = await stage.create(action=SAYS, run_when=UNBLOCKED)
    late, blocker = await stage.create("late"), await stage.create("blocker")
    await block(stage, blocker, late)
    await complete(stage, blocker.id)
    await patch(stage, late.id, action=SAYS, run_when=UNBLOCKED)
    await ended(stage, late.id)
    assert not (await get(stage, waiting.id)).HasField("run")


async def test_a_waiting_task_that_cannot_be_read_does_not_keep_the_others_waiting(stage: Stage) -> None:
    broken, task = [await stage.create(action=SAYS, run_when=UNBLOCKED) for _ in range(2)]
    blocker = await stage.create("blocker")
    await block(stage, blocker, broken)
    await block(stage, blocker, task)
    connection = await asyncpg.connect(stage.database_url)
    await connection.execute(
        """UPDATE tasks SET execution = execution || '{"given_by": "nobody"}' WHERE id = $1""", UUID(broken.id)
    )
    await complete(stage, blocker.id)
    assert (await ended(stage, task.id)).status == DONE
    await eventually(lambda: connection.fetchval("SELECT count(*) = 0 FROM unblockings"))
    await connection.close()


async def test_a_task_that_is_blocked_again_waits_again(stage: Stage, clock: ManualClock) -> None:
    task = await stage.create(action=SAYS, run_when=UNBLOCKED, complete_on_success=False)
    blocker = await stage.create("blocker")
    await block(stage, blocker, task)
    await complete(stage, blocker.id)
    first = (await ended(stage, task.id)).run.id
    await stage.tasks.ReopenTask(tasks_pb2.ReopenTaskRequest(id=blocker.id), metadata=stage.ada.metadata)

    async def waits() -> bool:
        return not (await get(stage, task.id)).action_state.HasField("unblocked_at")

    await eventually(waits)
    clock.advance(1)
    await complete(stage, blocker.id)

    async def runs_again() -> bool:
        run = (await get(stage, task.id)).run
        return run.id != first and run.status == SUCCEEDED

    await eventually(runs_again)


async def test_moving_the_due_date_moves_the_run_and_fires_anew_after_one(
    stage: Stage, clock: ManualClock, scheduler_url: str
) -> None:
    task = await stage.create(action=SAYS, due_at=after(clock, 10), complete_on_success=False)
    await patch(stage, task.id, due_at=after(clock, 100))
    await armed(scheduler_url, 2)
    clock.advance(20)
    await patch(stage, task.id, title="Water them")
    await armed(scheduler_url, 3)
    assert await runs(scheduler_url) == []
    clock.advance(80)
    first = (await ended(stage, task.id)).run.id
    await patch(stage, task.id, due_at=after(clock, -1))

    async def again() -> bool:
        run = (await get(stage, task.id)).run
        return run.id != first and run.status == SUCCEEDED

    await eventually(again)
    assert len(await runs(scheduler_url)) == 2


@pytest.mark.parametrize("how", ["complete", "delete", "clear"])
async def test_what_has_not_started_is_not_started_any_more(
    stage: Stage, clock: ManualClock, scheduler_url: str, how: str
) -> None:
    task = await stage.create(action=SAYS, due_at=after(clock, 10))
    if how == "complete":
        await complete(stage, task.id)
    elif how == "delete":
        await stage.tasks.DeleteTask(tasks_pb2.DeleteTaskRequest(id=task.id), metadata=stage.ada.metadata)
    else:
        cleared = await patch(stage, task.id, action=None)
        assert not cleared.HasField("action")
        assert not cleared.HasField("action_state")
    await armed(scheduler_url, 2)
    clock.advance(20)
    other = await stage.create(action=SAYS, due_at=after(clock, 0))
    await ended(stage, other.id)
    assert len(await runs(scheduler_url)) == 1
    if how == "delete":
        await stage.trash.RestoreTask(trash_pb2.RestoreTaskRequest(id=task.id), metadata=stage.ada.metadata)
        assert (await ended(stage, task.id)).status == DONE


async def test_a_run_that_waits_is_cancelled_when_its_task_is_completed(
    stage: Stage, clock: ManualClock, scheduler_url: str
) -> None:
    # A job that nobody takes waits for ever.
    task = await stage.create(action={"job": {"queue": "watering"}}, due_at=after(clock, 0))
    task = await ended(stage, task.id, PENDING)
    await complete(stage, task.id)
    task = await ended(stage, task.id, CANCELLED)
    assert task.status == DONE
    assert [each["status"] for each in await runs(scheduler_url)] == ["cancelled"]


async def test_what_became_of_a_run_while_its_task_was_in_the_trash_is_known_when_it_is_back(
    stage: Stage, clock: ManualClock
) -> None:
    task = await stage.create(action={"job": {"queue": "watering"}}, due_at=after(clock, 0))
    await ended(stage, task.id, PENDING)
    await stage.tasks.DeleteTask(tasks_pb2.DeleteTaskRequest(id=task.id), metadata=stage.ada.metadata)
    await stage.trash.RestoreTask(trash_pb2.RestoreTaskRequest(id=task.id), metadata=stage.ada.metadata)
    assert (await ended(stage, task.id, CANCELLED)).status == TODO


async def test_a_run_and_a_completion_at_once_leave_one_end(
    stage: Stage, clock: ManualClock, scheduler_url: str
) -> None:
    tasks = [await stage.create(f"task {n}", action=SAYS, due_at=after(clock, 1)) for n in range(8)]
    await armed(scheduler_url, 1)
    clock.advance(1)
    await asyncio.gather(*(complete(stage, task.id) for task in tasks))

    async def settled() -> bool:
        found = [await get(stage, task.id) for task in tasks]
        assert all(each.status == DONE for each in found)
        open_runs = [each for each in await runs(scheduler_url) if each["status"] in ("pending", "running")]
        return not open_runs and all(each.run.status != PENDING for each in found)

    await eventually(settled)


async def test_dying_while_an_end_is_noted_leaves_it_to_the_next_and_it_is_noted_once(
    stage: Stage, clock: ManualClock
) -> None:
    # A job that nobody takes: its end is told here, as the scheduler would.
    task = await stage.create(action={"job": {"queue": "watering"}}, due_at=after(clock, 0))
    task = await ended(stage, task.id, PENDING)
    database = await Database.connect(stage.database_url)
    killer = await Database.connect(stage.database_url)
    channel = grpc.aio.insecure_channel("unix:/nowhere")
    try:
        tasks = Tasks(
            database, Memberships(database, channel), clock, times=cast("Any", None), actions=cast("Any", None)
        )
        told = events_pb2.TaskRunEnded(task_id=task.id, action_id=task.action_state.id, run=task.run)
        told.run.status = SUCCEEDED
        event = Event(
            id=uuid7(),
            type="task_run.ended",
            source="/rota/scheduler",
            workspace_id=stage.ada.workspace_id,
            aggregate_id=uuid7(),
            aggregate_version=2,
            actor="system",
            time=clock.now(),
            data=told,
        )
        handle = handlers(tasks)["task_run.ended"]

        async def die(work: Any, heard: Event) -> None:
            await handle(work, heard)
            await killer.fetch(_TERMINATE, pid=work.connection.get_server_pid())

        dying = Consumer("tasks", {"task_run.ended": die}, database=database, nats=None)  # type: ignore[arg-type]
        with pytest.raises(Exception, match="database does not answer"):
            await dying.handle(event)
        assert (await get(stage, task.id)).run.status == PENDING
        living = Consumer("tasks", handlers(tasks), database=database, nats=None)  # type: ignore[arg-type]
        assert sorted(await asyncio.gather(*(living.handle(event) for _ in range(3)))) == [
            "duplicate",
            "duplicate",
            "handled",
        ]
        done = await get(stage, task.id)
        assert (done.status, done.run.status, done.version) == (DONE, SUCCEEDED, task.version + 2)
        # An action that the task has no more is not its business.
        told.action_id = str(uuid7())
        told.run.status = FAILED
        await living.handle(replace(event, id=uuid7()))
        assert (await get(stage, task.id)).version == done.version
    finally:
        await channel.close()
        await killer.close()
        await database.close()
