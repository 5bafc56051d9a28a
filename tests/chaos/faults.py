"""What happens to the replicas and their servers, and when: the plan follows from its seed."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
from replica import POINTS
from rota_chassis.settings import database_url

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from rota_chassis.embedded.nats import Nats
    from rota_chassis.embedded.postgres import Postgres

REPLICAS = 3
BEGIN_S = 15  # schedules fire from 5 s on, and for a while
QUIET_S = 11  # between two faults: as long as recovering may take, and a second to see it
FROZEN_S = 13  # beyond the lease of 10 s
WRONG_FOR_S = 5
WRONG_BY_S = 10
HELD_S = 8
CUT_S = 2
REACHED_WITHIN_S = 5
_REVIVE_EVERY_S = 0.1
_REPLICA = Path(__file__).with_name("replica.py")
# How long each may last, the way back included.
LENGTH_S = {
    "kill": 1,
    "freeze": FROZEN_S,
    "step a clock": WRONG_FOR_S,
    "step every clock": WRONG_FOR_S,
    "cut connections": CUT_S,
    "restart PostgreSQL": 4,
    "restart NATS": 2,
    "idle in a transaction": HELD_S,
}


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is to happen.

    Attributes:
        kind: Of `LENGTH_S`.
        at_s: When it begins, in seconds after the run did.
        replica: To which it happens, where it happens to one.
        point: Where a replica is killed.
        by_s: How wrong a clock is then.
    """

    kind: str
    at_s: float
    replica: int = 0
    point: str = ""
    by_s: int = 0

    def __str__(self) -> str:
        more = self.point or (f"by {self.by_s:+} s" if self.by_s else "")
        return f"{self.kind} {more}".rstrip()


@dataclass(frozen=True, slots=True)
class Window:
    """Something that happened, and when."""

    fault: Fault
    begin: datetime
    end: datetime


def plan(seed: int, most: int | None = None) -> Sequence[Fault]:
    """Each kind once or twice, each point once, in an order and at times that follow from the seed; `most` at most."""
    choose = random.Random(seed)  # noqa: S311 (repeatable)
    kinds = [
        *(("kill", point, 0) for point in POINTS),
        *(("step a clock", "", by_s) for by_s in (WRONG_BY_S, -WRONG_BY_S)),
        *(("step every clock", "", by_s) for by_s in (WRONG_BY_S, -WRONG_BY_S)),
        *((kind, "", 0) for kind in LENGTH_S if kind != "kill" and "clock" not in kind),
    ]
    choose.shuffle(kinds)
    faults, at_s = [], float(BEGIN_S)
    for kind, point, by_s in kinds[:most]:
        at_s += choose.uniform(0, 2)
        faults.append(Fault(kind, at_s, choose.randrange(REPLICAS), point, by_s))
        at_s += LENGTH_S[kind] + QUIET_S
    return faults


class Replicas:
    """The processes of the scheduler; those that end are started again, as by a supervisor.

    Attributes:
        started: How many have been.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self._environment = environment
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self.started = 0

    @property
    def addresses(self) -> Sequence[str]:
        """Where they listen."""
        return [f"unix:{self.folder}/s{number}.sock" for number in range(REPLICAS)]

    async def keep(self) -> None:
        """Start them, and again whenever one has ended."""
        while True:
            for number in range(REPLICAS):
                if number not in self._processes or self._processes[number].poll() is not None:
                    self._start(number)
            await asyncio.sleep(_REVIVE_EVERY_S)

    def listen(self) -> bool:
        """Whether all of them have begun to."""
        return all(Path(address.removeprefix("unix:")).exists() for address in self.addresses)

    def signal(self, number: int, what: signal.Signals) -> None:
        """Send a signal to one."""
        self._processes[number].send_signal(what)

    def end(self) -> None:
        """End all of them."""
        for process in self._processes.values():
            process.kill()
            process.wait()

    def _start(self, number: int) -> None:
        self.started += 1
        with (self.folder / f"scheduler-{number}.log").open("ab") as log:
            self._processes[number] = subprocess.Popen(
                [sys.executable, str(_REPLICA), str(number), str(self.folder)],
                env={**self._environment, "ROTA_LISTEN": self.addresses[number]},
                stdout=log,
                stderr=log,
            )


class Chaos:
    """Lets the faults of a plan happen.

    Attributes:
        windows: What has happened.
    """

    def __init__(self, replicas: Replicas, postgres: Postgres, nats: Nats) -> None:
        self._replicas = replicas
        self._postgres = postgres
        self._nats = nats
        self.windows: list[Window] = []
        self._kinds: Mapping[str, Callable[[Fault], Awaitable[None]]] = {
            "kill": self._kill,
            "freeze": self._freeze,
            "step a clock": self._step,
            "step every clock": self._step,
            "cut connections": self._cut_connections,
            "restart PostgreSQL": self._restart_postgres,
            "restart NATS": self._restart_nats,
            "idle in a transaction": self._hold_locks,
        }

    async def go_on(self, faults: Sequence[Fault], begun: datetime) -> None:
        """One after the other, each when it is its time, and until all have had time to pass."""
        for fault in faults:
            await _until(begun, fault.at_s)
            begin = datetime.now(UTC)
            await self._kinds[fault.kind](fault)
            self.windows.append(Window(fault, begin, datetime.now(UTC)))
        await asyncio.sleep(QUIET_S)

    async def _kill(self, fault: Fault) -> None:
        """Kill the first that comes to a point; if none does, any."""
        order, killed = self._replicas.folder / "die", self._replicas.started
        _replace(order, fault.point)
        for _ in range(int(REACHED_WITHIN_S / _REVIVE_EVERY_S)):
            if self._replicas.started > killed:
                return
            await asyncio.sleep(_REVIVE_EVERY_S)
        order.unlink(missing_ok=True)
        print(f"no replica came to the point: {fault.point}")
        self._replicas.signal(fault.replica, signal.SIGKILL)

    async def _freeze(self, fault: Fault) -> None:
        self._replicas.signal(fault.replica, signal.SIGSTOP)
        await asyncio.sleep(FROZEN_S)
        self._replicas.signal(fault.replica, signal.SIGCONT)

    async def _step(self, fault: Fault) -> None:
        """Step the clock of one, or of all as on one machine, and after a while back again."""
        numbers = [fault.replica] if fault.kind == "step a clock" else range(REPLICAS)
        files = [self._replicas.folder / f"{number}.clock" for number in numbers]
        for file in files:
            _replace(file, str(fault.by_s))
        await asyncio.sleep(WRONG_FOR_S)
        for file in files:
            file.unlink()

    async def _cut_connections(self, _: Fault) -> None:
        connection = await asyncpg.connect(self._postgres.url)
        try:
            for _ in range(10):
                await connection.fetch(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'rota-scheduler'"
                )
                await asyncio.sleep(CUT_S / 10)
        finally:
            await connection.close()

    async def _restart_postgres(self, _: Fault) -> None:
        self._postgres.hurry()  # as `pg_ctl restart -m immediate`
        await self._postgres.stop()
        await self._postgres.start()

    async def _restart_nats(self, _: Fault) -> None:
        self._nats.hurry()
        await self._nats.stop()
        await self._nats.start()

    async def _hold_locks(self, _: Fault) -> None:
        """Let somebody forget a transaction that holds rows which are due soon, and a snapshot."""
        connection = await asyncpg.connect(database_url(self._postgres.url, "rota_scheduler"))
        try:
            async with connection.transaction():
                await connection.fetch("SELECT id FROM schedules ORDER BY next_fire_at LIMIT 20 FOR UPDATE")
                await connection.fetch("SELECT id FROM runs LIMIT 20 FOR UPDATE")
                # An open cursor keeps its snapshot.
                await connection.execute("DECLARE forgotten CURSOR FOR SELECT * FROM runs")
                await asyncio.sleep(HELD_S)
        finally:
            await connection.close()


async def _until(begun: datetime, at_s: float) -> None:
    await asyncio.sleep(max(0, at_s - (datetime.now(UTC) - begun).total_seconds()))


def _replace(file: Path, text: str) -> None:
    """Write a file at once, for whoever reads it meanwhile."""
    unfinished = file.with_suffix(".unfinished")
    unfinished.write_text(text)
    unfinished.replace(file)
