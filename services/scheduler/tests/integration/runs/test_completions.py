"""What came of attempts is written in batches, each run by itself."""

from __future__ import annotations

import asyncio
import signal
import sys
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rota_chassis.errors import Unavailable
from rota_chassis.testing.waiting import eventually
from rota_scheduler.runs import claims, store
from rota_scheduler.runs.completions import FLUSH_AT, Completions
from rota_scheduler.runs.domain import LEASE, Failed, Run, Status, Succeeded
from rota_scheduler.runs.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from rota_chassis.postgres.database import Database
    from rota_chassis.testing.clock import ManualClock
    from rota_chassis.testing.service_plugin import MakeDatabase
    from rota_scheduler.runs.domain import Outcome

    MakeRun = Callable[[Mapping[str, Any]], Run]

ACTION = {"create_task": {"title": "Water the plants"}}
KILLED = """
import asyncio, os, signal, sys
from rota_chassis.clock import SystemClock
from rota_chassis.postgres.database import Database
from rota_scheduler.runs.domain import Succeeded
from rota_scheduler.runs.worker import Worker

async def main():
    database = await Database.connect(sys.argv[1], size=2)

    async def act(run):
        print(run.id, flush=True)
        # When others have ended, and nothing of it can be written yet.
        asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGKILL)
        return Succeeded()

    await Worker(database, SystemClock(), {"create_task": act}, slots=3).run()

asyncio.run(main())
"""


class Transactions:
    """A database that counts transactions, and is away when it is told to be."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.count = 0
        self.away = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    def transaction(self) -> Any:
        """One transaction."""
        if self.away:
            raise Unavailable("The database is away.", code="DATABASE_UNAVAILABLE")
        self.count += 1
        return self._database.transaction()


async def held(database: Database, clock: ManualClock, make_run: MakeRun, count: int) -> Sequence[Run]:
    """Runs that have been claimed."""
    async with database.transaction() as work:
        await store.add(work, [make_run(ACTION) for _ in range(count)])
        return (await claims.claim(work, now=clock.now(), lease_until=clock.now() + LEASE, limit=count)).runs


async def status_of(database: Database, run: Run) -> Status:
    found = await store.get(database, workspace_id=run.workspace_id, run_id=run.id)
    assert found is not None
    return found.status


async def test_many_ends_are_one_transaction_each_with_its_event(
    database: Database, clock: ManualClock, make_run: MakeRun, events: Callable[[], Awaitable[list[Any]]]
) -> None:
    counted = Transactions(database)
    runs = await held(database, clock, make_run, FLUSH_AT)
    completions = Completions(counted, clock)  # type: ignore[arg-type]
    for run in runs:
        completions.put(run, Succeeded())
    await completions.flush()
    assert counted.count == 1
    assert [await status_of(database, run) for run in runs] == [Status.SUCCEEDED] * FLUSH_AT
    assert [event.run.id for event in await events()] == [str(run.id) for run in runs]


async def test_an_end_is_written_at_once_when_nothing_else_ends(
    database: Database, clock: ManualClock, make_run: MakeRun
) -> None:
    (run,) = await held(database, clock, make_run, 1)
    completions = Completions(database, clock)
    writing = asyncio.create_task(completions.run())
    completions.put(run, Failed("no", retryable=False))

    async def failed() -> bool:
        return await status_of(database, run) is Status.FAILED

    await eventually(failed)
    completions.close()
    await writing


async def test_a_lost_fence_is_of_its_run_only(
    database: Database, clock: ManualClock, make_run: MakeRun, events: Callable[[], Awaitable[list[Any]]]
) -> None:
    lost, *others = await held(database, clock, make_run, 5)
    completions = Completions(database, clock, jitter=lambda _low, high: high)
    completions.put(replace(lost, fence=0), Succeeded())
    completions.put(others[0], Failed("away", retryable=True))
    for run in others[1:]:
        completions.put(run, Succeeded())
    await completions.flush()
    assert await status_of(database, lost) is Status.RUNNING
    assert await status_of(database, others[0]) is Status.PENDING
    assert [await status_of(database, run) for run in others[1:]] == [Status.SUCCEEDED] * 3
    assert len(await events()) == 3


async def test_an_end_that_cannot_be_written_takes_no_other_with_it(
    database: Database, clock: ManualClock, make_run: MakeRun
) -> None:
    runs = await held(database, clock, make_run, 9)
    completions = Completions(database, clock)
    for number, run in enumerate(runs):
        # PostgreSQL refuses text with a NUL.
        outcome: Outcome = Failed("\0" if number == 5 else "no", retryable=False)
        completions.put(run, outcome)
    await completions.flush()
    errors = []
    for run in runs:
        found = await store.get(database, workspace_id=run.workspace_id, run_id=run.id)
        assert found is not None
        assert found.status is Status.FAILED
        errors.append(found.error)
    # Rather than being executed again and again, it fails with what was wrong.
    assert str(errors.pop(5)).startswith("It could not be run (CharacterNotInRepertoireError")
    assert errors == ["no"] * 8
    assert len(completions) == 0


async def test_ends_wait_while_the_database_is_away(database: Database, clock: ManualClock, make_run: MakeRun) -> None:
    away = Transactions(database)
    runs = await held(database, clock, make_run, 3)
    completions = Completions(away, clock)  # type: ignore[arg-type]
    away.away = True
    writing = asyncio.create_task(completions.run())
    for run in runs:
        completions.put(run, Succeeded())
    await asyncio.sleep(0)
    assert len(completions) == 3
    away.away = False
    await eventually(lambda: len(completions) == 0)
    assert [await status_of(database, run) for run in runs] == [Status.SUCCEEDED] * 3
    completions.close()
    await writing


async def test_a_worker_that_stops_writes_what_has_ended_and_returns_the_rest(
    database: Database, clock: ManualClock, make_run: MakeRun
) -> None:
    runs = [make_run(ACTION) for _ in range(20)]
    async with database.transaction() as work:
        await store.add(work, runs)
    begun: list[Run] = []

    async def act(run: Run) -> Outcome:
        begun.append(run)
        if len(begun) > 10:
            await asyncio.Event().wait()
        return Succeeded()

    worker = Worker(database, clock, {"create_task": act}, slots=8)
    working = asyncio.create_task(worker.run())
    await eventually(lambda: len(begun) == 18)
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    statuses = [await status_of(database, run) for run in runs]
    assert (statuses.count(Status.SUCCEEDED), statuses.count(Status.PENDING)) == (10, 10)


async def test_what_is_not_written_when_a_process_is_killed_is_attempted_again_under_the_same_key(
    make_database: MakeDatabase, clock: ManualClock, make_run: MakeRun
) -> None:
    from rota_chassis.postgres.database import Database  # noqa: PLC0415

    url = await make_database("scheduler")
    database = await Database.connect(url, size=2)
    runs = [make_run(ACTION) for _ in range(3)]
    async with database.transaction() as work:
        await store.add(work, runs)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED, url, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert process.returncode == -signal.SIGKILL
    called = output.decode().split()
    assert sorted(called) == sorted(str(run.id) for run in runs)
    assert [await status_of(database, run) for run in runs] == [Status.RUNNING] * 3
    again: list[Run] = []

    async def act(run: Run) -> Outcome:
        again.append(run)
        return Succeeded()

    clock.set(datetime.now(UTC) + LEASE)
    worker = Worker(database, clock, {"create_task": act}, slots=3)
    await worker.tick()
    await worker.idle()
    assert sorted(str(run.id) for run in again) == sorted(called)
    assert {(run.attempts, run.fence) for run in again} == {(2, 2)}
    await database.close()
