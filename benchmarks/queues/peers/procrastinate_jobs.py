"""Procrastinate: jobs in a table, finished ones kept. `python procrastinate_jobs.py prepare|add|work URL [COUNT]`."""

import asyncio
import sys

import procrastinate

BATCH = 1_000
CONCURRENCY = 100


async def main(command: str, url: str, count: int) -> None:
    """Make the tables, add jobs, or do them until SIGTERM."""
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url, max_size=10))

    @app.task(name="nothing")
    async def nothing() -> None:
        pass

    async with app.open_async():
        if command == "prepare":
            await app.schema_manager.apply_schema_async()
        elif command == "add":
            for start in range(0, count, BATCH):
                await nothing.batch_defer_async(*({} for _ in range(min(BATCH, count - start))))
        else:
            await app.run_worker_async(concurrency=CONCURRENCY, fetch_job_polling_interval=1.0)


asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 0))  # noqa: PLR2004
