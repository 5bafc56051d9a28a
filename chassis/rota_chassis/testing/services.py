"""A service under test: the real one, on real servers, within the test's own loop."""

from __future__ import annotations

import tempfile
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from rota_chassis.ids import uuid7
from rota_chassis.rpc.channel import open_channel
from rota_chassis.service import serving
from rota_chassis.settings import ServiceSettings
from rota_chassis.tokens import ServiceTokens

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    import grpc

    from rota_chassis.clock import Clock
    from rota_chassis.service import Service
    from rota_chassis.testing.tokens import TokenIssuer

SettingsT = TypeVar("SettingsT", bound=ServiceSettings)


class User:
    """A user of a test: an id, a workspace of their own, and the metadata of their calls."""

    def __init__(self, issuer: TokenIssuer, *, role: str = "user") -> None:
        self.id: UUID = uuid7()
        self.workspace_id: UUID = uuid7()
        self.session_id: UUID = uuid7()
        self.token = issuer.access_token(self.id, self.workspace_id, role=role, session_id=self.session_id)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """GRPC metadata that says this user calls."""
        return (("authorization", f"Bearer {self.token}"),)


@asynccontextmanager
async def running(
    service: Service[SettingsT],
    *,
    server_url: str,
    database_url: str,
    redis_url: str,
    nats_url: str,
    issuer: TokenIssuer,
    clock: Clock | None = None,
    replica_url: str | None = None,
    **settings: Any,
) -> AsyncIterator[grpc.aio.Channel]:
    """Run a service on a socket of its own; yields a channel to it that calls as a service named "test".

    Args:
        service: What its `__main__` runs.
        server_url: The PostgreSQL server.
        database_url: The migrated database of `make_database`.
        redis_url: The Redis server.
        nats_url: The NATS server.
        issuer: Whose access tokens it believes.
        clock: Its time; absent means the machine's.
        replica_url: The same database on a standby.
        settings: Further fields of its settings, for example `tasks_address`.
    """

    class _Settings(service.settings):  # type: ignore[name-defined, misc]
        def database_url(self, service: str) -> str:  # noqa: ARG002 (the base class's signature)
            return database_url

        def replica_database_url(self, service: str) -> str | None:  # noqa: ARG002
            return replica_url

    with tempfile.TemporaryDirectory(prefix="rota-") as folder:
        address = f"unix:{folder}/{service.name}.sock"
        values = _Settings(
            postgres_url=server_url,
            redis_url=redis_url,
            nats_url=nats_url,
            drain_seconds=1,
            **{f"{service.name}_address": address, **settings},
        )
        under_test: Service[Any] = service
        async with serving(under_test, values, clock=clock, keys=issuer.keys):
            channel = open_channel(address, ServiceTokens("test", values.service_secret.get_secret_value()))
            async with channel:
                yield channel
