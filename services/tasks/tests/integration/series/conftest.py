"""A tasks service and the scheduler that tells it of time."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, Any

import pytest
from rota_chassis.testing.clock import ManualClock
from rota_chassis.testing.services import running
from rota_scheduler.bootstrap import SERVICE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rota_chassis.testing.service_plugin import MakeDatabase
    from rota_chassis.testing.tokens import TokenIssuer


@pytest.fixture
def clock() -> ManualClock:
    """The time of both services."""
    return ManualClock()


@pytest.fixture
async def settings(
    *,
    make_database: MakeDatabase,
    postgres_url: str,
    redis_url: str,
    fresh_nats_url: str,
    issuer: TokenIssuer,
    clock: ManualClock,
) -> AsyncIterator[dict[str, Any]]:
    """Where the tasks service finds the scheduler, which runs."""
    with tempfile.TemporaryDirectory(prefix="rota-") as folder:
        address = f"unix:{folder}/times.sock"
        async with running(
            SERVICE,
            server_url=postgres_url,
            database_url=await make_database("scheduler"),
            redis_url=redis_url,
            nats_url=fresh_nats_url,
            issuer=issuer,
            clock=clock,
            scheduler_address=address,
        ):
            yield {"scheduler_address": address, "clock": clock}
