"""How long an event takes from the commit of its transaction to a consumer of the stream.

Single events are committed at a steady rate to a PostgreSQL server that waits for the disk, the relay publishes them to
a NATS server that does too, and a consumer of JetStream receives them; commits, relay and consumer share a process.

Usage: python benchmarks/relay.py [--writes 500] [--seconds 20] [--rounds 3]
"""

from __future__ import annotations

import argparse
import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import uvloop
from cpu import Cpu
from rota.events.v1 import events_pb2
from rota.tasks.v1 import tasks_pb2
from rota_chassis.embedded.postgres import Postgres
from rota_chassis.events.connection import nats_connection
from rota_chassis.events.envelope import SUBJECT_PREFIX
from rota_chassis.events.log import NewEvent
from rota_chassis.events.relay import Relay
from rota_chassis.events.stream import ensure_streams
from rota_chassis.ids import uuid7
from rota_chassis.postgres.database import Database
from rota_chassis.postgres.migrations import migrate
from rota_chassis.settings import database_url
from rota_chassis.testing import servers

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

WORKSPACE = uuid7()
TASK = tasks_pb2.Task(title="Water the plants", description="The basil too, please.", version=1)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--writes", type=int, default=500, help="transactions a second")
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    uvloop.run(run(parser.parse_args()))


async def run(options: argparse.Namespace) -> None:
    """Start the servers, and measure."""
    with servers.server_folder() as folder:
        durable = Postgres(folder / "postgres", folder, folder / "postgres.log")
        async with servers.running(durable) as postgres, servers.running(servers.nats(folder)) as nats:
            await migrate("tasks", postgres.url, database="tasks")
            assert postgres.pid
            url = database_url(postgres.url, "tasks")
            database = await Database.connect(url, acquire_timeout_s=60)
            async with nats_connection(nats.url, "bench") as client:
                await ensure_streams(client.jetstream())
                relay = asyncio.create_task(Relay(database, client, "/rota/tasks").run())
                print(
                    f"{'writes/s':>9} {'p50 ms':>8} {'p99 ms':>8} {'max ms':>8} {'CPU us, process':>16} {'server':>8}"
                )
                for _ in range(options.rounds):
                    await measure(database, client, options, Cpu(postgres.pid))
                relay.cancel()
                with suppress(asyncio.CancelledError):
                    await relay
            await database.close()


async def measure(database: Database, client: Client, options: argparse.Namespace, of_server: Cpu) -> None:
    """Commit at the rate, receive, and print a line."""
    number = options.writes * options.seconds
    committed: dict[str, float] = {}
    arrived: dict[str, float] = {}
    complete = asyncio.Event()

    async def receive(message: Msg) -> None:
        arrived[(message.headers or {})["ce-id"]] = time.perf_counter()
        if len(arrived) == number:
            complete.set()

    async def commit() -> None:
        event_id = uuid7()
        async with database.transaction(late=True) as work:
            work.append(NewEvent(WORKSPACE, uuid7(), 1, events_pb2.TaskCreated(task=TASK), id=event_id))
        committed[str(event_id)] = time.perf_counter()

    subscription = await client.jetstream().subscribe(
        f"{SUBJECT_PREFIX}.>", ordered_consumer=True, cb=receive, deliver_policy="new"
    )
    cpu, began = time.process_time(), time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for index in range(number):
            await asyncio.sleep(began + index / options.writes - time.perf_counter())
            group.create_task(commit())
    reached = number / (time.perf_counter() - began)
    async with asyncio.timeout(60):
        await complete.wait()
    await subscription.unsubscribe()
    lags = sorted((arrived[each] - committed[each]) * 1e3 for each in committed)
    of_process_us = (time.process_time() - cpu) * 1e6 / number
    of_server_us = of_server.used_s() * 1e6 / number
    p50, p99 = (lags[int(len(lags) * share)] for share in (0.5, 0.99))
    print(f"{reached:9.0f} {p50:8.1f} {p99:8.1f} {lags[-1]:8.1f} {of_process_us:16.0f} {of_server_us:8.0f}", flush=True)


if __name__ == "__main__":
    main()
