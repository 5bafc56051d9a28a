"""Migrations: every service has its own database and its own line of alembic revisions.

`python -m rota_chassis.postgres.migrations auth tasks …` makes the databases that are missing and brings each to its
newest revision; running it twice, or twice at once, changes nothing.
"""

from __future__ import annotations

import asyncio
import sys
from importlib import resources
from typing import TYPE_CHECKING

import asyncpg
from alembic import command
from alembic.config import Config
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from rota_chassis.settings import ServiceSettings, database_url

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

_LOCK = 0x6D696772  # "migr"


async def migrate(service: str, server_url: str, *, database: str | None = None) -> None:
    """Make the service's database when it is missing, and upgrade it to the newest revision.

    Args:
        service: Its name: "tasks".
        server_url: A database of the server, where the role may create databases.
        database: Name of the service's database; absent means `rota_<service>`.
    """
    name = database or f"rota_{service}"
    await _create_database(server_url, name)
    await _upgrade(service, database_url(server_url, name))


async def migrate_all(services: Iterable[str], server_url: str) -> None:
    """Migrate several services, one after the other."""
    for service in services:
        await migrate(service, server_url)


async def _create_database(server_url: str, name: str) -> None:
    connection = await asyncpg.connect(server_url)
    try:
        if await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name) is None:
            await connection.execute(f'CREATE DATABASE "{name}"')
    except (asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):
        pass  # another migration made it just now
    finally:
        await connection.close()


async def _upgrade(service: str, url: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(resources.files("rota_chassis.postgres") / "alembic"))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", str(resources.files(f"rota_{service}") / "migrations"))

    def upgrade(connection: Connection) -> None:
        # Two migrations of one database take turns; the second finds nothing to do.
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(url), poolclass=NullPool
    )
    try:
        async with engine.begin() as connection:
            await connection.run_sync(upgrade)
    finally:
        await engine.dispose()


if __name__ == "__main__":
    asyncio.run(migrate_all(sys.argv[1:], ServiceSettings().postgres_url))
