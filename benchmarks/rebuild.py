"""How long a rebuild of the read tables keeps writers waiting.

A service with many tasks; writers that change some of them, each one after another and waiting for its answer; and
`python -m rota_tasks rebuild` in a process of its own: once with nothing to repair, once with every task broken. Times
are those of the writers' calls.

Usage: python benchmarks/rebuild.py [--tasks 100000] [--writers 50]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import sys
import time
from typing import TYPE_CHECKING, Any

import asyncpg
from google.protobuf.field_mask_pb2 import FieldMask
from rota.tasks.v1 import batch_pb2, batch_pb2_grpc, tasks_pb2, tasks_pb2_grpc
from rota_chassis.postgres.migrations import migrate
from rota_chassis.settings import database_url
from rota_chassis.testing import servers
from rota_chassis.testing.auth import small_auth
from rota_chassis.testing.services import User, running
from rota_chassis.testing.tokens import TokenIssuer
from rota_tasks.bootstrap import SERVICE

if TYPE_CHECKING:
    import grpc

_BATCH = 500
_COPIES = (
    """
    INSERT INTO tasks SELECT made.* FROM tasks t, generate_series(1, $1::int) n,
        jsonb_populate_record(t, jsonb_build_object('id', md5(t.id::text || n)::uuid)) made
    """,
    """
    INSERT INTO search_documents SELECT d.workspace_id, md5(d.task_id::text || n)::uuid, d.document
    FROM search_documents d, generate_series(1, $1::int) n
    """,
    """
    INSERT INTO events (workspace_id, id, aggregate, aggregate_id, aggregate_version, type, schema_version, data,
        actor, time, published_at)
    SELECT e.workspace_id, gen_random_uuid(), e.aggregate, md5(e.aggregate_id::text || n)::uuid, 1, e.type, 1,
        jsonb_set(e.data, '{task,id}', to_jsonb(md5(e.aggregate_id::text || n)::uuid)), e.actor, e.time, now()
    FROM events e, generate_series(1, $1::int) n WHERE e.aggregate = 'task'
    """,
)
_BESIDE_S = 20.0


def main() -> None:
    """Print how long calls took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--writers", type=int, default=50)
    options = parser.parse_args()
    asyncio.run(measure(options.tasks, options.writers))


async def measure(number: int, writers: int) -> None:
    """Fill, then let writers write: by themselves, beside a rebuild, and beside one that repairs all."""
    issuer = TokenIssuer()
    user = User(issuer)
    user.token = issuer.access_token(user.id, user.workspace_id, session_id=user.session_id, lifetime_s=86_400)
    with servers.server_folder() as folder:
        async with (
            servers.running(servers.postgres(folder)) as postgres,
            servers.running(servers.redis(folder)) as redis,
            servers.running(servers.nats(folder)) as nats,
            small_auth() as auth,
        ):
            await migrate("tasks", postgres.url)
            auth.add_user(user)
            url = database_url(postgres.url, "rota_tasks")
            async with running(
                SERVICE,
                server_url=postgres.url,
                database_url=url,
                redis_url=redis.url,
                nats_url=nats.url,
                issuer=issuer,
                auth_address=auth.address,
            ) as channel:
                ids = await fill(channel, user, number, url)
                print(f"{number:,} tasks, {writers} writers{'':14} {'calls':>7} {'p50':>7} {'p99':>7} {'max':>7} ms")
                await beside(channel, user, ids, writers, name="by themselves", what=asyncio.sleep(_BESIDE_S))
                await beside(channel, user, ids, writers, name="beside a rebuild", what=rebuild(postgres.url))
                connection = await asyncpg.connect(url)
                await connection.execute("UPDATE tasks SET category = 'broken'", timeout=600)
                await connection.close()
                await beside(channel, user, ids, writers, name="beside a repair of all", what=rebuild(postgres.url))


async def fill(channel: grpc.aio.Channel, user: User, number: int, url: str) -> list[str]:
    """Make some tasks through the API, and as many like them in the database, with their events; ids of some."""
    batches = batch_pb2_grpc.BatchServiceStub(channel)
    request = batch_pb2.BatchTasksRequest(
        operations=[
            batch_pb2.BatchOperation(
                create=tasks_pb2.CreateTaskRequest(title=f"Order the basil {n}", description="As told." * 8)
            )
            for n in range(_BATCH)
        ]
    )
    answer = await batches.BatchTasks(request, metadata=user.metadata, timeout=60)
    connection = await asyncpg.connect(url)
    for statement in _COPIES:
        await connection.execute(statement, number // _BATCH - 1, timeout=600)
    await connection.execute("ANALYZE", timeout=600)
    await connection.close()
    return [each.task.id for each in answer.results]


async def beside(channel: grpc.aio.Channel, user: User, ids: list[str], writers: int, *, name: str, what: Any) -> None:
    """Let writers write while something runs, and print how long they took."""
    tasks, times, stopped = tasks_pb2_grpc.TaskServiceStub(channel), [], asyncio.Event()

    async def write(number: int) -> None:
        chance = random.Random(number)  # noqa: S311 (which task changes, not a secret)
        while not stopped.is_set():
            request = tasks_pb2.UpdateTaskRequest(
                id=chance.choice(ids), title=f"by {number}", update_mask=FieldMask(paths=["title"])
            )
            began = time.perf_counter()
            await tasks.UpdateTask(request, metadata=user.metadata)
            times.append((time.perf_counter() - began) * 1e3)

    async with asyncio.TaskGroup() as group:
        for number in range(writers):
            group.create_task(write(number))
        await what
        stopped.set()
    times.sort()
    p99 = times[round(len(times) * 0.99) - 1]
    print(f"{name:41} {len(times):7} {statistics.median(times):7.1f} {p99:7.1f} {times[-1]:7.1f}", flush=True)


async def rebuild(server_url: str) -> None:
    """Rebuild in a process of its own."""
    began = time.monotonic()
    environment = os.environ | {"ROTA_POSTGRES_URL": server_url}
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "rota_tasks", "rebuild", env=environment)
    assert await process.wait() == 0
    print(f"  rebuilt in {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    main()
