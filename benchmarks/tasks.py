"""How fast the tasks service imports, and answers in a large workspace.

It is asked through gRPC by one caller after another; times are those of the caller, CPU that of service and caller.

Usage: python benchmarks/tasks.py [--imported 10000] [--tasks 1000000] [--calls 100]
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from typing import TYPE_CHECKING, Any

import orjson
import uvloop
from cpu import Cpu
from plans import connect
from rota.tasks.v1 import (
    boards_pb2,
    boards_pb2_grpc,
    imports_pb2,
    imports_pb2_grpc,
    search_pb2,
    search_pb2_grpc,
    tasks_pb2,
    tasks_pb2_grpc,
)
from rota_chassis import garbage
from rota_chassis.ids import uuid7
from rota_chassis.postgres.migrations import migrate
from rota_chassis.settings import database_url
from rota_chassis.testing import servers
from rota_chassis.testing.auth import small_auth
from rota_chassis.testing.services import User, running
from rota_chassis.testing.tokens import TokenIssuer
from rota_tasks.bootstrap import SERVICE
from workspace import USERS, Workspace

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import grpc

BODY = {"description": "The basil too, please.", "priority": "high", "status": "todo"}
PART = 900_000
GOING_ON = {imports_pb2.IMPORT_STATUS_QUEUED, imports_pb2.IMPORT_STATUS_RUNNING}


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=1_000_000)
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument("--imported", type=int, default=10_000)
    options = parser.parse_args()
    uvloop.run(measure_service(options))


async def measure_service(options: argparse.Namespace) -> None:
    """Run the service on servers of its own, import into one workspace, and ask in another."""
    issuer = TokenIssuer()
    with servers.server_folder() as folder:
        async with (
            servers.running(servers.postgres(folder)) as postgres,
            servers.running(servers.redis(folder)) as redis,
            servers.running(servers.nats(folder)) as nats,
            small_auth() as auth,
        ):
            await migrate("tasks", postgres.url, database="tasks")
            url = database_url(postgres.url, "tasks")
            user, importing = User(issuer), User(issuer)
            auth.add_user(user)
            auth.add_user(importing)
            workspace = Workspace(
                options.tasks, id=user.workspace_id, users=[user.id, *(User(issuer).id for _ in range(USERS))]
            )
            async with running(
                SERVICE,
                server_url=postgres.url,
                database_url=url,
                redis_url=redis.url,
                nats_url=nats.url,
                issuer=issuer,
                auth_address=auth.address,
            ) as channel:
                # As a service does when it runs by itself.
                garbage.collect_seldom()
                if options.imported:
                    server = int((folder / "postgres" / "postmaster.pid").read_text().split()[0])
                    await import_many(channel, importing, options.imported, Cpu(server))
                if options.tasks:
                    await fill(url, workspace)
                    await ask_large(channel, workspace, user, options.calls)


async def import_many(channel: grpc.aio.Channel, user: User, number: int, of_server: Cpu) -> None:
    """Import so many tasks from a file of Rota's own format, three times, and print what it costs."""
    imports = imports_pb2_grpc.ImportServiceStub(channel)
    print(f"{'imported':10} {'tasks/s':>10} {'CPU us, process':>16} {'CPU us, server':>16}")
    for each in range(3):
        lines = (
            {"kind": "task", "data": {**BODY, "id": str(uuid7()), "title": f"Water plant {place} of {each}"}}
            for place in range(number)
        )
        file = [{"kind": "rota", "data": {"version": 1}}, *lines, {"kind": "end", "data": None}]
        content = b"\n".join(orjson.dumps(line) for line in file).decode()
        cpu, before, started = time.process_time(), of_server.used_s(), time.perf_counter()
        request = imports_pb2.CreateImportRequest(format=imports_pb2.IMPORT_FORMAT_ROTA, source=str(each))
        job = (await imports.CreateImport(request, metadata=user.metadata)).job
        for part, start in enumerate(range(0, len(content), PART), start=1):
            given = {"number": part, "content": content[start : start + PART], "last": start + PART >= len(content)}
            request = imports_pb2.AddImportPartRequest(id=job.id, **given)
            job = (await imports.AddImportPart(request, metadata=user.metadata)).job
        while job.status in GOING_ON:
            await asyncio.sleep(0.05)
            request = imports_pb2.GetImportRequest(id=job.id)
            job = (await imports.GetImport(request, metadata=user.metadata)).job
        passed_s = time.perf_counter() - started
        assert job.created == number, job
        of_process_us = (time.process_time() - cpu) * 1e6 / number
        of_server_us = (of_server.used_s() - before) * 1e6 / number
        print(f"{number:10,} {number / passed_s:10.0f} {of_process_us:16.0f} {of_server_us:16.0f}", flush=True)


async def fill(url: str, workspace: Workspace) -> None:
    """Put the tasks of a workspace into the database, as the service would have."""
    connection = await connect(url)
    await workspace.fill(connection)
    # So long as they are unpublished, the relay would have them all to do beside.
    await connection.execute("UPDATE events SET published_at = now()", timeout=600)
    await connection.execute("VACUUM events", timeout=600)
    await connection.close()


async def ask_large(channel: grpc.aio.Channel, workspace: Workspace, user: User, calls: int) -> None:
    """Times of the service in a large workspace."""
    print(f"\n{workspace.tasks:,} tasks{'':43} {'min':>7} {'p50':>7} {'p99':>7} ms   CPU ms")
    for name, call in questions(channel, workspace, user).items():
        times, cpu = await measure(call, calls)
        p99 = times[max(0, round(len(times) * 0.99) - 1)]
        print(f"{name:55} {times[0]:7.1f} {statistics.median(times):7.1f} {p99:7.1f}      {cpu:6.1f}")


def questions(channel: grpc.aio.Channel, workspace: Workspace, user: User) -> dict[str, Callable[[], Awaitable[Any]]]:
    """What is asked, by name."""
    tasks, search = tasks_pb2_grpc.TaskServiceStub(channel), search_pb2_grpc.SearchServiceStub(channel)
    boards = boards_pb2_grpc.BoardServiceStub(channel)

    def listed(**fields: Any) -> Callable[[], Awaitable[Any]]:
        return lambda: tasks.ListTasks(tasks_pb2.ListTasksRequest(**fields), metadata=user.metadata)

    def searched(**fields: Any) -> Callable[[], Awaitable[Any]]:
        return lambda: search.SearchTasks(search_pb2.SearchTasksRequest(**fields), metadata=user.metadata)

    middle = tasks_pb2.GetTaskRequest(id=str(workspace.task_id(workspace.tasks // 2)))
    board = boards_pb2.GetBoardRequest(project_id=str(workspace.projects[0]))
    return {
        "get": lambda: tasks.GetTask(middle, metadata=user.metadata),
        "list of 50": listed(),
        "list of a project": listed(project_id=str(workspace.projects[5])),
        "list of a rare label": listed(label_id=str(workspace.labels[12])),
        "filter status = todo, order by due": listed(filter="status = todo", order_by="due asc"),
        "filter assignee = me AND status = in_progress": listed(filter="assignee = me AND status = in_progress"),
        "filter label = label1 (common)": listed(filter="label = label1"),
        "filter label = label14 (rare), order by updated_at": listed(
            filter="label = label14", order_by="updated_at desc"
        ),
        "filter priority >= high AND due < now+7d": listed(filter="priority >= high AND due < now+7d"),
        'filter title:"nowhere" (a rare text in titles)': listed(filter='title:"nowhere"'),
        'filter title:"garden 777" (one in 7,000)': listed(filter='title:"garden 777"'),
        "order by title": listed(order_by="title asc"),
        "search, a word in all": searched(q="meeting"),
        "search, a word in one of seven": searched(q="basil"),
        "search, a word in one": searched(q=str(workspace.tasks - 1)),
        "search, two words and a filter": searched(q="review basil", filter="status = todo"),
        "search, a word in all and a filter that leaves few": searched(q="meeting", filter="assignee = me"),
        "search, a word in all and a rare text in titles": searched(q="meeting", filter='title:"nowhere"'),
        "board by status of a project of a tenth of all": lambda: boards.GetBoard(board, metadata=user.metadata),
    }


async def measure(call: Callable[[], Awaitable[Any]], number: int) -> tuple[list[float], float]:
    """Milliseconds of each call, sorted, and CPU milliseconds a call."""
    for _ in range(5):
        await call()
    times = []
    cpu = time.process_time()
    for _ in range(number):
        began = time.perf_counter()
        await call()
        times.append((time.perf_counter() - began) * 1e3)
    return sorted(times), (time.process_time() - cpu) * 1e3 / number


if __name__ == "__main__":
    main()
