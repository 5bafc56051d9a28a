"""One Rota for the tests of the whole system."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rota_chassis.testing import servers
from whole import System, started

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# Tests ask more, and faster, than people do.
RATES = dict.fromkeys(("ROTA_RATE_READ", "ROTA_RATE_WRITE", "ROTA_RATE_CREDENTIAL"), "100000/1s")


@pytest.fixture(scope="session")
async def system() -> AsyncIterator[System]:
    """One Rota for every test that does not harm it."""
    with tempfile.TemporaryDirectory(prefix="rota-e2e-", dir=servers.memory()) as folder:
        data = Path(folder) / "data"
        with started(data, **RATES) as running:
            await running.until_ready()
            yield running
