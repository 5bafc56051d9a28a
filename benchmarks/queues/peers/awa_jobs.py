"""awa: a queue in Rust with Python bindings, ends kept. `python awa_jobs.py prepare|add|work URL [COUNT]`."""

import asyncio
import signal
import sys
from dataclasses import dataclass

import awa

BATCH = 1_000
CONCURRENCY = 100


@dataclass
class Nothing:
    """A job that does nothing."""

    number: int


async def main(command: str, url: str, count: int) -> None:
    """Make the tables, add jobs, or do them until SIGTERM."""
    # It wants a host where the address names a socket.
    client = awa.AsyncClient(url.replace("@/", "@localhost/"))
    if command == "prepare":
        await client.migrate()
    elif command == "add":
        for start in range(0, count, BATCH):
            await client.insert_many_copy([Nothing(n) for n in range(min(BATCH, count - start))], queue="nothing")
    else:

        @client.task(Nothing, queue="nothing")
        async def nothing(_job: object) -> None:
            pass

        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        await client.start([("nothing", CONCURRENCY)])
        await stop.wait()
        await client.shutdown()
    await client.close()


asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 0))  # noqa: PLR2004
