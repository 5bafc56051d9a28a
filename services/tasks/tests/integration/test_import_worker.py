"""Working off imports: processes that die, replicas, claims that were lost."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import asyncpg
import pytest
from rota_chassis.clock import SystemClock
from rota_chassis.ids import uuid7
from rota_chassis.memberships import Memberships
from rota_chassis.postgres.database import Database
from rota_chassis.rpc.channel import open_channel
from rota_chassis.testing.auth import small_auth
from rota_chassis.testing.services import User
from rota_chassis.testing.waiting import eventually
from rota_chassis.tokens import ServiceTokens
from rota_tasks.imports import store
from rota_tasks.imports.domain import LEASE, MAX_ATTEMPTS, Format, Import, Status
from rota_tasks.imports.worker import Importer
from rota_tasks.rebuild import rebuild
from rota_tasks.tasks.dependencies import Tasks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from rota_chassis.testing.service_plugin import MakeDatabase
    from rota_chassis.testing.tokens import TokenIssuer

SECRET = "a secret for tests of services, long enough"
WORK = """
import asyncio, sys
from rota_chassis.clock import SystemClock
from rota_chassis.memberships import Memberships
from rota_chassis.postgres.database import Database
from rota_chassis.rpc.channel import open_channel
from rota_chassis.tokens import ServiceTokens
from rota_tasks.imports.worker import Importer
from rota_tasks.tasks.dependencies import Tasks

async def main(url, auth, secret):
    database = await Database.connect(url)
    async with open_channel(auth, ServiceTokens("tasks", secret)) as channel:
        tasks = Tasks(database, Memberships(database, channel), SystemClock(), times=None, actions=None)
        await Importer(tasks, channel, batch=20).run()

asyncio.run(main(*sys.argv[1:]))
"""


class Later(SystemClock):
    """The machine's time and half a minute: leases that run now are over."""

    def now(self) -> datetime:
        return super().now() + LEASE + timedelta(seconds=1)


class Bench:
    """A database with an import, and workers to be had."""

    def __init__(self, url: str, database: Database, channel: Any, auth_address: str, user: User) -> None:
        self.url = url
        self.database = database
        self.auth_address = auth_address
        self.user = user
        self._channel = channel

    def importer(self, clock: SystemClock | None = None, **bounds: int) -> Importer:
        tasks = Tasks(
            self.database,
            Memberships(self.database, self._channel),
            clock or SystemClock(),
            times=cast("Any", None),
            actions=cast("Any", None),
        )
        return Importer(tasks, self._channel, **bounds)

    async def queue(self, content: str, **fields: Any) -> Import:
        now = SystemClock().now()
        values: dict[str, Any] = {
            "format": Format.CSV,
            "source": "csv",
            "project_id": None,
            "dry_run": False,
            "people": {},
            "columns": {},
            "status": Status.QUEUED,
        }
        job = Import(
            id=uuid7(),
            workspace_id=self.user.workspace_id,
            created_by=self.user.id,
            created_at=now,
            updated_at=now,
            **values | fields,
        )
        async with self.database.transaction() as work:
            await store.insert_job(work, job, request_id=None, fingerprint=None)
            await store.add_part(work, job, number=1, content=content)
        return job

    async def look(self, job: Import) -> Import:
        found = await store.get(self.database, user_id=self.user.id, import_id=job.id)
        assert found is not None
        return found

    async def titles(self) -> list[str]:
        connection = await asyncpg.connect(self.url)
        try:
            return [row["title"] for row in await connection.fetch("SELECT title FROM tasks ORDER BY id")]
        finally:
            await connection.close()


@pytest.fixture
async def bench(make_database: MakeDatabase, issuer: TokenIssuer) -> AsyncIterator[Bench]:
    url = await make_database("tasks")
    user = User(issuer)
    async with small_auth() as auth, open_channel(auth.address, ServiceTokens("tasks", SECRET)) as channel:
        auth.add_user(user)
        database = await Database.connect(url)
        await Memberships(database, channel).refresh(user.id)
        yield Bench(url, database, channel, auth.address, user)
        await database.close()


async def test_an_import_whose_process_is_killed_between_batches_goes_on_where_it_was(bench: Bench) -> None:
    rows = 3000
    job = await bench.queue("id,title,labels\n" + "".join(f"{n},task {n},red\n" for n in range(rows)))
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", WORK, bench.url, bench.auth_address, SECRET)

    async def has_begun() -> bool:
        return (await bench.look(job)).progress.cursor >= 100

    await eventually(has_begun, timeout_s=60)
    os.kill(process.pid, signal.SIGKILL)
    assert await process.wait() == -signal.SIGKILL
    left = await bench.look(job)
    assert left.status is Status.RUNNING
    assert 100 <= left.progress.cursor < rows
    assert len(await bench.titles()) == left.progress.cursor
    assert not await bench.importer().work_off_one()
    assert await bench.importer(Later()).work_off_one()
    done = await bench.look(job)
    assert (done.status, done.progress.cursor, done.progress.counts["task"].created) == (Status.DONE, rows, rows)
    assert await bench.titles() == [f"task {n}" for n in range(rows)]
    assert (await rebuild(bench.database)).differences == 0


async def test_replicas_work_off_each_import_once(bench: Bench) -> None:
    jobs = [await bench.queue(f"title\ntask {n}\n", source=str(n)) for n in range(6)]

    async def until_idle(importer: Importer) -> None:
        while await importer.work_off_one():
            pass

    await asyncio.gather(*(until_idle(bench.importer()) for _ in range(3)))
    assert sorted(await bench.titles()) == [f"task {n}" for n in range(6)]
    assert {(await bench.look(job)).status for job in jobs} == {Status.DONE}


async def test_who_slept_over_their_lease_writes_nothing_more(bench: Bench) -> None:
    job = await bench.queue("title\nWater\n")
    async with bench.database.transaction() as work:
        now = SystemClock().now()
        slept = await store.claim(work, now=now, lease_until=now + LEASE)
    assert slept is not None
    assert await bench.importer(Later()).work_off_one()
    async with bench.database.transaction() as work:
        assert not await store.renew(work, slept, lease_until=now + LEASE)
    assert (await bench.look(job)).status is Status.DONE


async def test_an_import_that_never_goes_on_is_given_up(bench: Bench) -> None:
    job = await bench.queue("title\nWater\n")
    async with bench.database.connection() as connection:
        await connection.execute("UPDATE imports SET attempts = $1", MAX_ATTEMPTS)
    assert await bench.importer().work_off_one()
    failed = await bench.look(job)
    assert (failed.status, [each.code for each in failed.progress.problems]) == (Status.FAILED, ["GAVE_UP"])


async def test_an_import_of_someone_who_may_no_longer_write_stops(bench: Bench) -> None:
    job = await bench.queue("title\nWater\n")
    async with bench.database.connection() as connection:
        await connection.execute("UPDATE memberships SET role = 'viewer', version = 99")
    assert await bench.importer().work_off_one()
    failed = await bench.look(job)
    assert (failed.status, [each.code for each in failed.progress.problems]) == (
        Status.FAILED,
        ["WORKSPACE_ROLE_REQUIRED"],
    )
    assert await bench.titles() == []


async def test_an_import_that_waits_in_vain_is_cancelled(bench: Bench) -> None:
    job = await bench.queue("title\nWater\n", status=Status.WAITING)

    class Tomorrow(SystemClock):
        def now(self) -> datetime:
            return super().now() + timedelta(days=1, seconds=1)

    assert not await bench.importer(Tomorrow()).work_off_one()
    assert (await bench.look(job)).status is Status.CANCELLED


async def test_a_file_with_more_records_than_there_may_be_stops_there(bench: Bench) -> None:
    job = await bench.queue("title\n" + "Water\n" * 5)
    assert await bench.importer(batch=2, most=3).work_off_one()
    stopped = await bench.look(job)
    assert (stopped.status, stopped.progress.cursor) == (Status.FAILED, 3)
    assert [(each.place, each.code) for each in stopped.progress.problems] == [("line 5", "TOO_MANY_RECORDS")]
