"""What concerns no handler costs next to nothing, and never keeps the rest."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from consuming import consumer, dead_letters, effects, handled, publish, settled
from effects import EFFECTS
from rota_chassis.errors import Unavailable
from rota_chassis.ids import uuid7
from rota_chassis.postgres.statements import statement
from rota_chassis.testing.waiting import eventually, in_background

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    import asyncpg
    from nats.aio.client import Client
    from rota_chassis.events.envelope import Event
    from rota_chassis.events.log import NewEvent
    from rota_chassis.postgres.database import Database
    from rota_chassis.postgres.work import UnitOfWork

    Created = Callable[..., NewEvent]


async def test_events_of_other_types_are_not_delivered(
    database: Database, client: Client, connection: asyncpg.Connection, created: Created
) -> None:
    await client.jetstream().publish("rota.events.v1.w.task.deleted", b"{}")
    await publish(client, created())
    async with in_background(consumer(database, client).run()):
        await handled(client, connection, 1)
    assert await dead_letters(client) == []


async def test_an_event_that_there_is_nothing_to_do_about_leaves_nothing_behind(
    database: Database, client: Client, connection: asyncpg.Connection, created: Created
) -> None:
    woken = asyncio.Event()
    seen: list[UUID] = []

    async def pass_over(work: UnitOfWork, event: Event) -> None:
        if not await work.ahead.fetch(statement(EFFECTS.select())):
            seen.append(event.aggregate_id)

    await publish(client, *(created() for _ in range(3)))
    async with in_background(consumer(database, client, pass_over, after_commit=woken.set).run()):
        await eventually(lambda: len(seen) == 3)
        await eventually(lambda: settled(client))
    assert await connection.fetchval("SELECT count(*) FROM inbox") == 0
    assert not woken.is_set()


async def test_what_concerns_no_handler_is_acknowledged_and_the_rest_is_handled_in_order(
    database: Database, client: Client, connection: asyncpg.Connection, created: Created
) -> None:
    asked: list[int] = []
    passed_over = uuid7()

    async def concerned(events: Sequence[Event]) -> set[UUID]:
        asked.append(len(events))
        return {event.id for event in events if event.aggregate_id != passed_over}

    tasks = [uuid7() for _ in range(10)]
    await publish(client, *(created(task_id, version) for version in range(1, 6) for task_id in [*tasks, passed_over]))
    async with in_background(consumer(database, client, concerned=concerned).run()):
        await handled(client, connection, 50)
    found = await effects(connection)
    for task_id in tasks:
        assert [version for each, version in found if each == task_id] == [1, 2, 3, 4, 5]
    assert len(found) == 50
    assert sum(asked) == 55
    assert await connection.fetchval("SELECT count(*) FROM inbox") == 50


async def test_when_nobody_knows_what_concerns_a_handler_it_gets_everything(
    database: Database, client: Client, connection: asyncpg.Connection, created: Created
) -> None:
    async def fail(_events: Sequence[Event]) -> set[UUID]:
        raise Unavailable("the database does not answer")

    await publish(client, *(created() for _ in range(5)))
    async with in_background(consumer(database, client, concerned=fail).run()):
        await handled(client, connection, 5)
