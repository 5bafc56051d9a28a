"""A tasks service and the scheduler that takes the actions of its tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from rota_chassis.testing.auth import small_auth
from rota_chassis.testing.clock import ManualClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from conftest import Stage
    from rota_chassis.testing.auth import SmallAuth


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
def scheduler_settings(scheduler_auth: SmallAuth) -> dict[str, Any]:
    return {"auth_address": scheduler_auth.address}


@pytest.fixture
def settings(scheduler_address: str, clock: ManualClock) -> dict[str, Any]:
    return {"scheduler_address": scheduler_address, "clock": clock}


@pytest.fixture(autouse=True)
def _known(stage: Stage, scheduler_auth: SmallAuth) -> None:
    """The scheduler knows both users."""
    scheduler_auth.add_user(stage.ada)
    scheduler_auth.add_user(stage.grace)
