"""PgQueuer: jobs in a table, ends in a log. `python pgqueuer_jobs.py prepare|add|work URL [COUNT]`."""

import asyncio
import signal
import sys

import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver, AsyncpgPoolDriver
from pgqueuer.queries import Queries

BATCH = 1_000


async def main(command: str, url: str, count: int) -> None:
    """Make the tables, add jobs, or do them until SIGTERM."""
    if command == "work":
        async with asyncpg.create_pool(url, min_size=2, max_size=10) as pool:
            queuer = PgQueuer(AsyncpgPoolDriver(pool))

            @queuer.entrypoint("nothing")
            async def nothing(_job: object) -> None:
                pass

            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, queuer.shutdown.set)
            await queuer.run(batch_size=BATCH)
        return
    connection = await asyncpg.connect(url)
    queries = Queries(AsyncpgDriver(connection))
    if command == "prepare":
        await queries.install()
    for start in range(0, count, BATCH):
        size = min(BATCH, count - start)
        await queries.enqueue(["nothing"] * size, [None] * size, [0] * size)
    await connection.close()


uvloop.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 0))  # noqa: PLR2004
