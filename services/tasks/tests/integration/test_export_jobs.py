"""An export on its way: who sees it, how often it begins, how long it lasts."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import orjson
import pytest
from exporting import CSV, content, start
from rota.tasks.v1 import (
    exports_pb2,
)
from rota_chassis.clock import SystemClock
from rota_chassis.errors import Conflict, NotFound, Unprocessable
from rota_chassis.ids import uuid7
from rota_chassis.memberships import Memberships
from rota_chassis.postgres.database import Database
from rota_chassis.rpc.channel import open_channel
from rota_chassis.tokens import ServiceTokens
from rota_tasks.exports import store
from rota_tasks.exports.domain import KEPT_FOR, LEASE, Export, Format, Status
from rota_tasks.exports.worker import Exporter
from rota_tasks.tasks.dependencies import Tasks

if TYPE_CHECKING:
    from conftest import Stage


async def test_another_user_does_not_see_an_export(stage: Stage) -> None:
    job = await start(stage)
    with pytest.raises(NotFound):
        await stage.exports.GetExport(exports_pb2.GetExportRequest(id=job.id), metadata=stage.grace.metadata)
    with pytest.raises(NotFound):
        await stage.exports.GetExportContent(
            exports_pb2.GetExportContentRequest(id=job.id), metadata=stage.grace.metadata
        )
    with pytest.raises(NotFound):
        await start(stage, user=stage.grace, workspace_id=str(stage.ada.workspace_id))
    with pytest.raises(NotFound) as no_project:
        await start(stage, project_id=str(uuid7()))
    assert no_project.value.code == "PROJECT_NOT_FOUND"


async def test_a_repeated_call_starts_one_export(stage: Stage) -> None:
    first, second = await asyncio.gather(*(start(stage, request_id="once") for _ in range(2)))
    assert first.id == second.id
    with pytest.raises(Unprocessable):
        await start(stage, request_id="once", format=CSV)


class Later(SystemClock):
    """The machine's time, and more."""

    def __init__(self, by: timedelta) -> None:
        self._by = by

    def now(self) -> Any:
        return super().now() + self._by


async def test_an_export_is_one_moment_in_pieces_begins_anew_and_expires(stage: Stage) -> None:
    for number in range(30):
        await stage.create(f"task {number}")
    database = await Database.connect(stage.database_url)
    channel = open_channel(stage.auth.address, ServiceTokens("tasks", "a secret of this test's, long enough"))
    tasks = Tasks(
        database, Memberships(database, channel), SystemClock(), times=cast("Any", None), actions=cast("Any", None)
    )
    now = tasks.clock.now()
    job = Export(
        id=uuid7(),
        workspace_id=stage.ada.workspace_id,
        created_by=stage.ada.id,
        format=Format.ROTA,
        project_id=None,
        created_at=now,
        updated_at=now,
    )
    try:
        async with database.transaction() as work:
            await store.insert_job(work, job, request_id=None, fingerprint=None)
            dead = await store.claim(work, now=now, lease_until=now + LEASE)
            assert dead is not None
            await store.add_part(work, dead, number=1, content="left behind")
        assert not await Exporter(tasks).write_one()
        late = replace(tasks, clock=Later(LEASE + timedelta(seconds=1)))
        assert await Exporter(late, piece=2000).write_one()
        found = await store.get(database, user_id=stage.ada.id, export_id=job.id)
        assert found is not None
        assert (found.status, found.tasks, found.tasks_total, found.parts > 5) == (Status.DONE, 30, 30, True)
        async with database.transaction() as work:
            assert not await store.save(work, dead, lease_until=now)
        lines = [orjson.loads(line) for line in (await content(stage, str(job.id))).splitlines()]
        assert [line["data"]["title"] for line in lines if line["kind"] == "task"] == [f"task {n}" for n in range(30)]
        old = Tasks(
            database,
            tasks.memberships,
            Later(KEPT_FOR + LEASE + timedelta(seconds=5)),
            times=cast("Any", None),
            actions=cast("Any", None),
        )
        assert not await Exporter(old).write_one()
        assert await store.get(database, user_id=stage.ada.id, export_id=job.id) is None
    finally:
        await channel.close()
        await database.close()


async def test_the_content_of_an_export_that_is_not_done_is_a_conflict(stage: Stage) -> None:
    database = await Database.connect(stage.database_url, size=1)
    now = SystemClock().now()
    await stage.create("known")
    job = Export(
        id=uuid7(),
        workspace_id=stage.ada.workspace_id,
        created_by=stage.ada.id,
        format=Format.CSV,
        project_id=None,
        status=Status.FAILED,
        created_at=now,
        updated_at=now,
        finished_at=now,
    )
    async with database.transaction() as work:
        await store.insert_job(work, job, request_id=None, fingerprint=None)
    await database.close()
    with pytest.raises(Conflict) as error:
        await content(stage, str(job.id))
    assert error.value.code == "EXPORT_NOT_DONE"
