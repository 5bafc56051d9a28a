"""Other queues, each a program in `peers` with a virtual environment of its own (see requirements/peers.txt)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import redis.asyncio
from rota_chassis.embedded.redis import Redis
from rota_chassis.settings import database_url

if TYPE_CHECKING:
    from collections.abc import Sequence

_HERE = Path(__file__).parent
PYTHON = _HERE.parents[1] / ".venv-peers" / "bin" / "python"


class OnPostgres:
    """A queue in PostgreSQL; see `scheduler.System`.

    Args:
        name: Of its program and database.
        left: The query that counts the jobs that have not been done.
    """

    def __init__(self, name: str, left: str) -> None:
        self.name = name
        self._left = left
        self._url = ""
        self._connection: asyncpg.Connection

    async def prepare(self, server_url: str) -> None:
        """Make its database on the server."""
        connection = await asyncpg.connect(server_url)
        await connection.execute(f"CREATE DATABASE {self.name}")
        await connection.close()
        self._url = database_url(server_url, self.name)
        await _run(*self._program("prepare"))
        self._connection = await asyncpg.connect(self._url)

    async def close(self) -> None:
        """Let go of the server."""
        await self._connection.close()

    async def enqueue(self, count: int) -> None:
        """Add jobs, in batches."""
        await _run(*self._program("add"), str(count))

    def worker(self) -> Sequence[str]:
        """The command line of one process that takes the jobs."""
        return self._program("work")

    async def left(self) -> int:
        """How many jobs have not been done."""
        count: int = await self._connection.fetchval(self._left)
        return count

    def _program(self, command: str) -> Sequence[str]:
        return [str(PYTHON), str(_HERE / "peers" / f"{self.name}_jobs.py"), command, self._url]


class Celery:
    """Celery on a Redis server of its own; see `scheduler.System`."""

    name = "celery"

    def __init__(self) -> None:
        self._redis: Redis
        self._client: redis.asyncio.Redis

    async def prepare(self, server_url: str) -> None:
        """Start its Redis beside the PostgreSQL server."""
        folder = Path(server_url.split("host=")[1].split("&", maxsplit=1)[0])
        self._redis = Redis(folder, folder / "celery-redis.log")
        await self._redis.start()
        self._client = redis.asyncio.from_url(self._redis.url)

    async def close(self) -> None:
        """Stop its Redis."""
        await self._client.aclose()
        await self._redis.stop()

    async def enqueue(self, count: int) -> None:
        """Add jobs, one after the other: it knows no batches."""
        await _run(*self._program("add"), str(count))

    def worker(self) -> Sequence[str]:
        """The command line of one worker, with a process for each core."""
        return self._program("work")

    async def left(self) -> int:
        """How many jobs wait, or are with the worker."""
        waiting, held = await asyncio.gather(self._client.llen("celery"), self._client.hlen("unacked"))
        return int(waiting) + int(held)

    def _program(self, command: str) -> Sequence[str]:
        broker = self._redis.url.replace("unix://", "redis+socket://")
        return [str(PYTHON), str(_HERE / "peers" / "celery_jobs.py"), command, broker]


def procrastinate() -> OnPostgres:
    """Procrastinate."""
    return OnPostgres("procrastinate", "SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing')")


def pgqueuer() -> OnPostgres:
    """PgQueuer."""
    return OnPostgres("pgqueuer", "SELECT count(*) FROM pgqueuer")


def awa() -> OnPostgres:
    """The queue awa."""
    return OnPostgres("awa", "SELECT count(*) FROM awa.jobs WHERE state NOT IN ('completed', 'failed', 'cancelled')")


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(*command)
    if await process.wait():
        raise RuntimeError(f"{' '.join(command)} failed")
