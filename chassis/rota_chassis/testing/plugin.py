"""Fixtures for tests with real servers. Each test process starts its own, when a test first asks for one."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from rota_chassis.embedded.mail import MailSink


# How long a machine takes over examples says nothing about the code; in a fresh clone the first are slow.
settings.register_profile("rota", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("rota")

_BORROWED = os.environ.get("ROTA_TEST_POSTGRES_URL", "")


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Iterator[None]:
    """Leave on a borrowed server what was there before: the first process sees to it, when all others are through."""
    if not _BORROWED or hasattr(session.config, "workerinput"):
        return (yield)
    from rota_chassis.testing import servers  # noqa: PLC0415 (unit tests need none of it)

    there = asyncio.run(servers.databases(_BORROWED))
    try:
        return (yield)
    finally:
        asyncio.run(servers.drop_databases(_BORROWED, asyncio.run(servers.databases(_BORROWED)) - there))


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """The folder of this process's servers, in memory where there is room; removed at the end."""
    from rota_chassis.testing import servers  # noqa: PLC0415 (unit tests need none of it)

    with servers.server_folder(servers.memory()) as folder:
        yield folder


@pytest.fixture(scope="session")
async def postgres_url(server_folder: Path) -> AsyncIterator[str]:
    """A PostgreSQL server; the user may create databases. The one that ROTA_TEST_POSTGRES_URL names, if any."""
    from rota_chassis.testing import servers  # noqa: PLC0415 (unit tests need none of it)

    if _BORROWED:
        yield _BORROWED
        return
    async with servers.running(servers.postgres(server_folder)) as server:
        yield server.url


@pytest.fixture(scope="session")
async def redis_url(server_folder: Path) -> AsyncIterator[str]:
    """A Redis server."""
    from rota_chassis.testing import servers  # noqa: PLC0415 (unit tests need none of it)

    async with servers.running(servers.redis(server_folder)) as server:
        yield server.url


@pytest.fixture(scope="session")
async def nats_url(server_folder: Path) -> AsyncIterator[str]:
    """A NATS server with JetStream, as the user who may do everything."""
    from rota_chassis.testing import servers  # noqa: PLC0415 (unit tests need none of it)

    async with servers.running(servers.nats(server_folder)) as server:
        yield server.url


@pytest.fixture(scope="session")
async def smtp_sink(server_folder: Path) -> AsyncIterator[MailSink]:
    """A mail server: `url` to send to, `folder` with a file for each mail."""
    from rota_chassis.testing import servers  # noqa: PLC0415 (unit tests need none of it)

    async with servers.running(servers.mail_sink(server_folder)) as server:
        yield server
