"""One scheduler as `scheduler.py` starts it: `python replica.py NUMBER FOLDER`, with the environment of a service.

It is the service itself, in a loop of its own, with two seams that obey files of the folder: `NUMBER.clock` holds the
seconds by which its clock is wrong, `die` the point at which the first that comes there ends itself with SIGKILL.
`key.pem` is the public key of the tokens that it believes.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from rota_chassis import logs, telemetry
from rota_chassis.events import relay
from rota_chassis.postgres.database import Database
from rota_chassis.service import serving
from rota_scheduler.bootstrap import SERVICE
from rota_scheduler.settings import SchedulerSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import asyncpg
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from rota_chassis.postgres.work import UnitOfWork
    from rota_chassis.service import Runtime

# Whose transactions have a point before and after the commit: tasks of the service by name, and calls from outside.
WRITERS = ("schedules", "claims", "completions", "leases", "calls")
PUBLISHED = "relay, published and not marked"
POINTS = (*(f"{who}, {when} the commit" for who in WRITERS for when in ("before", "after")), PUBLISHED)


class SteppedClock:
    """The machine's clock, wrong by as many seconds as a file says; none while there is no file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def now(self) -> datetime:
        """The instant as it appears to this process."""
        try:
            wrong_by_s = float(self._file.read_text())
        except FileNotFoundError:
            wrong_by_s = 0
        return datetime.now(UTC) + timedelta(seconds=wrong_by_s)


class End:
    """Ends the process at the point that a file names, which all replicas read."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def at(self, point: str) -> None:
        """The process is at this point."""
        try:
            if self._file.read_text() == point:
                self._file.unlink()
                os.kill(os.getpid(), signal.SIGKILL)
        except FileNotFoundError:
            pass  # there is no order, or another has obeyed it


class MortalDatabase(Database):
    """A database in whose transactions the process may end."""

    def __init__(self, pool: asyncpg.Pool, end: End) -> None:
        super().__init__(pool)
        self._end = end

    @asynccontextmanager
    async def transaction(self, **how: Any) -> AsyncIterator[UnitOfWork]:
        """As that of any database."""
        task = asyncio.current_task()
        name = task.get_name() if task else ""
        who = name if name in WRITERS else "calls" if name.startswith("Task-") else name
        async with super().transaction(**how) as work:
            yield work
            self._end.at(f"{who}, before the commit")
        self._end.at(f"{who}, after the commit")

    @asynccontextmanager
    async def connection(self, *, discard: bool = False) -> AsyncIterator[Any]:
        """As that of any database."""
        async with super().connection(discard=discard) as connection:
            yield _Connection(connection, self._end)


class _Connection:
    def __init__(self, connection: asyncpg.Connection, end: End) -> None:
        self._connection = connection
        self._end = end

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def fetch(self, query: str, *arguments: Any) -> Any:
        if query == relay._MARK.sql:
            self._end.at(PUBLISHED)
        return await self._connection.fetch(query, *arguments)


class OneKey:
    """The key set of one issuer."""

    def __init__(self, file: Path) -> None:
        self._key: Any = load_pem_public_key(file.read_bytes())

    async def get(self, _kid: str) -> EllipticCurvePublicKey | None:
        """Its public key."""
        key: EllipticCurvePublicKey = self._key
        return key


async def main(number: str, folder: Path) -> None:
    """Serve until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    settings = SchedulerSettings()
    logs.configure("scheduler", level=settings.log_level, output=settings.log_format)
    telemetry.configure("scheduler", otlp_endpoint=None, metrics_listen=None)

    async def build(runtime: Runtime[SchedulerSettings]) -> None:
        runtime.database = MortalDatabase(runtime.database._pool, End(folder / "die"))
        await SERVICE.build(runtime)

    clock, keys = SteppedClock(folder / f"{number}.clock"), OneKey(folder / "key.pem")
    async with serving(replace(SERVICE, build=build), settings, clock=clock, keys=keys) as failure:
        stopped = asyncio.ensure_future(stop.wait())
        await asyncio.wait([stopped, failure], return_when=asyncio.FIRST_COMPLETED)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], Path(sys.argv[2])))
