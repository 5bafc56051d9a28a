"""The embedded servers as tests want them: in a folder of their own, on random ports, quick rather than durable."""

from __future__ import annotations

import os
import secrets
import subprocess
import tempfile
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import asyncpg

from rota_chassis.embedded.mail import MailSink
from rota_chassis.embedded.nats import Nats
from rota_chassis.embedded.postgres import Postgres
from rota_chassis.embedded.process import Server
from rota_chassis.embedded.redis import Redis

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

S = TypeVar("S", bound=Server)

_MEMORY = Path("/dev/shm")
_ROOM = 4 * 2**30
"""Bytes: the write-ahead logs, streams and databases of several test processes, many times over."""


def memory() -> Path | None:
    """The file system in memory, for folders that nobody wants durable; None where there is none, or little room.

    A database is some seven hundred files, and most tests make one.
    """
    with suppress(OSError):
        found = os.statvfs(_MEMORY)
        if found.f_bavail * found.f_frsize >= _ROOM and os.access(_MEMORY, os.W_OK):
            return _MEMORY
    return None


@contextmanager
def server_folder(parent: Path | None = None) -> Iterator[Path]:
    """A new private folder with a short path in `parent`, removed at the end; absent means where temporary files are.

    Nobody waits for that: what a thousand tests leave are many files.
    """
    folder = Path(tempfile.mkdtemp(prefix="rota-test-", dir=parent))
    try:
        yield folder
    finally:
        subprocess.run(["/bin/sh", "-c", 'rm -rf "$1" &', "sh", str(folder)], check=False)


@asynccontextmanager
async def running(server: S) -> AsyncIterator[S]:
    """`server`, started, and stopped at the end whatever happens."""
    try:
        await server.start()
        yield server
    finally:
        server.hurry()
        await server.stop()


def postgres(folder: Path) -> Postgres:
    """A PostgreSQL server below `folder` that does not wait for the disk."""
    return Postgres(folder / "postgres", folder, folder / "postgres.log", durable=False)


@asynccontextmanager
async def primary_and_standby(folder: Path) -> AsyncIterator[tuple[Postgres, Postgres]]:
    """A PostgreSQL server and a standby that follows it, both of which wait for the disk as in production."""
    first, second = folder / "primary", folder / "standby"
    for each in (first, second):
        each.mkdir()
    async with (
        running(Postgres(first / "data", first, first / "log")) as primary,
        running(Postgres(second / "data", second, second / "log", follows=primary.url)) as standby,
    ):
        yield primary, standby


async def databases(url: str) -> frozenset[str]:
    """The databases of a PostgreSQL server that runs already."""
    connection = await asyncpg.connect(url)
    try:
        return frozenset(row["datname"] for row in await connection.fetch("SELECT datname FROM pg_database"))
    finally:
        await connection.close()


async def drop_databases(url: str, names: Iterable[str]) -> None:
    """Drop databases of the server, whoever is connected to them."""
    connection = await asyncpg.connect(url)
    try:
        for name in names:
            await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        await connection.close()


def redis(folder: Path) -> Redis:
    """A Redis server below `folder`."""
    return Redis(folder, folder / "redis.log")


def nats(folder: Path) -> Nats:
    """A NATS server below `folder`, on any free port, with a password of its own."""
    return Nats(folder / "nats", folder, folder / "nats.log", password=secrets.token_urlsafe(), port=None)


def mail_sink(folder: Path) -> MailSink:
    """A mail server below `folder`, on any free port."""
    return MailSink(folder / "mail")
