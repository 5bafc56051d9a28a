"""What the command reads from the environment; the services read the rest themselves.

A plain class: a settings library would double the memory of a process that stays for as long as Rota runs.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rota_cli.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Mapping

ADMIN_EMAIL = "admin@rota.localhost"
_EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}
_HIGHEST_PORT = 65535


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The `ROTA_*` variables that decide what runs here; None where a server is to be embedded or a secret made."""

    data_dir: Path
    http_host: str
    http_port: int
    postgres_url: str | None
    redis_url: str | None
    nats_url: str | None
    smtp_url: str | None
    admin_email: str
    admin_password: str | None
    drain_seconds: float

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Read them. Raises CommandError."""
        return cls(
            data_dir=Path(environment.get("ROTA_DATA_DIR") or ".rota").expanduser().absolute(),
            http_host=environment.get("ROTA_HTTP_HOST") or "127.0.0.1",
            http_port=_port(environment.get("ROTA_HTTP_PORT") or "8080"),
            postgres_url=_read(environment, "ROTA_POSTGRES_URL"),
            redis_url=_read(environment, "ROTA_REDIS_URL"),
            nats_url=_read(environment, "ROTA_NATS_URL"),
            smtp_url=_read(environment, "ROTA_SMTP_URL"),
            admin_email=_read(environment, "ROTA_ADMIN_EMAIL") or ADMIN_EMAIL,
            admin_password=_read(environment, "ROTA_ADMIN_PASSWORD"),
            drain_seconds=_seconds(environment.get("ROTA_DRAIN_SECONDS") or "10"),
        )

    @property
    def reachable_host(self) -> str:
        """The host to connect to: a server that listens on every address is reached on the loopback address."""
        return _EVERY_ADDRESS.get(self.http_host, self.http_host)

    @property
    def url(self) -> str:
        """Where the gateway answers."""
        host = f"[{self.reachable_host}]" if ":" in self.reachable_host else self.reachable_host
        return f"http://{host}:{self.http_port}"


def _read(environment: Mapping[str, str], name: str) -> str | None:
    """A variable, or the content of the file that `<name>_FILE` names."""
    if value := environment.get(name):
        return value
    if path := environment.get(f"{name}_FILE"):
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise CommandError(f"{name}_FILE names {path}, which cannot be read: {error.strerror}.") from error
    return None


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= _HIGHEST_PORT:
        raise CommandError(f"ROTA_HTTP_PORT must be a number from 1 to {_HIGHEST_PORT}, not {text!r}.")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise CommandError(f"ROTA_DRAIN_SECONDS must be a number of seconds, not {text!r}.")
    return seconds
