"""Takes away what nobody refers to: objects whose upload never ended, and those of deleted attachments.

A pass may be made by any replica, and by several; an advisory lock lets one do the work. Dying in between leaves rows
that say what is to go, and taking away what is gone already does nothing.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from rota_chassis.errors import Unavailable
from rota_chassis.logs import logger

from rota_tasks.attachments import ledger

if TYPE_CHECKING:
    from rota_tasks.attachments.dependencies import Attachments

EVERY_S = 60.0
PENDING_AT_MOST = timedelta(hours=1)
"""Longer than an upload can take: the contract gives it 50 minutes."""
_AT_ONCE = 100
_LOCK = 0x0A77AC4
_LOG = logger(__name__)


async def run(attachments: Attachments, *, every_s: float = EVERY_S) -> None:
    """A pass now and then, until cancelled."""
    while True:
        try:
            removed = await clean(attachments)
        except Unavailable as error:
            _LOG.warning("attachments.cleanup_failed", code=error.code, cause=repr(error.__cause__))
        else:
            if removed:
                _LOG.info("attachments.cleaned", removed=removed)
        await asyncio.sleep(every_s)


async def clean(attachments: Attachments) -> int:
    """One pass: how many objects it took away; none when another replica is at it.

    Raises:
        Unavailable: the database or the file store does not answer; what is left goes with the next pass.
    """
    database = attachments.tasks.database
    removed = 0
    async with database.connection() as holder:
        if not await holder.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):
            return 0
        try:
            async with database.transaction() as work:
                before = attachments.tasks.clock.now() - PENDING_AT_MOST
                await ledger.release_overdue(work, before=before, limit=_AT_ONCE)
            while gone := await ledger.deleted(database, limit=_AT_ONCE):
                for workspace_id, object_id in gone:
                    await attachments.files.delete(workspace_id, object_id)
                    async with database.transaction() as work:
                        await ledger.forget(work, workspace_id=workspace_id, object_id=object_id)
                removed += len(gone)
        finally:
            await holder.execute("SELECT pg_advisory_unlock($1)", _LOCK)
    return removed
