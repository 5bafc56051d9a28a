"""Makes the documents anew that notes name (see `documents`), beside the requests."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from rota_tasks.polling import work_off
from rota_tasks.search import documents

if TYPE_CHECKING:
    from rota_chassis.postgres.database import Database


async def run(database: Database) -> None:
    """Work off notes until cancelled; while the database is away, try again once a second."""
    await work_off(partial(refresh, database), "stale documents")


async def refresh(database: Database) -> bool:
    """Go on with one note, in a transaction of its own; whether there was one."""
    async with database.transaction() as work:
        return await documents.refresh(work)
