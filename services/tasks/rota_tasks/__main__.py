"""`python -m rota_tasks` serves; `python -m rota_tasks rebuild` rebuilds the read tables from the event log."""

from __future__ import annotations

import argparse
import asyncio
import sys

from rota_chassis.errors import RotaError
from rota_chassis.postgres.database import Database
from rota_chassis.service import run

from rota_tasks.bootstrap import SERVICE
from rota_tasks.rebuild import rebuild
from rota_tasks.settings import TasksSettings


async def _rebuild(projection: str | None) -> None:
    database = await Database.connect(TasksSettings().database_url("tasks"), size=1, name="rota-tasks-rebuild")
    try:
        rebuilt = await rebuild(database, projection)
    finally:
        await database.close()
    sys.stdout.write(
        f"{projection or 'tasks'}: {rebuilt.events} events gave {rebuilt.rows} rows; {rebuilt.differences} rows "
        f"differed and were repaired; writers waited {rebuilt.longest_wait_s:.3f} s at most\n"
    )


def _main() -> None:
    parser = argparse.ArgumentParser(prog="rota_tasks", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    rebuilds = commands.add_parser("rebuild", help="Make the read tables what the event log says.")
    rebuilds.add_argument("--projection", help="One table only, by its name: labels.")
    arguments = parser.parse_args()
    if arguments.command is None:
        run(SERVICE)
        return
    try:
        asyncio.run(_rebuild(arguments.projection))
    except (LookupError, RotaError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    _main()
