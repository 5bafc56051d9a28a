"""Makes the documents anew that notes name, and those without a language of their workspace, beside the requests."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from rota_tasks.polling import work_off
from rota_tasks.search import documents

if TYPE_CHECKING:
    from rota_chassis.postgres.database import Database


async def run(database: Database) -> None:
    """Work off notes until cancelled; while the database is away, try again once a second."""
    async with asyncio.TaskGroup() as group:
        group.create_task(work_off(partial(refresh, database), "stale documents"))
        group.create_task(work_off(partial(prepare, database), "search languages"))


async def refresh(database: Database) -> bool:
    """Go on with one note, in a transaction of its own; whether there was one."""
    async with database.transaction() as work:
        return await documents.refresh(work)


async def prepare(database: Database) -> bool:
    """Go on with one language of a workspace, in a transaction of its own; whether there was one."""
    async with database.transaction() as work:
        return await documents.prepare(work)
