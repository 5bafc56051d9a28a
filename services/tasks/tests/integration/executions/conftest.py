"""A tasks service and the scheduler that takes the actions of its tasks."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, Any

import pytest
from rota_chassis.testing.auth import small_auth
from rota_chassis.testing.clock import ManualClock
from rota_chassis.testing.services import running
from rota_scheduler.bootstrap import SERVICE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rota_chassis.testing.auth import SmallAuth
    from rota_chassis.testing.service_plugin import MakeDatabase
    from rota_chassis.testing.tokens import TokenIssuer


@pytest.fixture
def clock() -> ManualClock:
    """The time of both services."""
    return ManualClock()


@pytest.fixture
async def scheduler_auth() -> AsyncIterator[SmallAuth]:
    """Whom the scheduler asks about memberships."""
    async with small_auth() as auth:
        yield auth


@pytest.fixture
async def scheduler_url(make_database: MakeDatabase) -> str:
    """The database of the scheduler."""
    return await make_database("scheduler")


@pytest.fixture
async def settings(
    *,
    scheduler_url: str,
    scheduler_auth: SmallAuth,
    postgres_url: str,
    redis_url: str,
    fresh_nats_url: str,
    issuer: TokenIssuer,
    clock: ManualClock,
) -> AsyncIterator[dict[str, Any]]:
    """Where the tasks service finds the scheduler, which runs."""
    with tempfile.TemporaryDirectory(prefix="rota-") as folder:
        address = f"unix:{folder}/actions.sock"
        async with running(
            SERVICE,
            server_url=postgres_url,
            database_url=scheduler_url,
            redis_url=redis_url,
            nats_url=fresh_nats_url,
            issuer=issuer,
            clock=clock,
            auth_address=scheduler_auth.address,
            scheduler_address=address,
        ):
            yield {"scheduler_address": address, "clock": clock}
