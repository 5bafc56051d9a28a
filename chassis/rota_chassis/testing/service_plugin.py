"""Fixtures for tests of services: migrated databases, tokens, and streams without a past."""

from __future__ import annotations

import contextlib
import secrets
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from rota_chassis.testing.tokens import TokenIssuer

    MakeDatabase = Callable[[str], Awaitable[str]]


@pytest.fixture(scope="session")
async def make_lasting_database(postgres_url: str) -> AsyncIterator[MakeDatabase]:
    """Makes databases that last as long as their server; for those of one test there is `make_database`.

    Each service is migrated once; its databases are copies of that one.
    """
    import asyncpg  # noqa: PLC0415 (unit tests need none of it)

    from rota_chassis.postgres.migrations import migrate  # noqa: PLC0415
    from rota_chassis.settings import database_url  # noqa: PLC0415

    migrated: set[str] = set()
    # Other processes of the tests may use the same server, and nobody may be connected to what is copied.
    of_process = secrets.token_hex(4)
    connection = await asyncpg.connect(postgres_url)

    async def make(service: str) -> str:
        template = f"template_{service}_{of_process}"
        if service not in migrated:
            await migrate(service, postgres_url, database=template)
            migrated.add(service)
        # Files are copied faster than pages, each of which would go through the log as well.
        name = f"test_{service}_{secrets.token_hex(4)}"
        await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY file_copy')
        return database_url(postgres_url, name)

    yield make
    await connection.close()


@pytest.fixture
async def make_database(make_lasting_database: MakeDatabase, postgres_url: str) -> AsyncIterator[MakeDatabase]:
    """Makes databases; with "tasks" it returns the address of a new, migrated one of the tasks service.

    They go with the test: those of a thousand tests are ten gigabytes.
    """
    from rota_chassis.testing import servers  # noqa: PLC0415 (unit tests need none of it)

    made: set[str] = set()

    async def make(service: str) -> str:
        url = await make_lasting_database(service)
        made.add(urlsplit(url).path[1:])
        return url

    yield make
    await servers.drop_databases(postgres_url, made)


@pytest.fixture(scope="session")
def issuer() -> TokenIssuer:
    """Signs access tokens, and verifies them in services under test."""
    from rota_chassis.testing.tokens import TokenIssuer  # noqa: PLC0415 (unit tests need none of it)

    return TokenIssuer()


@pytest.fixture
async def fresh_nats_url(nats_url: str) -> str:
    """The NATS server with its streams made anew: no events, no consumers."""
    import nats  # noqa: PLC0415 (unit tests need none of it)
    from nats.js.errors import NotFoundError, ServerError  # noqa: PLC0415

    from rota_chassis.events.stream import DEAD_LETTERS_STREAM, EVENTS_STREAM, ensure_streams  # noqa: PLC0415
    from rota_chassis.testing.waiting import eventually  # noqa: PLC0415

    client = await nats.connect(nats_url)
    jetstream = client.jetstream()
    for stream in (EVENTS_STREAM, DEAD_LETTERS_STREAM):
        with contextlib.suppress(NotFoundError):
            await jetstream.delete_stream(stream)

    async def made() -> bool:
        try:
            await ensure_streams(jetstream)
        except ServerError:
            return False  # the server is still removing the files of the old ones
        return True

    await eventually(made)
    await client.close()
    return nats_url
