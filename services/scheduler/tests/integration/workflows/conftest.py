"""A scheduler with workflows, the tasks that it makes, and users; or replicas of its parts, on a database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc.aio
import nats
import pytest
from google.protobuf.json_format import ParseDict
from rota.scheduler.v1 import workers_pb2_grpc, workflows_pb2, workflows_pb2_grpc
from rota.tasks.v1 import tasks_pb2, tasks_pb2_grpc
from rota_chassis.errors import InvalidArgument
from rota_chassis.identity import UserPrincipal
from rota_chassis.ids import uuid7
from rota_chassis.memberships import MEMBERSHIPS, Memberships
from rota_chassis.postgres.statements import statement
from rota_chassis.private_projects import PrivateProjects
from rota_chassis.testing.services import User
from rota_chassis.testing.waiting import eventually
from rota_scheduler.actions.egress import EgressPolicy
from rota_scheduler.workflows.dependencies import Workflows
from sqlalchemy import bindparam, insert

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from integration.conftest import RunBeside
    from rota_chassis.postgres.database import Database
    from rota_chassis.testing.auth import SmallAuth
    from rota_chassis.testing.clock import ManualClock
    from rota_chassis.testing.tokens import TokenIssuer

_JOIN = statement(insert(MEMBERSHIPS).values({c.name: bindparam(c.name) for c in MEMBERSHIPS.c}))


@pytest.fixture
def workflows_of(clock: ManualClock) -> Callable[[Database], Workflows]:
    """What use cases need, on the connections of a replica."""

    def make(database: Database) -> Workflows:
        # Nobody is asked: the copy of memberships knows the one user.
        memberships = Memberships(database, grpc.aio.insecure_channel("unix:/nowhere"))
        projects = PrivateProjects(
            "scheduler",
            database=database,
            memberships=memberships,
            tasks=grpc.aio.insecure_channel("unix:/nowhere"),
            nats=None,  # type: ignore[arg-type]
        )
        egress = EgressPolicy(allow_private=True)
        return Workflows(database, memberships, projects, clock, egress, on_waits=lambda: None, on_runs=lambda: None)

    return make


@pytest.fixture
async def user(database: Database) -> UserPrincipal:
    """A user who belongs to a workspace of that database."""
    found = UserPrincipal(uuid7(), uuid7(), "user", None)
    async with database.transaction() as work:
        await work.execute(
            _JOIN, workspace_id=found.workspace_id, user_id=found.user_id, role="member", version=1, removed=False
        )
    return found


class Tasks(tasks_pb2_grpc.TaskServiceServicer):
    """Keeps the titles, and whose they are by id; refuses some."""

    def __init__(self) -> None:
        self.titles: list[str] = []
        self.ids: dict[str, str] = {}
        self.refused: set[str] = {"refuse"}

    async def CreateTask(  # noqa: N802 (named by the contract)
        self, request: tasks_pb2.CreateTaskRequest, _context: Any
    ) -> tasks_pb2.CreateTaskResponse:
        self.titles.append(request.title)
        if request.title in self.refused:
            raise InvalidArgument("No.")
        task_id = str(uuid7())
        self.ids[task_id] = request.title
        return tasks_pb2.CreateTaskResponse(task=tasks_pb2.Task(id=task_id, title=request.title))


class World:
    """A scheduler, and two users: an owner, and a viewer of the owner's workspace."""

    def __init__(self, issuer: TokenIssuer, auth: Any) -> None:
        self.tasks = Tasks()
        self.owner, self.viewer, self.stranger = User(issuer), User(issuer), User(issuer)
        for user in (self.owner, self.viewer, self.stranger):
            auth.add_user(user)
        auth.add_member(self.owner.workspace_id, self.viewer.id, role="viewer")
        self.stub: Any = None
        self.workers: Any = None
        self.nats: Any = None

    async def create(self, definition: dict[str, Any] | str) -> Any:
        request = workflows_pb2.CreateWorkflowRequest(name="Ship")
        if isinstance(definition, str):
            request.definition_yaml = definition
        else:
            ParseDict(definition, request.definition)
        return (await self.stub.CreateWorkflow(request, metadata=self.owner.metadata)).workflow

    async def start(self, definition: dict[str, Any], content: Any = None, request_id: str = "") -> Any:
        workflow = await self.create(definition)
        request = workflows_pb2.StartWorkflowRequest(id=workflow.id, request_id=request_id)
        ParseDict(content, request.input)
        return (await self.stub.StartWorkflow(request, metadata=self.owner.metadata)).run

    async def get(self, run: Any) -> Any:
        request = workflows_pb2.GetWorkflowRunRequest(id=run.id)
        return (await self.stub.GetWorkflowRun(request, metadata=self.owner.metadata)).run

    async def finished(self, run: Any) -> Any:
        async def look() -> Any:
            found = await self.get(run)
            return found if found.HasField("finished_at") else None

        return await eventually(look)

    async def retry(self, run: Any, step: str | None = None, user: User | None = None, *, request_id: str = "") -> Any:
        request = workflows_pb2.RetryWorkflowRunRequest(id=run.id, request_id=request_id)
        if step is not None:
            setattr(request, "from", step)
        return (await self.stub.RetryWorkflowRun(request, metadata=(user or self.owner).metadata)).run

    async def signal(self, run: Any, name: str, data: Any, user: User | None = None, *, request_id: str = "") -> Any:
        request = workflows_pb2.SignalWorkflowRunRequest(id=run.id, name=name, request_id=request_id)
        ParseDict(data, request.data)
        return (await self.stub.SignalWorkflowRun(request, metadata=(user or self.owner).metadata)).run


@pytest.fixture
async def world(
    auth: SmallAuth, issuer: TokenIssuer, fresh_nats_url: str, run_beside: RunBeside
) -> AsyncIterator[World]:
    """Everything, running."""
    world = World(issuer, auth)
    channel = await run_beside(world.tasks)
    world.stub = workflows_pb2_grpc.WorkflowServiceStub(channel)
    world.workers = workers_pb2_grpc.WorkerServiceStub(channel)
    world.nats = await nats.connect(fresh_nats_url)
    yield world
    await world.nats.close()
