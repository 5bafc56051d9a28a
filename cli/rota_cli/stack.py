"""What a running Rota is made of: embedded servers, migrations, and the five processes with their environment."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from rota_chassis.embedded.process import Program
from rota_chassis.embedded.sockets import socket_folder

from rota_cli.supervisor import Service

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from rota_chassis.embedded.process import Server

    from rota_cli.credentials import Credentials
    from rota_cli.folder import DataFolder
    from rota_cli.settings import Settings

BACKENDS = ("auth", "tasks", "scheduler", "notifications")
DRAIN_MARGIN_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Stack:
    """The parts, in the order they start.

    Attributes:
        servers: Start together, before everything else.
        migration: Once the servers are there, the program that brings the databases up to date.
        services: Once the databases are up to date, what to keep running.
        is_ready: Whether everything serves.
        urls: What to tell the operator, by name; known once the servers are there.
    """

    servers: Sequence[Server]
    migration: Callable[[], Program]
    services: Callable[[], Sequence[Service]]
    is_ready: Callable[[], Awaitable[bool]]
    urls: Callable[[], Mapping[str, str]] = field(default=dict)


def build(settings: Settings, folder: DataFolder, credentials: Credentials) -> Stack:
    """The stack that the settings describe; servers that they name are used, the others are embedded."""
    servers = _servers(settings, folder, credentials)
    environment = partial(_environment, settings, folder, credentials, servers)

    def services() -> Sequence[Service]:
        program = partial(_program, settings, folder, environment())
        backends = [
            Service(program=program(name), serves=partial(_listens_at_path, _socket(folder, name))) for name in BACKENDS
        ]
        listens = partial(_listens_at_port, settings.reachable_host, settings.http_port)
        return [*backends, Service(program=program("gateway"), serves=listens, is_front=True)]

    return Stack(
        servers=list(servers.values()),
        migration=lambda: _python(
            settings, folder, environment(), "migrate", "-m", "rota_chassis.postgres.migrations", *BACKENDS
        ),
        services=services,
        is_ready=partial(_answers_200, settings.reachable_host, settings.http_port, "/readyz"),
        urls=partial(_urls, settings, folder, servers),
    )


def _servers(settings: Settings, folder: DataFolder, credentials: Credentials) -> dict[str, Server]:
    """Imported one by one: a server that is elsewhere costs no memory here."""
    servers: dict[str, Server] = {}
    if settings.postgres_url is None:
        from rota_chassis.embedded.postgres import Postgres  # noqa: PLC0415 (see above)

        servers["postgres"] = Postgres(folder.path / "postgres", folder.run, folder.logs / "postgres.log")
    if settings.redis_url is None:
        from rota_chassis.embedded.redis import Redis  # noqa: PLC0415 (see above)

        servers["redis"] = Redis(folder.run, folder.logs / "redis.log")
    if settings.nats_url is None:
        from rota_chassis.embedded.nats import Nats  # noqa: PLC0415 (see above)

        log = folder.logs / "nats.log"
        servers["nats"] = Nats(folder.path / "nats", folder.run, log, password=credentials.nats_password)
    if settings.smtp_url is None:
        from rota_chassis.embedded.mail import MailSink  # noqa: PLC0415 (see above)

        servers["smtp"] = MailSink(folder.mail)
    return servers


def _environment(
    settings: Settings, folder: DataFolder, credentials: Credentials, servers: Mapping[str, Server]
) -> dict[str, str]:
    made = {
        "ROTA_HTTP_HOST": settings.http_host,
        "ROTA_HTTP_PORT": str(settings.http_port),
        "ROTA_ADMIN_EMAIL": credentials.admin_email,
        "ROTA_ADMIN_PASSWORD": credentials.admin_password,
        "ROTA_LOG_FORMAT": "json",
        **{f"ROTA_{name.upper()}_URL": server.url for name, server in servers.items()},
        **{f"ROTA_{name.upper()}_ADDRESS": f"unix:{_socket(folder, name)}" for name in BACKENDS},
    }
    inherited = {name: value for name, value in os.environ.items() if name != "ROTA_LISTEN"}
    defaults = {"MALLOC_ARENA_MAX": "2", "ROTA_ATTACHMENTS_FOLDER": str(folder.path / "attachments")}
    if "ROTA_SERVICE_SECRET_FILE" not in inherited:
        defaults["ROTA_SERVICE_SECRET"] = credentials.service_secret
    if "ROTA_SIGNING_KEY" not in inherited:
        defaults["ROTA_SIGNING_KEY_FILE"] = str(folder.signing_key)
    return {**defaults, **inherited, **made}


def _socket(folder: DataFolder, name: str) -> Path:
    return socket_folder(folder.run) / f"{name}.sock"


def _program(settings: Settings, folder: DataFolder, environment: Mapping[str, str], name: str) -> Program:
    return _python(settings, folder, environment, name, "-m", f"rota_{name}")


def _python(
    settings: Settings, folder: DataFolder, environment: Mapping[str, str], name: str, *arguments: str
) -> Program:
    return Program(
        name=name,
        argv=[sys.executable, *arguments],
        log=folder.logs / f"{name}.log",
        pid_file=folder.run / f"{name}.pid",
        environment=environment,
        stop_within_s=settings.drain_seconds + DRAIN_MARGIN_S,
    )


def _urls(settings: Settings, folder: DataFolder, servers: Mapping[str, Server]) -> dict[str, str]:
    nats = servers.get("nats")
    urls = {
        "API": f"{settings.url}/api/v1",
        "Docs": f"{settings.url}/docs",
        "Health": f"{settings.url}/readyz",
        "Events": str(getattr(nats, "public_url", None) or settings.nats_url),
    }
    return urls | {"Mail": str(folder.mail) if "smtp" in servers else str(settings.smtp_url)}


async def _listens_at_path(path: Path) -> bool:
    try:
        _, writer = await asyncio.open_unix_connection(str(path))
    except OSError:
        return False
    writer.close()
    return True


async def _listens_at_port(host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    return True


async def _answers_200(host: str, port: int, path: str) -> bool:
    """An HTTP client would cost this process more memory than the rest of it (RFC 9112 in one line)."""
    try:
        reader, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        with suppress(TimeoutError):
            async with asyncio.timeout(5):
                return b" 200 " in await reader.readline()
    except OSError:
        pass
    finally:
        writer.close()
    return False
