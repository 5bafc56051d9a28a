"""Writes exports in the background.

One transaction sees one moment from the first row to the last, while others add the pieces of the file and say how far
it is.

Any number of workers claim jobs under a lease, which each piece prolongs. A process that dies takes its moment along:
the lease ends, and another begins anew, with an empty file. A fence keeps one that slept over its lease from writing.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from rota_chassis.errors import NotFound, Unavailable
from rota_chassis.identity import ROLE_USER, UserPrincipal
from rota_chassis.logs import logger
from rota_chassis.postgres.work import UnitOfWork

from rota_tasks.exports import store
from rota_tasks.exports.domain import KEPT_FOR, LEASE, MAX_ATTEMPTS, Export, Status
from rota_tasks.exports.files import LINES
from rota_tasks.exports.snapshot import Snapshot
from rota_tasks.polling import work_off
from rota_tasks.tasks.requirements import require_project

if TYPE_CHECKING:
    from rota_tasks.tasks.dependencies import Tasks

PIECE = 500_000
POLL_S = 2.0
_LOG = logger(__name__)


class Exporter:
    """Claims exports and writes them, one at a time.

    Args:
        tasks: Database, memberships and clock.
        piece: Characters of a piece of a file, about.
    """

    def __init__(self, tasks: Tasks, *, piece: int = PIECE) -> None:
        self._tasks = tasks
        self._piece = piece
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """There may be something to do."""
        self._woken.set()

    async def run(self) -> None:
        """Work until cancelled; while the database is away, try again every two seconds."""
        await work_off(self.write_one, "exports", every_s=POLL_S, woken=self._woken)

    async def write_one(self) -> bool:
        """Claim an export and write it; whether there was one.

        Raises:
            Unavailable: the database does not answer; the export begins anew when its lease ends.
        """
        now = self._tasks.clock.now()
        async with self._tasks.database.transaction() as work:
            await store.delete_old(work, before=now - KEPT_FOR)
            job = await store.claim(work, now=now, lease_until=now + LEASE)
        if job is None:
            return False
        try:
            await self._tasks.memberships.require(job.created_by, job.workspace_id)
            user = UserPrincipal(job.created_by, job.workspace_id, ROLE_USER, None)
            await require_project(self._tasks.database, user, job.workspace_id, job.project_id, None)
            if job.attempts > MAX_ATTEMPTS:
                await self._end(job, Status.FAILED)
            else:
                await self._write(job)
        except NotFound:
            await self._end(job, Status.FAILED)
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 (whatever is wrong with one export, the others go on)
            _LOG.error("export.failed", export_id=job.id, exc_info=error)
            await self._end(job, Status.FAILED)
        return True

    async def _write(self, job: Export) -> None:
        async with (
            self._tasks.database.connection() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            await connection.execute("SET LOCAL statement_timeout = '5min'")
            snapshot = Snapshot(
                UnitOfWork.joining(connection),
                user_id=job.created_by,
                workspace_id=job.workspace_id,
                project_id=job.project_id,
            )
            job = replace(job, tasks_total=await snapshot.count())
            lines: list[str] = []
            characters = tasks = records = 0
            async for kind, line in LINES[job.format](snapshot):
                lines.append(line)
                characters += len(line)
                tasks += kind == "task"
                records += kind not in ("rota", "header", "end")
                if characters >= self._piece:
                    added = await self._add(replace(job, tasks=job.tasks + tasks, records=job.records + records), lines)
                    if added is None:
                        return
                    job, lines = added, []
                    characters = tasks = records = 0
        job = replace(job, tasks=job.tasks + tasks, records=job.records + records)
        if await self._add(job, lines, last=True) is None:
            _LOG.warning("export.claim_lost", export_id=job.id)

    async def _add(self, job: Export, lines: list[str], *, last: bool = False) -> Export | None:
        """The job with another piece; None when it is no longer this claim's."""
        now = self._tasks.clock.now()
        content = "".join(lines)
        job = replace(job, characters=job.characters + len(content), parts=job.parts + 1, updated_at=now)
        ended = replace(job, status=Status.DONE, finished_at=now) if last else job
        async with self._tasks.database.transaction() as work:
            if not await store.save(work, ended, lease_until=now + LEASE):
                return None
            await store.add_part(work, ended, number=ended.parts, content=content)
        return ended

    async def _end(self, job: Export, status: Status) -> None:
        now = self._tasks.clock.now()
        async with self._tasks.database.transaction() as work:
            await store.save(work, replace(job, status=status, updated_at=now, finished_at=now), lease_until=now)
