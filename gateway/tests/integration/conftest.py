"""A gateway on a port of its own, before small services that answer over real gRPC."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from pydantic import SecretStr
from rota.auth.v1 import auth_pb2, auth_pb2_grpc, workspaces_pb2, workspaces_pb2_grpc
from rota.options.v1.files_pb2 import FILE_EXTENT_WHOLE, FileHead
from rota.tasks.v1 import (
    attachments_pb2,
    attachments_pb2_grpc,
    locations_pb2_grpc,
    project_members_pb2_grpc,
    tasks_pb2,
    tasks_pb2_grpc,
)
from rota_chassis.errors import NotFound, RotaError, Unavailable
from rota_chassis.ids import uuid7
from rota_chassis.rpc.server import RpcServer
from rota_chassis.testing.services import User
from rota_chassis.testing.tasks import SmallTasks as SmallProjects
from rota_chassis.testing.waiting import eventually
from rota_chassis.tokens import TokenVerifier
from rota_gateway.bootstrap import assemble
from rota_gateway.server import HttpServer
from rota_gateway.settings import GatewaySettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from rota_chassis.testing.tokens import TokenIssuer

    RunSystem = Callable[..., AbstractAsyncContextManager["System"]]

SECRET = "a secret of the services, for tests only"
SERVICES = ("auth", "tasks", "scheduler", "notifications")


class SmallAuth(auth_pb2_grpc.AuthServiceServicer, workspaces_pb2_grpc.WorkspaceServiceServicer):
    """Knows the memberships that a test tells it, and lets everyone in."""

    def __init__(self) -> None:
        self.memberships: dict[str, list[workspaces_pb2.Membership]] = {}

    async def Login(self, request: auth_pb2.LoginRequest, _context: Any) -> auth_pb2.LoginResponse:  # noqa: N802
        return auth_pb2.LoginResponse(access_token=request.email, token_type="Bearer")

    async def ListMemberships(  # noqa: N802
        self, request: workspaces_pb2.ListMembershipsRequest, _context: Any
    ) -> workspaces_pb2.ListMembershipsResponse:
        return workspaces_pb2.ListMembershipsResponse(memberships=self.memberships.get(request.user_id, []))


class SmallTasks(tasks_pb2_grpc.TaskServiceServicer):
    """Keeps tasks in memory, and what it was asked and with which metadata.

    Attributes:
        may_answer: Until then some calls wait.
        given_up: How many of them were cancelled meanwhile.
    """

    def __init__(self) -> None:
        self.tasks: dict[str, tasks_pb2.Task] = {}
        self.asked: list[Any] = []
        self.metadata: dict[str, str] = {}
        self.failure: Exception | None = None
        self.failures = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.given_up = 0

    async def CreateTask(self, request: Any, context: Any) -> tasks_pb2.CreateTaskResponse:  # noqa: N802
        self._note(request, context)
        await self._wait()
        task = tasks_pb2.Task(
            id=str(uuid7()), title=request.title, status=tasks_pb2.TASK_STATUS_TODO, version=1, etag='"1"'
        )
        self.tasks[task.id] = task
        return tasks_pb2.CreateTaskResponse(task=task)

    async def GetTask(self, request: Any, context: Any) -> tasks_pb2.GetTaskResponse:  # noqa: N802
        self._note(request, context)
        return tasks_pb2.GetTaskResponse(task=self._find(request.id))

    async def ListTasks(self, request: Any, context: Any) -> tasks_pb2.ListTasksResponse:  # noqa: N802
        self._note(request, context)
        await self._wait()
        return tasks_pb2.ListTasksResponse(tasks=self.tasks.values())

    async def UpdateTask(self, request: Any, context: Any) -> tasks_pb2.UpdateTaskResponse:  # noqa: N802
        self._note(request, context)
        return tasks_pb2.UpdateTaskResponse(task=self._find(request.id))

    async def CompleteTask(self, request: Any, context: Any) -> tasks_pb2.CompleteTaskResponse:  # noqa: N802
        self._note(request, context)
        return tasks_pb2.CompleteTaskResponse(task=self._find(request.id))

    async def DeleteTask(self, request: Any, context: Any) -> tasks_pb2.DeleteTaskResponse:  # noqa: N802
        self._note(request, context)
        del self.tasks[self._find(request.id).id]
        return tasks_pb2.DeleteTaskResponse()

    async def _wait(self) -> None:
        try:
            await self.may_answer.wait()
        except asyncio.CancelledError:
            self.given_up += 1
            raise

    def _find(self, task_id: str) -> tasks_pb2.Task:
        if task_id not in self.tasks:
            raise NotFound("There is no such task.", code="TASK_NOT_FOUND")
        return self.tasks[task_id]

    def _note(self, request: Any, context: Any) -> None:
        self.asked.append(request)
        self.metadata = dict(context.invocation_metadata())
        if self.failures:
            self.failures -= 1
            raise self.failure or RotaError("never")


class SmallAttachments(attachments_pb2_grpc.AttachmentServiceServicer):
    """Takes files and counts them, and gives one of as many bytes as its attachment's id says.

    Attributes:
        head: What it was told of the last file.
        content: The last file, as far as it came.
        whole: Whether that was all of it.
        ended: How the last call ended.
        most: Length of the longest chunk.
        refuse: Raised before anything is read.
    """

    def __init__(self) -> None:
        self.head: Any = None
        self.content = bytearray()
        self.whole = False
        self.most = 0
        self.sent = 0
        self.asked: list[Any] = []
        self.ended = asyncio.Event()
        self.refuse: Exception | None = None
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.fail_after: int | None = None
        self.file = FileHead(name="notes.txt", media_type="text/plain", etag='"digest"', extent=FILE_EXTENT_WHOLE)

    async def CreateAttachment(self, request_iterator: Any, _context: Any) -> Any:  # noqa: N802
        self.content.clear()
        try:
            if self.refuse is not None:
                raise self.refuse
            self.head = await anext(aiter(request_iterator))
            async for message in request_iterator:
                self.content += message.data
                self.most = max(self.most, len(message.data))
                self.whole = message.complete
        finally:
            self.ended.set()
        made = attachments_pb2.Attachment(id=str(uuid7()), name=self.head.name, size=len(self.content), etag='"e"')
        return attachments_pb2.CreateAttachmentResponse(attachment=made)

    async def DownloadAttachment(self, request: Any, _context: Any) -> Any:  # noqa: N802
        self.asked.append(request)
        self.sent = 0
        try:
            if self.refuse is not None:
                raise self.refuse
            yield attachments_pb2.DownloadAttachmentResponse(head=self.file)
            while self.sent < self.file.length:
                await self.may_go_on.wait()
                if self.fail_after is not None and self.sent >= self.fail_after:
                    raise Unavailable("The store of files is gone.", code="FILE_STORE_UNAVAILABLE")
                chunk = min(128 * 1024, self.file.length - self.sent)
                yield attachments_pb2.DownloadAttachmentResponse(data=b"x" * chunk)
                self.sent += chunk
        finally:
            self.ended.set()


@dataclass
class System:
    """The gateway under test, and what is behind it."""

    settings: GatewaySettings
    auth: SmallAuth
    tasks: SmallTasks
    attachments: SmallAttachments
    servers: dict[str, RpcServer]
    folder: str
    issuer: TokenIssuer
    http: httpx.AsyncClient
    port: int
    going_away: asyncio.Event
    projects: SmallProjects

    def user(self) -> User:
        """A new user, who owns a workspace."""
        user = User(self.issuer)
        self.join(user, user.workspace_id)
        return user

    def join(
        self, user: User, workspace_id: Any, version: int = 1, role: workspaces_pb2.WorkspaceRole.ValueType = 3
    ) -> workspaces_pb2.Membership:
        """Let a user belong to a workspace."""
        membership = workspaces_pb2.Membership(
            workspace_id=str(workspace_id), user_id=str(user.id), version=version, role=role
        )
        self.auth.memberships.setdefault(str(user.id), []).append(membership)
        return membership

    async def start(self, name: str) -> None:
        """Let a service serve."""
        server = RpcServer(TokenVerifier(self.issuer.keys, SECRET))
        if name == "auth":
            server.add(auth_pb2_grpc.add_AuthServiceServicer_to_server, self.auth)
            server.add(workspaces_pb2_grpc.add_WorkspaceServiceServicer_to_server, self.auth)
        if name == "tasks":
            server.add(tasks_pb2_grpc.add_TaskServiceServicer_to_server, self.tasks)
            server.add(attachments_pb2_grpc.add_AttachmentServiceServicer_to_server, self.attachments)
            server.add(project_members_pb2_grpc.add_ProjectMemberServiceServicer_to_server, self.projects)
            server.add(locations_pb2_grpc.add_LocationServiceServicer_to_server, self.projects)
        await server.start(self.settings.address(name))
        await server.set_serving(True)
        self.servers[name] = server

    async def stop(self, name: str) -> None:
        """Let a service go away."""
        await self.servers.pop(name).stop(0)

    async def get(self, path: str, user: User, **headers: str) -> httpx.Response:
        """GET as a user."""
        return await self.http.get(path, headers={"authorization": f"Bearer {user.token}", **headers})


@asynccontextmanager
async def running_system(issuer: TokenIssuer, **settings: Any) -> AsyncIterator[System]:
    """A gateway with these settings and all services behind it."""
    with tempfile.TemporaryDirectory(prefix="rota-") as folder:
        addresses: dict[str, Any] = {f"{name}_address": f"unix:{folder}/{name}.sock" for name in SERVICES}
        defaults: dict[str, Any] = {"http_port": 0, "drain_seconds": 2, "drain_notice_s": 0}
        values = GatewaySettings(service_secret=SecretStr(SECRET), **{**defaults, **addresses, **settings})
        async with assemble(values, keys=issuer.keys) as parts:
            server = HttpServer(parts.app, values)
            stop = asyncio.Event()
            serving = asyncio.create_task(server.run(stop, parts.drain))
            await eventually(lambda: server.port)
            base = f"http://127.0.0.1:{server.port}"
            auth, tasks = SmallAuth(), SmallTasks()  # type: ignore[abstract]
            files = SmallAttachments()  # type: ignore[abstract]
            async with httpx.AsyncClient(base_url=base, timeout=20) as http:
                projects = SmallProjects("")  # type: ignore[abstract]
                system = System(values, auth, tasks, files, {}, folder, issuer, http, server.port, stop, projects)
                try:
                    for name in SERVICES:
                        await system.start(name)
                    yield system
                finally:
                    stop.set()
                    await serving
                    for name in list(system.servers):
                        await system.stop(name)


@pytest.fixture(scope="session")
def run_system(issuer: TokenIssuer, redis_url: str) -> RunSystem:
    """Runs systems of a test's own, with settings of its own, for the length of a block."""
    return lambda **settings: running_system(issuer, **{"redis_url": redis_url, **settings})


@pytest.fixture
async def system(run_system: RunSystem, nats_url: str) -> AsyncIterator[System]:
    """A gateway and everything behind it."""
    async with run_system(nats_url=nats_url) as running:
        yield running
