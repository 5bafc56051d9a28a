"""How many no-op runs a second one process takes, how many can be added, and how late schedules start.

On a PostgreSQL server of its own that waits for the disk. Each system is a module of `queues` with the methods of
`System`; all of them are measured by the same code, from outside: the worker is a process, what is left is counted in
its store, CPU time is what the operating system says. Those for Node are left out where Node or their packages are not.
Usage: python benchmarks/scheduler.py [--rounds 2] [--schedules 1000,10000,100000,1000000] [--only rota]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Protocol

import asyncpg
import psutil
from cpu import Cpu
from queues.peer import apscheduler, awa, bullmq, celery, graphile, has_node, pgboss, pgqueuer, procrastinate
from queues.rota_runs import ACTION, Rota
from rota_chassis.embedded.postgres import Postgres
from rota_chassis.settings import database_url
from rota_chassis.testing.servers import running, server_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

WARM_UP = 10  # that part of the jobs
FIRES_PER_S = 1_000
MEASURED_S = 20
IDLE_S = 30
START_S = 10


class System(Protocol):
    """What is measured.

    Attributes:
        name: Shows in the table.
        most: How many jobs it is measured with.
        server_pid: The server that keeps its jobs; None for the PostgreSQL server that all share.
    """

    name: str
    most: int

    @property
    def server_pid(self) -> int | None:
        """See above."""
        ...

    async def prepare(self, server_url: str) -> None:
        """Make what it needs on the PostgreSQL server."""
        ...

    async def close(self) -> None:
        """Let go of the server."""
        ...

    async def enqueue(self, count: int) -> None:
        """Add jobs that do nothing, as quickly as it can from one process."""
        ...

    def worker(self) -> Sequence[str]:
        """The command line of one process that takes jobs until SIGTERM."""
        ...

    async def left(self) -> int:
        """How many jobs have not been done."""
        ...


SYSTEMS: dict[str, Callable[[], System]] = {
    "rota": Rota,
    "rota-60": partial(Rota, workspaces=60),
    "awa": awa,
    "pgqueuer": pgqueuer,
    "procrastinate": procrastinate,
    "celery": celery,
    "apscheduler": apscheduler,
}
OF_NODE: dict[str, Callable[[], System]] = {
    "pg-boss": partial(pgboss, "many"),
    "pg-boss-one": partial(pgboss, "one"),
    "graphile-worker": partial(graphile, "many"),
    "graphile-worker-one": partial(graphile, "one"),
    "bullmq": partial(bullmq, "many"),
    "bullmq-one": partial(bullmq, "one"),
}


async def drain(system: System, server: int) -> None:
    """Add jobs, then let one process do them, and print both."""
    count, server = system.most, system.server_pid or server
    cpu, of_server, started = Cpu(psutil.Process().pid), Cpu(server), time.perf_counter()
    await system.enqueue(count)
    _row(f"{system.name}: added", count, time.perf_counter() - started, cpu, of_server)
    worker = await asyncio.create_subprocess_exec(*system.worker(), stdout=subprocess.DEVNULL)
    try:
        left = count
        # What a process needs to start is not counted.
        while left > count - count // WARM_UP:
            left = await _sample(system)
        begun, cpu, of_server, started = left, Cpu(worker.pid), Cpu(server), time.perf_counter()
        while left > 0:
            left = await _sample(system)
        _row(f"{system.name}: done", begun, time.perf_counter() - started, cpu, of_server)
    finally:
        worker.terminate()
        await worker.wait()


async def _sample(system: System) -> int:
    await asyncio.sleep(0.2)
    return await system.left()


def _row(what: str, count: int, seconds: float, cpu: Cpu, of_server: Cpu) -> None:
    of_process_us, of_server_us = (each.used_s() * 1e6 / count for each in (cpu, of_server))
    print(f"{what:36} {count / seconds:10.0f} {of_process_us:14.1f} {of_server_us:16.1f}", flush=True)


async def late(system: System, server: int, server_url: str, schedules: int) -> None:
    """Let that many schedules fire, a thousand a second, and print how late their runs started."""
    connection = await asyncpg.connect(database_url(server_url, "rota_scheduler"))
    try:
        await connection.execute("TRUNCATE schedules, runs, run_history, skips")
        interval_s = schedules // FIRES_PER_S
        begins = datetime.now(UTC) + timedelta(seconds=5 + schedules / 20_000)
        # Each created an interval before it first fires, the first times evenly apart.
        await connection.execute(
            """
            INSERT INTO schedules (workspace_id, id, name, spec, timezone, action, next_fire_at, created_by,
                created_at, updated_at, version)
            SELECT gen_random_uuid(), gen_random_uuid(), 'Benchmark', jsonb_build_object('interval_s', $2::int), 'UTC',
                $4::jsonb, first, gen_random_uuid(), first - make_interval(secs => $2), now(), 1
            FROM (SELECT $3::timestamptz + n * interval '1 ms' AS first FROM generate_series(0, $1 - 1) AS n) AS each
            """,
            schedules,
            interval_s,
            begins,
            json.dumps(ACTION),
        )
        await connection.execute("VACUUM ANALYZE schedules")
    finally:
        await connection.close()
    worker = await asyncio.create_subprocess_exec(*system.worker(), stdout=subprocess.PIPE)
    await asyncio.sleep((begins - datetime.now(UTC)).total_seconds() + 2)
    cpu, of_server = Cpu(worker.pid), Cpu(server)
    await asyncio.sleep(MEASURED_S)
    share = [each.used_s() / MEASURED_S * 100 for each in (cpu, of_server)]
    worker.terminate()
    output, _ = await worker.communicate()
    measured = json.loads(output)[2 * FIRES_PER_S :]
    cuts = statistics.quantiles(measured, n=1000)
    print(
        f"{schedules:10} {len(measured) / MEASURED_S:8.0f} {cuts[499]:8.1f} {cuts[989]:8.1f} {cuts[998]:8.1f}"
        f" {share[0]:11.0f} {share[1]:14.0f}",
        flush=True,
    )


async def idle(systems: Sequence[System]) -> None:
    """Print what a process of each costs that has nothing to do."""
    workers = [await asyncio.create_subprocess_exec(*each.worker(), stdout=subprocess.DEVNULL) for each in systems]
    await asyncio.sleep(START_S)
    cpus = [Cpu(worker.pid) for worker in workers]
    await asyncio.sleep(IDLE_S)
    for system, cpu in zip(systems, cpus, strict=True):
        print(f"{system.name}: idle {cpu.used_s() / IDLE_S:.2%} of a core")
    for worker in workers:
        worker.terminate()
        await worker.wait()


async def main(options: argparse.Namespace) -> None:
    """Measure one system after the other."""
    if not has_node():
        print("Left out, since Node or its packages are not here: " + ", ".join(OF_NODE))
    known = {**SYSTEMS, **(OF_NODE if has_node() else {})}
    with server_folder() as folder:
        async with running(Postgres(folder / "pg", folder, folder / "pg.log")) as postgres:
            server = int((folder / "pg" / "postmaster.pid").read_text().split()[0])
            systems = [known[name]() for name in known if options.only in (None, name)]
            print(f"{'':36} {'a second':>10} {'CPU us, process':>14} {'CPU us, server':>16}")
            for system in systems:
                await system.prepare(postgres.url)
                for _ in range(options.rounds):
                    await drain(system, server)
            await idle(systems)
            rota = next((system for system in systems if isinstance(system, Rota)), None)
            if rota is not None and options.schedules:
                print(f"{'schedules':>10} {'fires/s':>8} {'p50 ms':>8} {'p99 ms':>8} {'p99.9':>8}", end=" ")
                print(f"{'CPU %, own':>11} {'CPU %, server':>14}")
                for count in options.schedules:
                    await late(rota, server, postgres.url, count)
            for system in systems:
                await system.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", choices=[*SYSTEMS, *OF_NODE])
    parser.add_argument(
        "--schedules",
        type=lambda text: [int(count) for count in text.split(",") if count],
        default=[1_000, 10_000, 100_000, 1_000_000],
    )
    sys.exit(asyncio.run(main(parser.parse_args())))
