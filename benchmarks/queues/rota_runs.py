"""Rota's run engine: schedules fire, runs are claimed, taken and ended, with history and an event for each end.

As a program it is one process of it, whose action does nothing: `python benchmarks/queues/rota_runs.py DATABASE`. On
SIGTERM it prints how late its runs started, in milliseconds after they were due, as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import uvloop
from rota_chassis import garbage, telemetry
from rota_chassis.clock import SystemClock
from rota_chassis.events.connection import nats_connection
from rota_chassis.events.relay import Relay
from rota_chassis.ids import uuid7
from rota_chassis.postgres.database import Database
from rota_chassis.postgres.migrations import migrate
from rota_chassis.settings import database_url
from rota_scheduler.runs import store
from rota_scheduler.runs.domain import Run, Succeeded
from rota_scheduler.runs.history import tend_history
from rota_scheduler.runs.worker import Worker
from rota_scheduler.schedules.firing import fire_schedules
from rota_scheduler.ticker import Ticker

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from rota_scheduler.runs.domain import Outcome

BATCH = 1_000
ACTION = {"http": {"method": "post", "url": "http://127.0.0.1/", "body": None}}
LEFT = "SELECT count(*) FROM runs"


class Rota:
    """See `scheduler.System`.

    Args:
        workspaces: How many wait side by side; they take turns.
    """

    most = 60_000
    server_pid = None

    def __init__(self, workspaces: int = 1) -> None:
        self.name = "Rota" if workspaces == 1 else f"Rota, {workspaces} workspaces"
        self._workspaces = [uuid7() for _ in range(workspaces)]
        self._url = ""
        self._database: Database

    async def prepare(self, server_url: str) -> None:
        """Make its database on the server."""
        await migrate("scheduler", server_url)
        self._url = database_url(server_url, "rota_scheduler")
        self._database = await Database.connect(self._url, size=4)
        await tend_history(self._database, SystemClock(), days=90)

    async def close(self) -> None:
        """Let go of the server."""
        await self._database.close()

    async def enqueue(self, count: int) -> None:
        """Add runs that may start now, in batches, over a few connections."""
        batches = iter(range(0, count, BATCH))

        async def add() -> None:
            for start in batches:
                async with self._database.transaction() as work:
                    owner = self._workspaces[start // BATCH % len(self._workspaces)]
                    await store.add(work, _runs(min(BATCH, count - start), owner))

        await asyncio.gather(*(add() for _ in range(3)))

    def worker(self) -> Sequence[str]:
        """The command line of one process that takes the runs."""
        return [sys.executable, __file__, self._url]

    async def left(self) -> int:
        """How many runs have not ended."""
        async with self._database.connection() as connection:
            count: int = await connection.fetchval(LEFT)
            return count


def _runs(count: int, workspace_id: UUID) -> Sequence[Run]:
    now, user_id = SystemClock().now(), uuid7()
    return [
        Run(
            workspace_id=workspace_id,
            id=run_id,
            schedule_id=run_id,
            nominal_time=now,
            action=ACTION,
            acts_for=user_id,
            available_at=now,
        )
        for run_id in (uuid7() for _ in range(count))
    ]


async def _work(url: str, slots: int, nats_url: str | None) -> None:
    # As every service does.
    telemetry.configure("scheduler", otlp_endpoint=None, metrics_listen=None)
    garbage.collect_seldom()
    late_ms: list[float] = []
    clock = SystemClock()

    async def act(run: Run) -> Outcome:
        late_ms.append((clock.now() - (run.due_at or run.nominal_time)).total_seconds() * 1000)
        return Succeeded()

    database = await Database.connect(url, size=10)
    worker = Worker(database, clock, {"http": act}, slots=slots)
    schedules: Any = SimpleNamespace(
        database=database,
        clock=clock,
        on_runs=worker.wake,
        on_terminated=worker.renew_now,
        room=worker.room,
        begin=worker.begin,
    )
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    parts = [Ticker("schedules", partial(fire_schedules, schedules), clock).run(), worker.run()]
    if nats_url is not None:
        parts.append(_relay(database, nats_url))
    tasks = [asyncio.create_task(part) for part in parts]
    await stop.wait()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await database.close()
    json.dump(late_ms, sys.stdout)


async def _relay(database: Database, nats_url: str) -> None:
    async with nats_connection(nats_url, "benchmark") as nats:
        await Relay(database, nats, "/rota/scheduler").run()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database")
    parser.add_argument("--slots", type=int, default=32)
    parser.add_argument("--nats")
    given = parser.parse_args()
    uvloop.run(_work(given.database, given.slots, given.nats))
