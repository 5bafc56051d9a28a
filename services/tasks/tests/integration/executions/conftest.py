"""A tasks service and the scheduler that takes the actions of its tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from rota_chassis.testing.auth import small_auth
from rota_chassis.testing.clock import ManualClock
from rota_chassis.testing.tasks import small_tasks

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
async def scheduler_settings(scheduler_auth: SmallAuth) -> AsyncIterator[dict[str, Any]]:
    # It asks which projects are private before a task of one takes its action; here none is.
    async with small_tasks() as tasks:
        yield {"auth_address": scheduler_auth.address, "tasks_address": tasks.address}


@pytest.fixture
def settings(scheduler_address: str, clock: ManualClock) -> dict[str, Any]:
    return {"scheduler_address": scheduler_address, "clock": clock}


@pytest.fixture(autouse=True)
def _known(stage: Stage, scheduler_auth: SmallAuth) -> None:
    """The scheduler knows both users."""
    scheduler_auth.add_user(stage.ada)
    scheduler_auth.add_user(stage.grace)
