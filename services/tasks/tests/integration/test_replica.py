"""The tasks service with a standby: who answers, and that an answer never lacks what was written before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from prometheus_client import REGISTRY
from rota.tasks.v1 import (
    boards_pb2,
    boards_pb2_grpc,
    projects_pb2,
    projects_pb2_grpc,
    search_pb2,
    search_pb2_grpc,
    sync_pb2,
    sync_pb2_grpc,
    tasks_pb2,
    tasks_pb2_grpc,
)
from rota_chassis.postgres.migrations import migrate
from rota_chassis.settings import database_url
from rota_chassis.testing import servers
from rota_chassis.testing.auth import small_auth
from rota_chassis.testing.services import User, running
from rota_chassis.testing.waiting import eventually
from rota_tasks.bootstrap import SERVICE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import grpc
    from rota_chassis.testing.tokens import TokenIssuer


@dataclass
class Stage:
    """A service whose replica is read."""

    channel: grpc.aio.Channel
    tasks: tasks_pb2_grpc.TaskServiceStub
    ada: User
    standby: asyncpg.Connection

    async def create(self, title: str) -> tasks_pb2.Task:
        request = tasks_pb2.CreateTaskRequest(title=title)
        return (await self.tasks.CreateTask(request, metadata=self.ada.metadata)).task

    async def titles(self) -> list[str]:
        answer = await self.tasks.ListTasks(tasks_pb2.ListTasksRequest(), metadata=self.ada.metadata)
        return [each.title for each in answer.tasks]


@pytest.fixture
async def stage(redis_url: str, fresh_nats_url: str, issuer: TokenIssuer) -> AsyncIterator[Stage]:
    with servers.server_folder() as folder:
        async with servers.primary_and_standby(folder) as (primary, standby), small_auth() as auth:
            await migrate("tasks", primary.url)
            async with running(
                SERVICE,
                server_url=primary.url,
                database_url=database_url(primary.url, "rota_tasks"),
                replica_url=database_url(standby.url, "rota_tasks"),
                redis_url=redis_url,
                nats_url=fresh_nats_url,
                issuer=issuer,
                auth_address=auth.address,
            ) as channel:
                ada = User(issuer)
                auth.add_user(ada)
                connection = await asyncpg.connect(database_url(standby.url, "postgres"))
                stage = Stage(channel, tasks_pb2_grpc.TaskServiceStub(channel), ada, connection)
                await stage.create("Water the plants")
                await eventually(lambda: is_read_from_the_replica(stage))
                yield stage
                await connection.close()


def served_by_the_replica() -> float:
    labels = {"served_by": "replica", "why_not": ""}
    return REGISTRY.get_sample_value("rota_replica_reads_total", labels) or 0


async def is_read_from_the_replica(stage: Stage) -> bool:
    before = served_by_the_replica()
    await stage.titles()
    return served_by_the_replica() > before


async def test_what_was_just_written_is_read_while_the_replica_stands_still_and_after(stage: Stage) -> None:
    await stage.standby.execute("SELECT pg_wal_replay_pause()")
    for number in range(5):
        task = await stage.create(f"task {number}")
        got = await stage.tasks.GetTask(tasks_pb2.GetTaskRequest(id=task.id), metadata=stage.ada.metadata)
        assert (got.task.title, (await stage.titles())[0]) == (task.title, task.title)
    assert not await is_read_from_the_replica(stage)
    await stage.standby.execute("SELECT pg_wal_replay_resume()")
    await eventually(lambda: is_read_from_the_replica(stage))
    assert len(await stage.titles()) == 6


async def test_what_reads_is_served_by_the_replica_but_for_synchronization_and_what_writes(stage: Stage) -> None:
    metadata, channel = stage.ada.metadata, stage.channel
    task = await stage.create("Feed the cat")
    projects = projects_pb2_grpc.ProjectServiceStub(channel)
    project = (await projects.CreateProject(projects_pb2.CreateProjectRequest(name="Home"), metadata=metadata)).project
    reads: list[tuple[Any, Any]] = [
        (stage.tasks.GetTask, tasks_pb2.GetTaskRequest(id=task.id)),
        (stage.tasks.ListTasks, tasks_pb2.ListTasksRequest(filter='status = "todo"')),
        (search_pb2_grpc.SearchServiceStub(channel).SearchTasks, search_pb2.SearchTasksRequest(q="cat")),
        (boards_pb2_grpc.BoardServiceStub(channel).ListStates, boards_pb2.ListStatesRequest(project_id=project.id)),
    ]
    for rpc, request in reads:

        async def is_served_by_the_replica(rpc: Any = rpc, request: Any = request) -> bool:
            before = served_by_the_replica()
            await rpc(request, metadata=metadata)
            return served_by_the_replica() > before

        await eventually(is_served_by_the_replica)
    # That it is well has just been seen; what follows does not ask it.
    before = served_by_the_replica()
    await sync_pb2_grpc.SyncServiceStub(channel).Sync(sync_pb2.SyncRequest(), metadata=metadata)
    await stage.tasks.CompleteTask(tasks_pb2.CompleteTaskRequest(id=task.id), metadata=metadata)
    assert served_by_the_replica() == before
