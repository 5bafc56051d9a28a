"""The whole scheduler, with the services that it calls, and two users."""

from __future__ import annotations

import tempfile
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import nats
import orjson
import pytest
from nats.js.api import ConsumerConfig, DeliverPolicy
from rota.scheduler.v1 import schedules_pb2, schedules_pb2_grpc
from rota.tasks.v1 import comments_pb2, comments_pb2_grpc, tasks_pb2, tasks_pb2_grpc, templates_pb2, templates_pb2_grpc
from rota_chassis.errors import NotFound, Unavailable
from rota_chassis.events import envelope
from rota_chassis.events.stream import EVENTS_STREAM
from rota_chassis.events.types import event_types
from rota_chassis.identity import current_principal
from rota_chassis.ids import uuid7
from rota_chassis.rpc.server import RpcServer
from rota_chassis.settings import DEVELOPMENT_SECRET
from rota_chassis.testing.auth import SmallAuth, small_auth
from rota_chassis.testing.services import User, running
from rota_chassis.testing.waiting import eventually
from rota_chassis.tokens import TokenVerifier
from rota_scheduler.bootstrap import SERVICE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rota_chassis.identity import Principal
    from rota_chassis.testing.service_plugin import MakeDatabase
    from rota_chassis.testing.tokens import TokenIssuer


TASK_ACTION = schedules_pb2.Action(create_task=schedules_pb2.CreateTaskAction(title="Water the plants"))


class Tasks(tasks_pb2_grpc.TaskServiceServicer):
    """Makes one task for each request id; loses its first answer."""

    def __init__(self) -> None:
        self.tasks: dict[str, tasks_pb2.Task] = {}
        self.calls: list[tuple[Principal | None, tasks_pb2.CreateTaskRequest]] = []
        self.changes: list[tuple[Principal | None, Any]] = []

    async def CreateTask(  # noqa: N802 (named by the contract)
        self, request: tasks_pb2.CreateTaskRequest, _context: Any
    ) -> tasks_pb2.CreateTaskResponse:
        self.calls.append((current_principal(), request))
        task = self.tasks.setdefault(request.request_id, tasks_pb2.Task(id=str(uuid7()), title=request.title))
        if len(self.calls) == 1:
            raise Unavailable("The answer got lost.")
        return tasks_pb2.CreateTaskResponse(task=task)

    async def UpdateTask(  # noqa: N802 (named by the contract)
        self, request: tasks_pb2.UpdateTaskRequest, _context: Any
    ) -> tasks_pb2.UpdateTaskResponse:
        self.changes.append((current_principal(), request))
        return tasks_pb2.UpdateTaskResponse()

    async def CompleteTask(  # noqa: N802 (named by the contract)
        self, request: tasks_pb2.CompleteTaskRequest, _context: Any
    ) -> tasks_pb2.CompleteTaskResponse:
        self.changes.append((current_principal(), request))
        raise NotFound("There is no such task.", code="TASK_NOT_FOUND")

    async def AssignTask(  # noqa: N802 (named by the contract)
        self, request: tasks_pb2.AssignTaskRequest, _context: Any
    ) -> tasks_pb2.AssignTaskResponse:
        self.changes.append((current_principal(), request))
        return tasks_pb2.AssignTaskResponse()


class Comments(comments_pb2_grpc.CommentServiceServicer):
    """Takes note of what is said; loses its first answer."""

    def __init__(self) -> None:
        self.calls: list[comments_pb2.CreateCommentRequest] = []

    async def CreateComment(  # noqa: N802 (named by the contract)
        self, request: comments_pb2.CreateCommentRequest, _context: Any
    ) -> comments_pb2.CreateCommentResponse:
        self.calls.append(request)
        if len(self.calls) == 1:
            raise Unavailable("The answer got lost.")
        return comments_pb2.CreateCommentResponse()


class Templates(templates_pb2_grpc.TemplateServiceServicer):
    """Uses a template once for each request id; loses its first answer."""

    def __init__(self) -> None:
        self.calls: list[tuple[Principal | None, templates_pb2.InstantiateTemplateRequest]] = []

    async def InstantiateTemplate(  # noqa: N802 (named by the contract)
        self, request: templates_pb2.InstantiateTemplateRequest, _context: Any
    ) -> templates_pb2.InstantiateTemplateResponse:
        self.calls.append((current_principal(), request))
        if len(self.calls) == 1:
            raise Unavailable("The answer got lost.")
        return templates_pb2.InstantiateTemplateResponse(task=tasks_pb2.Task(id=request.id))


class World:
    """A scheduler with its neighbours, and two users: an owner, and a viewer of the owner's workspace."""

    def __init__(self, issuer: TokenIssuer, auth: SmallAuth) -> None:
        self.issuer = issuer
        self.auth = auth
        self.tasks = Tasks()
        self.comments = Comments()
        self.templates = Templates()
        self.owner = self.user()
        self.viewer = self.user()
        self.auth.add_member(self.owner.workspace_id, self.viewer.id, role="viewer")
        self.stub: Any = None
        self.nats: Any = None

    def user(self) -> User:
        """A new user, who owns their workspace."""
        user = User(self.issuer)
        self.auth.add_user(user)
        return user

    async def create(self, user: User | None = None, **fields: Any) -> schedules_pb2.Schedule:
        """A schedule as its creator gets it."""
        request = schedules_pb2.CreateScheduleRequest(**{"name": "Plants", "action": TASK_ACTION} | fields)
        answer = await self.stub.CreateSchedule(request, metadata=(user or self.owner).metadata)
        return answer.schedule

    async def runs(self, schedule: schedules_pb2.Schedule, **fields: Any) -> schedules_pb2.ListRunsResponse:
        """Runs of a schedule of the owner."""
        request = schedules_pb2.ListRunsRequest(schedule_id=schedule.id, **fields)
        return await self.stub.ListRuns(request, metadata=self.owner.metadata)

    async def publish_task(self, task: tasks_pb2.Task) -> None:
        """Publish `task.created` as the tasks service would."""
        kind = event_types()["task.created"]
        row = {
            "id": uuid7(),
            "type": kind.name,
            "workspace_id": task.workspace_id,
            "aggregate_id": task.id,
            "aggregate_version": 1,
            "actor": "system",
            "time": datetime.now(UTC),
            "traceparent": None,
        }
        await self.nats.jetstream().publish(
            envelope.subject(task.workspace_id, kind.name),
            orjson.dumps(kind.encode(kind.message(task=task))),  # type: ignore[call-arg]
            headers=envelope.headers(row, "/rota/tasks"),
        )

    async def next_event(self, event_type: str) -> Any:
        """The first event of a type in the owner's workspace."""
        subscription = await self.nats.jetstream().subscribe(
            f"rota.events.v1.{self.owner.workspace_id}.{event_type}",
            stream=EVENTS_STREAM,
            ordered_consumer=True,
            config=ConsumerConfig(deliver_policy=DeliverPolicy.ALL),
        )
        message = await subscription.next_msg(timeout=10)
        await subscription.unsubscribe()
        return envelope.parse(message.headers, message.data, 0)

    async def ended(self, action: schedules_pb2.Action) -> schedules_pb2.Run:
        """The run of a schedule of the owner that fires once, now."""
        schedule = await self.create(at=datetime.now(UTC), action=action)

        async def finished() -> Any:
            return [run for run in (await self.runs(schedule)).runs if run.HasField("finished_at")]

        (run,) = await eventually(finished)
        return run


@asynccontextmanager
async def serving(tasks: Tasks, comments: Comments, templates: Templates, issuer: TokenIssuer) -> AsyncIterator[str]:
    """The tasks service behind the chassis's own pipeline; yields its address."""
    with tempfile.TemporaryDirectory(prefix="rota-") as folder:
        server = RpcServer(TokenVerifier(issuer.keys, DEVELOPMENT_SECRET))
        server.add(tasks_pb2_grpc.add_TaskServiceServicer_to_server, tasks)
        server.add(comments_pb2_grpc.add_CommentServiceServicer_to_server, comments)
        server.add(templates_pb2_grpc.add_TemplateServiceServicer_to_server, templates)
        await server.start(f"unix:{folder}/tasks.sock")
        try:
            yield f"unix:{folder}/tasks.sock"
        finally:
            await server.stop(0)


@pytest.fixture
async def world(
    make_database: MakeDatabase, postgres_url: str, redis_url: str, fresh_nats_url: str, issuer: TokenIssuer
) -> AsyncIterator[World]:
    """Everything, running."""
    async with AsyncExitStack() as stack:
        world = World(issuer, await stack.enter_async_context(small_auth()))
        channel = await stack.enter_async_context(
            running(
                SERVICE,
                server_url=postgres_url,
                database_url=await make_database("scheduler"),
                redis_url=redis_url,
                nats_url=fresh_nats_url,
                issuer=issuer,
                auth_address=world.auth.address,
                tasks_address=await stack.enter_async_context(
                    serving(world.tasks, world.comments, world.templates, issuer)
                ),
            )
        )
        world.stub = schedules_pb2_grpc.ScheduleServiceStub(channel)
        world.nats = await nats.connect(fresh_nats_url)
        stack.push_async_callback(world.nats.close)
        yield world
