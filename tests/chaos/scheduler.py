"""Three replicas of the scheduler, and everything that can happen to them: `make chaos-scheduler`.

Real processes on real servers of their own, on loopback only. While schedules call a witness, replicas are killed and
frozen beyond their lease, connections are ended, PostgreSQL and NATS go down at once and come back. At the end the
checker holds the ledger against the witness. The order of events follows from the seed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
import time
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import asyncpg
from checker import Report, Row, check
from rota.scheduler.v1 import schedules_pb2
from rota_chassis import codec
from rota_chassis.embedded.nats import Nats
from rota_chassis.embedded.postgres import Postgres
from rota_chassis.embedded.redis import Redis
from rota_chassis.ids import uuid7
from rota_chassis.postgres.database import Database
from rota_chassis.postgres.migrations import migrate
from rota_chassis.settings import database_url
from rota_chassis.testing.servers import running, server_folder
from rota_scheduler.schedules import store
from rota_scheduler.schedules.domain import Schedule, cursor_of
from rota_scheduler.schedules.policies import Misfire, Overlap, Policies
from rota_scheduler.schedules.timing import Timing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

REPLICAS = 3
EVERY_S = 10
FROZEN_S = 13  # beyond the lease of 10 s
BETWEEN_S = 3
SETTLE_AT_MOST_S = 120
OVERLAPS = [Overlap.ALLOW_ALL, Overlap.ALLOW_ALL, Overlap.SKIP, Overlap.BUFFER_ALL, Overlap.CANCEL_OTHER]
_ENCODE = codec.encoder(schedules_pb2.ScheduleSpec)
# Without the schedules of the system itself.
_LEDGER = """
    SELECT schedule_id::text, nominal_time, NULL AS through, NULL AS reason, id::text AS run_id, status, attempts,
        started_at
    FROM (
        SELECT workspace_id, schedule_id, nominal_time, id, status, attempts, started_at FROM runs
        UNION ALL
        SELECT workspace_id, schedule_id, nominal_time, id, status, attempts, started_at FROM run_history
    ) AS either
    WHERE workspace_id <> '00000000-0000-0000-0000-000000000000'
    UNION ALL
    SELECT schedule_id::text, nominal_time, through, reason, NULL, NULL, 0, NULL FROM skips
    WHERE workspace_id <> '00000000-0000-0000-0000-000000000000'
"""
_OPEN = """
    SELECT (SELECT count(*) FROM runs WHERE finished_at IS NULL)
        + (
            SELECT count(*) FROM schedules
            WHERE next_fire_at IS NOT NULL AND workspace_id <> '00000000-0000-0000-0000-000000000000'
        )
"""


class Witness:
    """An HTTP endpoint that remembers the idempotency key of each call before it answers."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.port = 0

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Witness]:
        """Answer within the block."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
            self.keys.append(fields["idempotency-key"])
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the caller was killed
        finally:
            writer.close()


class Replicas:
    """The processes of the scheduler."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = environment
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, number: int) -> None:
        """Start one that does not run."""
        address = f"unix:{self._folder}/s{number}.sock"
        with (self._folder / f"scheduler-{number}.log").open("ab") as log:
            self._processes[number] = subprocess.Popen(
                [sys.executable, "-m", "rota_scheduler"],
                env={**self._environment, "ROTA_LISTEN": address},
                stdout=log,
                stderr=log,
            )

    def revive(self) -> None:
        """Start those that have ended, as a supervisor would."""
        for number, process in list(self._processes.items()):
            if process.poll() is not None:
                self.start(number)

    def signal(self, number: int, what: signal.Signals) -> None:
        """Send a signal to one."""
        self._processes[number].send_signal(what)

    def end(self) -> None:
        """End all of them."""
        for process in self._processes.values():
            process.kill()
            process.wait()


class Chaos:
    """What happens to the replicas and their servers."""

    def __init__(self, replicas: Replicas, postgres: Postgres, nats: Nats, seed: int) -> None:
        self._replicas = replicas
        self._postgres = postgres
        self._nats = nats
        self._random = random.Random(seed)  # noqa: S311 (a repeatable order of events)
        self.done: list[str] = []

    async def go_on(self, until: float) -> None:
        """Let one thing after the other happen, each at least once for every five."""
        kinds = [self._kill, self._freeze, self._cut_connections, self._restart_postgres, self._restart_nats]
        while time.monotonic() < until:
            self._random.shuffle(kinds)
            for happen in kinds:
                if time.monotonic() >= until:
                    break
                await happen()
                self.done.append(happen.__name__.strip("_"))
                await asyncio.sleep(self._random.uniform(0.5, BETWEEN_S))
                self._replicas.revive()

    async def _kill(self) -> None:
        self._replicas.signal(self._random.randrange(REPLICAS), signal.SIGKILL)

    async def _freeze(self) -> None:
        number = self._random.randrange(REPLICAS)
        self._replicas.signal(number, signal.SIGSTOP)
        await asyncio.sleep(FROZEN_S)
        self._replicas.signal(number, signal.SIGCONT)

    async def _cut_connections(self) -> None:
        connection = await asyncpg.connect(self._postgres.url)
        try:
            for _ in range(10):
                await connection.fetch(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = 'rota_scheduler' AND application_name <> 'chaos'"
                )
                await asyncio.sleep(0.2)
        finally:
            await connection.close()

    async def _restart_postgres(self) -> None:
        self._postgres.hurry()  # as `pg_ctl restart -m immediate`
        await self._postgres.stop()
        await self._postgres.start()

    async def _restart_nats(self) -> None:
        self._nats.hurry()
        await self._nats.stop()
        await self._nats.start()


async def main(schedules: int, seconds: int, seed: int) -> Report:
    """Run it; what the checker finds."""
    witness = Witness()
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(server_folder())
        await stack.enter_async_context(witness.listening())
        postgres = await stack.enter_async_context(running(Postgres(folder / "pg", folder, folder / "pg.log")))
        redis = await stack.enter_async_context(running(Redis(folder, folder / "redis.log")))
        nats = await stack.enter_async_context(
            running(Nats(folder / "nats", folder, folder / "nats.log", password="chaos", port=_free_port()))
        )
        await migrate("scheduler", postgres.url)
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ROTA_")},
            "ROTA_POSTGRES_URL": postgres.url,
            "ROTA_REDIS_URL": redis.url,
            "ROTA_NATS_URL": nats.url,
            **{f"ROTA_{name.upper()}_ADDRESS": f"unix:{folder}/{name}.sock" for name in ("auth", "tasks")},
        }
        replicas = Replicas(folder, environment)
        stack.callback(replicas.end)
        expected = await _add_schedules(postgres.url, witness.port, schedules, seconds, seed)
        for number in range(REPLICAS):
            replicas.start(number)
        chaos = Chaos(replicas, postgres, nats, seed)
        await chaos.go_on(time.monotonic() + seconds)
        await _until_settled(postgres.url, replicas)
        sys.stdout.write(f"what happened: {', '.join(chaos.done)}\n")
        connection = await asyncpg.connect(database_url(postgres.url, "rota_scheduler"))
        rows = [Row(**row) for row in await connection.fetch(_LEDGER)]
        await connection.close()
        return check(expected, rows, witness.keys)


async def _add_schedules(
    server_url: str, port: int, count: int, seconds: int, seed: int
) -> Mapping[str, Sequence[datetime]]:
    """Schedules that fire for `seconds` from shortly after now on; the nominal times of each, by its id."""
    choose = random.Random(seed)  # noqa: S311 (repeatable)
    now = datetime.now(UTC)
    starts_at = now.replace(microsecond=0) + timedelta(seconds=5)
    ends_at = starts_at + timedelta(seconds=seconds)
    expected = {}
    database = await Database.connect(database_url(server_url, "rota_scheduler"), size=1, name="chaos")
    async with database.transaction() as work:
        for number in range(count):
            phase_s = choose.randrange(EVERY_S)
            timing = Timing(spec=_ENCODE(schedules_pb2.ScheduleSpec(every_s=EVERY_S, phase_s=phase_s)))
            policies = Policies(
                overlap=OVERLAPS[number % len(OVERLAPS)],
                misfire=Misfire.ALL,
                starts_at=starts_at,
                ends_at=ends_at,
            )
            url = f"http://127.0.0.1:{port}/"
            schedule = Schedule(
                id=uuid7(),
                workspace_id=uuid7(),
                name=f"Chaos {number}",
                timing=timing,
                policies=policies,
                action={"create_task": None, "http": {"method": "post", "url": url, "body": None}},
                next_fire_at=cursor_of(timing, policies, created_at=now, now=now, seed=""),
                created_by=uuid7(),
                created_at=now,
                updated_at=now,
            )
            await store.add(work, schedule)
            expected[str(schedule.id)] = [
                datetime.fromtimestamp(second, UTC)
                for second in range(int(starts_at.timestamp()), int(ends_at.timestamp()))
                if second % EVERY_S == phase_s
            ]
    await database.close()
    return expected


async def _until_settled(server_url: str, replicas: Replicas) -> None:
    give_up_at = time.monotonic() + SETTLE_AT_MOST_S
    connection = await asyncpg.connect(database_url(server_url, "rota_scheduler"))
    while await connection.fetchval(_OPEN) and time.monotonic() < give_up_at:
        replicas.revive()
        await asyncio.sleep(0.5)
    await connection.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _tell(report: Report, seed: int) -> int:
    latest = max(report.late, default=timedelta(0))
    sys.stdout.write(
        f"seed {seed}: {report.times} nominal times, {report.ran} ran, {report.skipped} skipped or cancelled, "
        f"{len(report.late)} late (most {latest.total_seconds():.1f} s), "
        f"{report.repeated} calls repeated with the same key, "
        f"{len(report.lost)} lost, {len(report.doubled)} doubled\n"
    )
    for wrong in (*report.lost[:20], *report.doubled[:20]):
        sys.stdout.write(f"  {wrong}\n")
    return 0 if report.is_clean else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--schedules", type=int, default=300)
    parser.add_argument("--seconds", type=int, default=75)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    given = parser.parse_args()
    sys.exit(_tell(asyncio.run(main(given.schedules, given.seconds, given.seed)), given.seed))
