"""Timers follow the events of tasks and fire once."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rota.events.v1 import events_pb2
from rota.tasks.v1 import tasks_pb2
from rota_chassis.events.consumer import Consumer
from rota_chassis.ids import uuid7
from rota_scheduler.timers.firing import Timers, fire_timers
from rota_scheduler.timers.handlers import handlers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from rota_chassis.events.envelope import Event
    from rota_chassis.postgres.database import Database
    from rota_chassis.testing.clock import ManualClock

    Events = Callable[[], Awaitable[list[Any]]]

SECOND = timedelta(seconds=1)


async def receive(database: Database, *events: Event) -> None:
    """Let the service's consumer handle the events, as delivered in this order."""
    consumer = Consumer("scheduler", handlers(), database=database, nats=None)  # type: ignore[arg-type]
    for event in events:
        await consumer.handle(event)


async def fire(database: Database, clock: ManualClock) -> None:
    await fire_timers(Timers(database, clock))


async def test_a_reminder_fires_at_its_time_and_tells_the_assignees(
    database: Database, clock: ManualClock, task: Any, events: Events
) -> None:
    remind_at, assignees = clock.now() + SECOND, [task.message.created_by[:-1] + digit for digit in "01"]
    await receive(database, task.event("task.created", 1, remind_at=remind_at, assignee_ids=assignees))
    assert await fire_timers(Timers(database, clock)) == remind_at
    assert await events() == []
    clock.advance(1)
    assert await fire_timers(Timers(database, clock)) is None
    (fired,) = await events()
    assert fired.kind == events_pb2.REMINDER_KIND_REMINDER
    assert fired.task_id == task.message.id
    assert fired.title == "Water the plants"
    assert fired.fire_at == task.message.remind_at
    assert list(fired.recipient_ids) == assignees


async def test_a_reminder_says_which_project_its_task_is_in_as_far_as_that_is_known(
    database: Database, clock: ManualClock, task: Any, events: Events
) -> None:
    project_id = str(uuid7())
    for version, fields in enumerate(({"project_id": project_id}, {"project_id": None}, {}), 1):
        kind = "task.created" if version == 1 else "task.updated"
        clock.advance(1)
        await receive(database, task.event(kind, version, remind_at=clock.now(), **fields))
        if version == 3:
            async with database.transaction() as work:
                # As one that was set before this was kept.
                await work.connection.execute("UPDATE timers SET project_id = NULL")
        await fire(database, clock)
    fired = [each.project_id if each.HasField("project_id") else None for each in await events()]
    assert fired == [project_id, "", None]


async def test_a_task_of_nobody_reminds_its_creator_and_a_due_time_alerts(
    database: Database, clock: ManualClock, task: Any, events: Events
) -> None:
    await receive(database, task.event("task.created", 1, due_at=clock.now() + SECOND))
    clock.advance(2)
    await fire(database, clock)
    (fired,) = await events()
    assert fired.kind == events_pb2.REMINDER_KIND_DUE
    assert list(fired.recipient_ids) == [task.message.created_by]


async def test_a_change_of_something_else_does_not_fire_again_and_a_new_time_does(
    database: Database, clock: ManualClock, task: Any, events: Events
) -> None:
    await receive(database, task.event("task.created", 1, remind_at=clock.now()))
    await fire(database, clock)
    await receive(database, task.event("task.updated", 2, title="Water all the plants"))
    await receive(database, task.event("task.completed", 3, status=tasks_pb2.TASK_STATUS_DONE))
    await receive(database, task.event("task.reopened", 4, status=tasks_pb2.TASK_STATUS_TODO))
    await fire(database, clock)
    assert len(await events()) == 1
    await receive(database, task.event("task.updated", 5, remind_at=clock.now() + SECOND))
    clock.advance(1)
    await fire(database, clock)
    assert [event.title for event in await events()] == ["Water the plants", "Water all the plants"]


async def test_a_completed_task_does_not_remind(
    database: Database, clock: ManualClock, task: Any, events: Events
) -> None:
    await receive(
        database,
        task.event("task.created", 1, remind_at=clock.now() + SECOND),
        task.event("task.completed", 2, status=tasks_pb2.TASK_STATUS_DONE),
    )
    clock.advance(5)
    await fire(database, clock)
    assert await events() == []


async def test_events_that_come_twice_or_in_the_wrong_order_change_nothing(
    database: Database, clock: ManualClock, task: Any, events: Events
) -> None:
    created = task.event("task.created", 1, remind_at=clock.now() + SECOND)
    moved = task.event("task.updated", 2, remind_at=clock.now() + 5 * SECOND)
    await receive(database, moved, created, moved, created)
    clock.advance(3)
    await fire(database, clock)
    assert await events() == []
    clock.advance(3)
    await fire(database, clock)
    await receive(database, moved)
    await fire(database, clock)
    assert len(await events()) == 1


async def test_a_late_event_does_not_bring_the_timers_of_a_deleted_task_back(
    database: Database, clock: ManualClock, task: Any, events: Events
) -> None:
    deleted = task.event("task.deleted", 3, remind_at=clock.now())
    await receive(database, deleted, task.event("task.updated", 2), task.event("task.created", 1))
    await fire(database, clock)
    assert await events() == []


async def test_replicas_that_fire_at_once_fire_each_timer_once(
    replicas: Sequence[Database], clock: ManualClock, task: Any, events: Events
) -> None:
    for number in range(500):
        task.message.id = f"{task.message.id[:-4]}{number:04x}"
        await receive(replicas[0], task.event("task.created", 1, remind_at=clock.now() + SECOND))
    clock.advance(1)

    async def drain(database: Database) -> None:
        while await fire_timers(Timers(database, clock)) is not None:
            pass

    await asyncio.gather(*(drain(database) for database in replicas for _ in range(2)))
    fired = [event.task_id for event in await events()]
    assert len(fired) == 500
    assert len(set(fired)) == 500


async def test_a_day_that_ends_alerts_and_reminders_before_move_with_it(
    database: Database, clock: ManualClock, task: Any, events: Events
) -> None:
    # It is noon: the day ends in eleven hours where the task is.
    created = task.event("task.created", 1, due_on="2026-01-01", time_zone="Europe/Warsaw", remind_before_s=[3600])
    await receive(database, created)
    clock.advance(10 * 3600)
    await fire(database, clock)
    clock.advance(3600)
    await fire(database, clock)
    kinds = [event.kind for event in await events()]
    assert kinds == [events_pb2.REMINDER_KIND_REMINDER, events_pb2.REMINDER_KIND_DUE]
    await receive(database, task.event("task.updated", 2, due_on="2026-01-02"))
    clock.advance(23 * 3600)
    await fire(database, clock)
    assert [event.kind for event in await events()][2:] == [events_pb2.REMINDER_KIND_REMINDER]


async def test_a_reminder_that_was_taken_off_does_not_fire_though_its_event_comes_late(
    database: Database, clock: ManualClock, task: Any, events: Events
) -> None:
    created = task.event("task.created", 1, due_at=clock.now() + 7200 * SECOND, remind_before_s=[3600, 1800])
    fewer = task.event("task.updated", 2, remind_before_s=[1800])
    await receive(database, fewer, created)
    clock.advance(3600)
    await fire(database, clock)
    assert await events() == []
    await receive(database, task.event("task.updated", 3, remind_before_s=[]))
    clock.advance(1800)
    await fire(database, clock)
    assert await events() == []
