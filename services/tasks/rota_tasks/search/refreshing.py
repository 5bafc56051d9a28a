"""Makes the documents anew that notes name (see `documents`), beside the requests."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from rota_chassis.errors import Unavailable
from rota_chassis.logs import logger

from rota_tasks.search import documents

if TYPE_CHECKING:
    from rota_chassis.postgres.database import Database

POLL_S = 1.0
_LOG = logger(__name__)


async def run(database: Database) -> None:
    """Work off notes until cancelled; while the database is away, try again once a second."""
    while True:
        try:
            while await refresh(database):
                pass
        except Unavailable as error:
            _LOG.warning("refreshing.interrupted", error=repr(error.__cause__ or error))
        await asyncio.sleep(POLL_S)


async def refresh(database: Database) -> bool:
    """Go on with one note, in a transaction of its own; whether there was one."""
    async with database.transaction() as work:
        return await documents.refresh(work)
