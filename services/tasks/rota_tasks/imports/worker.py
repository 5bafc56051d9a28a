"""Works off imports in the background: a batch of records in a transaction, in which the job's progress is written too.

The job's row is authoritative. Any number of workers, in any number of processes, claim jobs under a lease, which each
batch prolongs. What can go wrong:

- The process dies: nothing of its last batch is there. The lease ends, another claims the job, reads the file from the
  top again and skips the records that the cursor counts.
- It sleeps over its lease: the fence keeps it from writing.
- It is cancelled meanwhile: the next batch finds that, holding the row, and leaves.
- The same records come again, in this file or another from the same source: they are known by their keys.
- A file brings its process down each time: after some attempts without progress the import has failed.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING

from rota_chassis.errors import NotFound, PermissionDenied, Unavailable
from rota_chassis.identity import Principal, acting_as
from rota_chassis.logs import logger
from rota_chassis.memberships import WRITERS

from rota_tasks.imports import recurring, store
from rota_tasks.imports.domain import (
    LEASE,
    MAX_ATTEMPTS,
    MAX_RECORDS,
    WAITS_FOR,
    Import,
    Problem,
    Progress,
    Status,
    Unreadable,
)
from rota_tasks.imports.formats import READERS
from rota_tasks.imports.people import people_of
from rota_tasks.imports.writer import Writer
from rota_tasks.polling import work_off

if TYPE_CHECKING:
    from collections.abc import Iterator

    import grpc
    from rota_chassis.postgres.work import UnitOfWork

    from rota_tasks.imports.domain import Record
    from rota_tasks.imports.people import People
    from rota_tasks.tasks.dependencies import Tasks

BATCH = 500
POLL_S = 2.0
_LOG = logger(__name__)


class Importer:
    """Claims imports and works them off, one at a time.

    Args:
        tasks: Database, memberships, clock, and the scheduler's word on what recurs.
        auth: Knows the addresses of members.
        batch: Records in one transaction.
        most: Records of one file.
    """

    def __init__(self, tasks: Tasks, auth: grpc.aio.Channel, *, batch: int = BATCH, most: int = MAX_RECORDS) -> None:
        self._tasks = tasks
        self._auth = auth
        self._batch = batch
        self._most = most
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """There may be something to do."""
        self._woken.set()

    async def run(self) -> None:
        """Work until cancelled; while what it needs is away, try again every two seconds."""
        await work_off(self.work_off_one, "imports", every_s=POLL_S, woken=self._woken)

    async def work_off_one(self) -> bool:
        """Claim an import and work it off; whether there was one.

        Raises:
            Unavailable: the database, auth or the scheduler does not answer; the import goes on from where it is.
        """
        now = self._tasks.clock.now()
        async with self._tasks.database.transaction() as work:
            await store.give_up_waiting(work, now=now, stale=now - WAITS_FOR)
            job = await store.claim(work, now=now, lease_until=now + LEASE)
        if job is None:
            return False
        try:
            with acting_as(Principal(user_id=job.created_by, workspace_id=job.workspace_id)):
                await self._work_off(job)
        except (Unavailable, asyncio.CancelledError):
            await asyncio.shield(self._release(replace(job, attempts=job.attempts - 1)))
            raise
        except Exception as error:  # noqa: BLE001 (whatever is wrong with one import, the others go on)
            _LOG.error("import.interrupted", import_id=job.id, attempts=job.attempts, exc_info=error)
            await self._release(job)
        return True

    async def _release(self, job: Import) -> None:
        try:
            async with self._tasks.database.transaction() as work:
                await store.release(work, job, now=self._tasks.clock.now() - timedelta(seconds=1))
        except Unavailable:
            # The lease ends by itself.
            return

    async def _work_off(self, job: Import) -> None:
        if job.attempts > MAX_ATTEMPTS:
            await self._stop(job, Problem("", "GAVE_UP", "It could not be worked off; tell the operator."))
            return
        if job.dry_run:
            # What it would have created before is not remembered.
            job = replace(job, progress=Progress())
        people = await people_of(self._tasks.database, self._auth, job)
        parts = await store.parts(self._tasks.database, job)
        reader = READERS[job.format](parts, job.columns)
        await asyncio.to_thread(_skip, reader, job.progress.cursor)
        writer = Writer(job, people)
        try:
            left = self._most - job.progress.cursor
            records, problem = await asyncio.to_thread(_next, reader, self._batch, left)
            while job.status is Status.RUNNING:
                # While the database writes these, the next are read.
                left -= len(records)
                following, (next_records, next_problem) = await asyncio.gather(
                    self._write(job, writer, people, records, problem),
                    asyncio.to_thread(_next, reader, self._batch, left),
                )
                if following is None:
                    return
                job, records, problem = following, next_records, next_problem
        except (NotFound, PermissionDenied) as error:
            await self._stop(job, Problem("", error.code, error.detail))

    async def _write(
        self, job: Import, writer: Writer, people: People, records: list[Record], problem: Problem | None
    ) -> Import | None:
        """The job after a batch; None when it is no longer this claim's to work on."""
        planned = await recurring.planned(self._tasks, records)

        async def act(work: UnitOfWork) -> Import | None:
            now = self._tasks.clock.now()
            if not await store.renew(work, job, lease_until=now + LEASE):
                return None
            await self._tasks.memberships.require(job.created_by, job.workspace_id, WRITERS, reader=work)
            outcome = await writer.write(work, planned, now=now)
            begun = job.progress.cursor > 0
            problems = [*(() if begun else people.problems), *outcome.problems]
            progress = job.progress.after(len(records), outcome.counts, problems)
            after = replace(job, progress=progress, attempts=0, updated_at=now)
            if problem is not None:
                after = replace(after, status=Status.FAILED, progress=progress.stopped_by(problem), finished_at=now)
            elif len(records) < self._batch:
                after = replace(after, status=Status.DONE, finished_at=now)
            await store.save(work, after)
            if after.finished_at is not None:
                await store.drop_parts(work, after)
            return after

        return await self._tasks.database.ordered(act, *writer.locks)

    async def _stop(self, job: Import, problem: Problem) -> None:
        now = self._tasks.clock.now()
        async with self._tasks.database.transaction() as work:
            if await store.renew(work, job, lease_until=now):
                stopped = replace(
                    job,
                    status=Status.FAILED,
                    progress=job.progress.stopped_by(problem),
                    updated_at=now,
                    finished_at=now,
                )
                await store.save(work, stopped)
                await store.drop_parts(work, job)


def _skip(reader: Iterator[Record], records: int) -> None:
    for _ in islice(reader, records):
        pass


def _next(reader: Iterator[Record], batch: int, left: int) -> tuple[list[Record], Problem | None]:
    """The next records of those that are left, and what ends the file before its time, if anything does."""
    records: list[Record] = []
    try:
        for record in islice(reader, batch):
            if len(records) >= left:
                detail = f"A file has at most {MAX_RECORDS} records; split it, and import the rest as another."
                return records, Problem(record.place, "TOO_MANY_RECORDS", detail)
            records.append(record)
    except Unreadable as error:
        return records, error.problem
    return records, None
