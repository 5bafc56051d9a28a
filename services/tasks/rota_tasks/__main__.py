"""`python -m rota_tasks` serves; `python -m rota_tasks rebuild` rebuilds the read tables from the event log."""

from __future__ import annotations

import asyncio
import sys

from rota_chassis.postgres.database import Database
from rota_chassis.service import run

from rota_tasks.bootstrap import SERVICE
from rota_tasks.rebuild import rebuild
from rota_tasks.settings import TasksSettings


async def _rebuild() -> None:
    database = await Database.connect(TasksSettings().database_url("tasks"), size=1, name="rota-tasks-rebuild")
    try:
        rebuilt = await rebuild(database)
    finally:
        await database.close()
    sys.stdout.write(
        f"tasks: {rebuilt.events} events gave {rebuilt.rows} rows; {rebuilt.differences} rows differed before\n"
    )


if __name__ == "__main__":
    if sys.argv[1:] == ["rebuild"]:
        asyncio.run(_rebuild())
    else:
        run(SERVICE)
