"""Events in, events and actions out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from rota.scheduler.v1 import schedules_pb2
from rota.tasks.v1 import tasks_pb2
from rota_chassis.ids import uuid7
from rota_chassis.testing.waiting import eventually

if TYPE_CHECKING:
    from conftest import World


async def test_a_reminder_set_two_seconds_ahead_is_published_on_time(world: World) -> None:
    remind_at = datetime.now(UTC) + timedelta(seconds=2)
    task = tasks_pb2.Task(
        id=str(uuid7()),
        workspace_id=str(world.owner.workspace_id),
        title="Water the plants",
        status=tasks_pb2.TASK_STATUS_TODO,
        created_by=str(world.owner.id),
    )
    task.remind_at.FromDatetime(remind_at)
    task.created_at.FromDatetime(datetime.now(UTC))
    await world.publish_task(task)
    fired = await world.next_event("reminder.fired")
    assert fired.data.task_id == task.id
    assert list(fired.data.recipient_ids) == [str(world.owner.id)]
    assert timedelta(0) <= fired.time - remind_at < timedelta(seconds=0.5)


async def test_a_schedule_creates_a_task_for_its_creator_once_though_the_first_answer_gets_lost(
    world: World,
) -> None:
    schedule = await world.create(at=datetime.now(UTC))

    async def finished() -> Any:
        return [run for run in (await world.runs(schedule)).runs if run.HasField("finished_at")]

    (run,) = await eventually(finished)
    assert run.status == schedules_pb2.RUN_STATUS_SUCCEEDED
    assert run.attempts == 2
    assert [task.id for task in world.tasks.tasks.values()] == [run.task_id]
    principal, request = world.tasks.calls[-1]
    assert principal is not None
    assert (principal.user_id, principal.service) == (world.owner.id, "scheduler")
    assert (request.request_id, request.workspace_id) == (run.id, schedule.workspace_id)
    event = await world.next_event("run.finished")
    assert event.data.run == run
