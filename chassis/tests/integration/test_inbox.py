"""What is forgotten of the events that were handled."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from rota.events.v1 import inbox_pb2
from rota_chassis.events.inbox import INBOX_KEPT, InboxServicer
from rota_chassis.ids import uuid7
from rota_chassis.postgres.database import Database
from rota_chassis.testing.clock import ManualClock

if TYPE_CHECKING:
    import asyncpg


async def test_several_that_forget_at_once_forget_each_event_that_cannot_come_again_once(
    tables_url: str, connection: asyncpg.Connection
) -> None:
    clock = ManualClock()
    workspace_id, now = uuid7(), clock.now()
    ages = [timedelta(0), INBOX_KEPT - timedelta(seconds=1), *([INBOX_KEPT + timedelta(seconds=1)] * 10)]
    await connection.executemany(
        "INSERT INTO inbox VALUES ($1, 'test', $2, $3)", [(workspace_id, uuid7(), now - age) for age in ages]
    )
    database = await Database.connect(tables_url)
    try:
        inbox = InboxServicer(database, clock)
        forgotten = 0
        while True:
            request = inbox_pb2.ForgetHandledEventsRequest(limit=3)
            answers = await asyncio.gather(*(inbox.ForgetHandledEvents(request, None) for _ in range(2)))
            if not any(each.forgotten for each in answers):
                break
            forgotten += sum(each.forgotten for each in answers)
    finally:
        await database.close()
    assert forgotten == 10
    assert await connection.fetchval("SELECT count(*) FROM inbox") == 2
