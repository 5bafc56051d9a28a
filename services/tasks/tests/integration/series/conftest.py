"""A tasks service and the scheduler that tells it of time."""

from __future__ import annotations

from typing import Any

import pytest
from rota_chassis.testing.clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    """The time of both services."""
    return ManualClock()


@pytest.fixture
def settings(scheduler_address: str, clock: ManualClock) -> dict[str, Any]:
    return {"scheduler_address": scheduler_address, "clock": clock}
