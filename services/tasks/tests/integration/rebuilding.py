"""The read tables, compared with what the log says."""

from __future__ import annotations

from rota_chassis.postgres.database import Database
from rota_tasks.rebuild import rebuild


async def require_rebuilt(database_url: str) -> None:
    """Return if a rebuild finds nothing to repair."""
    database = await Database.connect(database_url, size=2, name="rebuild")
    try:
        assert (await rebuild(database)).differences == 0
    finally:
        await database.close()
