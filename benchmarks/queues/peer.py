"""Other queues, each a program in `peers`, in environments of their own (requirements/peers.txt, package.json)."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import redis.asyncio
from rota_chassis.embedded.redis import Redis
from rota_chassis.settings import database_url

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MOST = 20_000
_MOST_OF = {"many": MOST, "one": 5_000}
_PEERS = Path(__file__).with_name("peers")
PYTHON = _PEERS.parents[2] / ".venv-peers" / "bin" / "python"


class OnPostgres:
    """A queue in PostgreSQL; see `scheduler.System`.

    Args:
        name: Shows in the table.
        program: What adds and does its jobs, of `peers`.
        left: The query that counts the jobs that have not been done.
        most: No more jobs than so many, since it does few a second.
        how: What the program is told besides.
    """

    server_pid = None

    def __init__(self, name: str, program: str, left: str, *, most: int = MOST, how: str = "") -> None:
        self.name = name
        self.most = most
        self._program = program
        self._left = left
        self._how = how
        self._url = ""
        self._connection: asyncpg.Connection

    async def prepare(self, server_url: str) -> None:
        """Make its database on the server."""
        database = self.name.replace(" ", "_").replace(",", "").replace("-", "_").lower()
        connection = await asyncpg.connect(server_url)
        await connection.execute(f"CREATE DATABASE {database}")
        await connection.close()
        self._url = database_url(server_url, database)
        await _run(*self._command("prepare"))
        self._connection = await asyncpg.connect(self._url)

    async def close(self) -> None:
        """Let go of the server."""
        await self._connection.close()

    async def enqueue(self, count: int) -> None:
        """Add jobs, in batches where it knows them."""
        await _run(*self._command("add", count))

    def worker(self) -> Sequence[str]:
        """The command line of one process that takes the jobs."""
        return self._command("work")

    async def left(self) -> int:
        """How many jobs have not been done."""
        count: int = await self._connection.fetchval(self._left)
        return count

    def _command(self, command: str, count: int = 0) -> Sequence[str]:
        return _command(self._program, command, self._url, count, self._how)


class OnRedis:
    """A queue on a Redis server of its own, which waits for the disk as PostgreSQL does; see `scheduler.System`.

    Args:
        name: Shows in the table.
        program: What adds and does its jobs, of `peers`.
        left: The keys that hold the jobs that have not been done, each with the command that counts them.
        most: No more jobs than so many, since it does few a second.
        how: What the program is told besides.
        scheme: How the program's addresses of sockets begin.
    """

    def __init__(
        self,
        name: str,
        program: str,
        left: Mapping[str, str],
        *,
        most: int = MOST,
        how: str = "",
        scheme: str = "unix://",
    ) -> None:
        self.name = name
        self.most = most
        self._program = program
        self._left = left
        self._how = how
        self._scheme = scheme
        self._redis: Redis
        self._client: redis.asyncio.Redis

    @property
    def server_pid(self) -> int | None:
        """Its Redis."""
        return self._redis.pid

    async def prepare(self, server_url: str) -> None:
        """Start its Redis beside the PostgreSQL server."""
        folder = Path(server_url.split("host=")[1].split("&", maxsplit=1)[0]) / self.name
        folder.mkdir()
        self._redis = Redis(folder, folder / "redis.log")
        await self._redis.start()
        self._client = redis.asyncio.from_url(self._redis.url)
        # A queue may lose nothing, neither for want of memory nor with the server.
        kept = {"maxmemory": 0, "maxmemory-policy": "noeviction", "appendfsync": "always", "appendonly": "yes"}
        for name, value in kept.items():
            await self._client.config_set(name, value)

    async def close(self) -> None:
        """Stop its Redis."""
        await self._client.aclose()
        await self._redis.stop()

    async def enqueue(self, count: int) -> None:
        """Add jobs, in batches where it knows them."""
        await _run(*self._command("add", count))

    def worker(self) -> Sequence[str]:
        """The command line of one process that takes the jobs."""
        return self._command("work")

    async def left(self) -> int:
        """How many jobs wait, or are with the worker."""
        counts: list[int] = await asyncio.gather(
            *(self._client.execute_command(command, key) for key, command in self._left.items())
        )
        return sum(counts)

    def _command(self, command: str, count: int = 0) -> Sequence[str]:
        url = self._redis.url.replace("unix://", self._scheme)
        return _command(self._program, command, url, count, self._how)


def celery() -> OnRedis:
    """Celery, with a process for each core."""
    left = {"celery": "LLEN", "unacked": "HLEN"}
    return OnRedis("Celery", "celery_jobs.py", left, most=10_000, scheme="redis+socket://")


def procrastinate() -> OnPostgres:
    """Procrastinate."""
    left = "SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing')"
    return OnPostgres("Procrastinate", "procrastinate_jobs.py", left, most=6_000)


def pgqueuer() -> OnPostgres:
    """PgQueuer."""
    return OnPostgres("PgQueuer", "pgqueuer_jobs.py", "SELECT count(*) FROM pgqueuer")


def awa() -> OnPostgres:
    """The queue awa."""
    left = "SELECT count(*) FROM awa.jobs WHERE state NOT IN ('completed', 'failed', 'cancelled')"
    return OnPostgres("awa", "awa_jobs.py", left)


def apscheduler() -> OnPostgres:
    """APScheduler."""
    return OnPostgres("APScheduler", "apscheduler_jobs.py", "SELECT count(*) FROM apscheduler_jobs", most=1_000)


def pgboss(how: str) -> OnPostgres:
    """pg-boss, in batches ("many") or one by one ("one")."""
    left = "SELECT count(*) FROM pgboss.job WHERE name = 'nothing' AND state < 'completed'"
    return OnPostgres(_named("pg-boss", how), "pgboss_jobs.mjs", left, most=_MOST_OF[how], how=how)


def graphile(how: str) -> OnPostgres:
    """graphile-worker, in batches ("many") or one by one ("one")."""
    left = "SELECT count(*) FROM graphile_worker.jobs"
    return OnPostgres(_named("graphile-worker", how), "graphile_jobs.mjs", left, most=_MOST_OF[how], how=how)


def bullmq(how: str) -> OnRedis:
    """BullMQ, whose jobs are added in batches ("many") or one by one ("one")."""
    left = {"bull:nothing:wait": "LLEN", "bull:nothing:active": "LLEN"}
    return OnRedis(_named("BullMQ", how), "bullmq_jobs.mjs", left, most=_MOST_OF[how], how=how)


def has_node() -> bool:
    """Whether Node is here, with the packages of `peers`."""
    return shutil.which("node") is not None and (_PEERS / "node_modules").is_dir()


def _named(name: str, how: str) -> str:
    return f"{name}, one by one" if how == "one" else name


def _command(program: str, command: str, url: str, count: int, how: str) -> Sequence[str]:
    interpreter = "node" if program.endswith(".mjs") else str(PYTHON)
    return [interpreter, str(_PEERS / program), command, url, str(count), *([how] if how else [])]


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(*command)
    if await process.wait():
        raise RuntimeError(f"{' '.join(command)} failed")
