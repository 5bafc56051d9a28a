"""Calls with a request id are remembered for as long as somebody may repeat them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from rota.tasks.v1 import requests_pb2
from rota_chassis.ids import uuid7
from rota_chassis.postgres.database import Database
from rota_chassis.postgres.statements import statement
from rota_chassis.testing.clock import ManualClock
from rota_tasks.requests.servicer import REQUESTS_KEPT, RequestServicer
from rota_tasks.requests.store import TABLES
from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from conftest import Stage
    from rota_chassis.testing.service_plugin import MakeDatabase

_RECORDS = statement(
    text(
        """
        SELECT table_name FROM information_schema.columns
        WHERE table_name LIKE '%requests' AND column_name IN ('request_id', 'created_at')
        GROUP BY table_name HAVING count(*) = 2
        """
    )
)
_COUNT = statement(text("SELECT count(*) FROM requests"))


@pytest.fixture
async def database(make_database: MakeDatabase) -> AsyncIterator[Database]:
    database = await Database.connect(await make_database("tasks"), size=4)
    yield database
    await database.close()


async def forget(servicer: RequestServicer, limit: int = 0) -> int:
    return (await servicer.ForgetRequests(requests_pb2.ForgetRequestsRequest(limit=limit), None)).forgotten


async def test_every_table_that_remembers_calls_is_cleaned(database: Database) -> None:
    assert {row["table_name"] for row in await database.fetch(_RECORDS)} == set(TABLES)


async def test_old_calls_are_forgotten_some_at_a_time_and_each_once(database: Database) -> None:
    now = datetime.now(UTC)
    old, new = now - REQUESTS_KEPT - timedelta(minutes=1), now - REQUESTS_KEPT + timedelta(minutes=1)
    async with database.transaction() as work:
        for number in range(10):
            await work.connection.execute(
                "INSERT INTO requests VALUES ($1, $2, 'key', '', $3, $4)",
                uuid7(), uuid7(), uuid7(), new if number < 2 else old,
            )  # fmt: skip
        await work.connection.execute(
            "INSERT INTO batch_requests VALUES ($1, $2, 'key', '', '', $3)", uuid7(), uuid7(), old
        )
    servicer = RequestServicer(database, ManualClock(now))
    assert await forget(servicer, 3) == 4
    assert sum(await asyncio.gather(*(forget(servicer, 4) for _ in range(3)))) + await forget(servicer) == 5
    assert (await forget(servicer), await database.fetch_value(_COUNT)) == (0, 2)


async def test_a_call_that_is_remembered_makes_nothing_again(stage: Stage) -> None:
    first = await stage.create(request_id="once")
    database = await Database.connect(stage.database_url, size=1)
    try:
        assert await forget(RequestServicer(database, ManualClock(datetime.now(UTC)))) == 0
    finally:
        await database.close()
    assert (await stage.create(request_id="once")).id == first.id
