"""What every service reads from its environment, once, at start."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "ROTA_"
DEVELOPMENT_SECRET = "development-secret-of-the-services"  # noqa: S105 (refused in production)


class Environment(StrEnum):
    """Environments differ by values only."""

    DEVELOPMENT = "development"
    TEST = "test"
    STAGING = "staging"
    PRODUCTION = "production"


class ServiceSettings(BaseSettings):
    """The `ROTA_*` environment that all services share; every value may also come from the file `ROTA_*_FILE` names."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", hide_input_in_errors=True)

    environment: Environment = Environment.DEVELOPMENT
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"
    metrics_listen: str | None = None
    otlp_endpoint: str | None = None
    drain_seconds: float = 10.0

    postgres_url: str = "postgresql://postgres@127.0.0.1:5432/postgres"
    postgres_replica_url: str | None = None
    postgres_pool_size: int = Field(default=10, ge=1)
    redis_url: str = "redis://127.0.0.1:6379/0"
    nats_url: str = "nats://127.0.0.1:4222"
    service_secret: SecretStr = SecretStr(DEVELOPMENT_SECRET)

    listen: str | None = None
    auth_address: str = "127.0.0.1:9001"
    tasks_address: str = "127.0.0.1:9002"
    scheduler_address: str = "127.0.0.1:9003"
    notifications_address: str = "127.0.0.1:9004"

    @model_validator(mode="before")
    @classmethod
    def _read_files(cls, values: dict[str, Any]) -> dict[str, Any]:
        for name in cls.model_fields:
            variable = f"{PREFIX}{name.upper()}_FILE"
            path = os.environ.get(variable)
            if path is not None and name not in values and f"{name}_file" not in cls.model_fields:
                try:
                    values[name] = Path(path).read_text(encoding="utf-8").strip()
                except OSError as error:
                    raise ValueError(f"{variable} names a file that cannot be read: {error.strerror}") from error
        return values

    @model_validator(mode="after")
    def _refuse_development_secret_in_production(self) -> Self:
        secret = self.service_secret.get_secret_value()
        if self.environment is Environment.PRODUCTION and secret == DEVELOPMENT_SECRET:
            raise ValueError("set ROTA_SERVICE_SECRET: production does not start with the development secret")
        if len(secret) < 32:  # noqa: PLR2004 (RFC 7518, section 3.2: an HS256 key has at least 256 bits)
            raise ValueError("ROTA_SERVICE_SECRET must have at least 32 characters")
        return self

    def address(self, service: str) -> str:
        """The gRPC target of a service."""
        target: str = getattr(self, f"{service}_address")
        return target

    def database_url(self, service: str) -> str:
        """The address of a service's own database, `rota_<service>`, on the PostgreSQL server."""
        return database_url(self.postgres_url, f"rota_{service}")

    def replica_database_url(self, service: str) -> str | None:
        """The same on the replica, if there is one."""
        return database_url(self.postgres_replica_url, f"rota_{service}") if self.postgres_replica_url else None


def database_url(server_url: str, database: str) -> str:
    """`server_url` with its database replaced; the query (for example `?host=/socket/folder`) is kept."""
    head, _, query = server_url.partition("?")
    scheme, _, rest = head.partition("://")
    authority = rest.partition("/")[0]
    return f"{scheme}://{authority}/{database}" + (f"?{query}" if query else "")
