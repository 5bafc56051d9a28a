from __future__ import annotations

import secrets
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from rota.auth.v1 import auth_pb2, auth_pb2_grpc, invitations_pb2_grpc, users_pb2_grpc, workspaces_pb2_grpc
from rota_auth.bootstrap import SERVICE
from rota_chassis.postgres.pool import prepare_connection
from rota_chassis.testing.clock import ManualClock
from rota_chassis.testing.services import running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    import grpc
    from rota_chassis.testing.service_plugin import MakeDatabase
    from rota_chassis.testing.tokens import TokenIssuer

    Grant = auth_pb2.RegisterResponse | auth_pb2.LoginResponse | auth_pb2.RefreshResponse
    Start = Callable[..., AbstractAsyncContextManager["Auth"]]

PASSWORD = "correct horse battery"


class Auth:
    """The auth service under test, its clock and its database."""

    def __init__(self, channel: grpc.aio.Channel, database: asyncpg.Connection, clock: ManualClock) -> None:
        self.sessions = auth_pb2_grpc.AuthServiceStub(channel)
        self.users = users_pb2_grpc.UserServiceStub(channel)
        self.workspaces = workspaces_pb2_grpc.WorkspaceServiceStub(channel)
        self.invitations = invitations_pb2_grpc.InvitationServiceStub(channel)
        self.database = database
        self.clock = clock

    async def register(self, email: str | None = None, name: str = "Ada") -> auth_pb2.RegisterResponse:
        """Register somebody; without an e-mail address, somebody new."""
        return await self.sessions.Register(
            auth_pb2.RegisterRequest(email=email or self.an_email(), password=PASSWORD, name=name)
        )

    async def login(self, email: str, password: str = PASSWORD) -> auth_pb2.LoginResponse:
        return await self.sessions.Login(auth_pb2.LoginRequest(email=email, password=password))

    async def refresh(self, refresh_token: str) -> auth_pb2.RefreshResponse:
        return await self.sessions.Refresh(auth_pb2.RefreshRequest(refresh_token=refresh_token))

    async def events(self, workspace_id: str) -> list[Any]:
        """The log of a workspace."""
        return list(
            await self.database.fetch(
                "SELECT * FROM events WHERE workspace_id = $1::uuid ORDER BY position", workspace_id
            )
        )

    @staticmethod
    def an_email() -> str:
        """An e-mail address that nobody has."""
        return f"{secrets.token_hex(6)}@example.com"

    @staticmethod
    def calling(grant: Grant) -> tuple[tuple[str, str], ...]:
        """The metadata of a user's calls."""
        return (("authorization", f"Bearer {grant.access_token}"),)


@pytest.fixture(scope="session")
def start(postgres_url: str, redis_url: str, nats_url: str, issuer: TokenIssuer) -> Start:
    """Runs a replica of the service on a database, within an `async with` block."""

    @asynccontextmanager
    async def start(database_url: str, **settings: Any) -> AsyncIterator[Auth]:
        clock = ManualClock(datetime.now(UTC))
        async with running(
            SERVICE,
            server_url=postgres_url,
            database_url=database_url,
            redis_url=redis_url,
            nats_url=nats_url,
            issuer=issuer,
            clock=clock,
            **settings,
        ) as channel:
            database = await asyncpg.connect(database_url)
            await prepare_connection(database)
            try:
                yield Auth(channel, database, clock)
            finally:
                await database.close()

    return start


@pytest.fixture(scope="module")
async def replica(start: Start, make_lasting_database: MakeDatabase) -> AsyncIterator[Auth]:
    """The service with a database of its own."""
    async with start(await make_lasting_database("auth")) as auth:
        yield auth


@pytest.fixture
def auth(replica: Auth) -> Auth:
    """The service at this hour: access tokens are verified against the machine's clock."""
    replica.clock.set(datetime.now(UTC))
    return replica
