from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf import descriptor_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from jwt.algorithms import ECAlgorithm
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext
from rota.auth.v1 import auth_pb2, auth_pb2_grpc, users_pb2, users_pb2_grpc, workspaces_pb2, workspaces_pb2_grpc
from rota.tasks.v1 import tasks_pb2, tasks_pb2_grpc
from rota_chassis import telemetry
from rota_chassis.errors import (
    Conflict,
    DeadlineExceeded,
    Internal,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    RotaError,
    Unauthenticated,
    Unavailable,
    Violation,
)
from rota_chassis.health import is_serving
from rota_chassis.identity import current_principal
from rota_chassis.ids import uuid7
from rota_chassis.rpc.channel import acting_for, open_channel
from rota_chassis.rpc.keys import RemoteKeySet, public_key
from rota_chassis.rpc.server import RpcServer
from rota_chassis.testing.services import User
from rota_chassis.testing.waiting import eventually
from rota_chassis.tokens import ServiceTokens, TokenVerifier

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from rota_chassis.testing.tokens import TokenIssuer

SECRET = "a secret of at least thirty-two bytes"
TOKENS = ServiceTokens("test", SECRET)
GET = tasks_pb2.GetTaskRequest(id=str(uuid7()))


async def answer_nothing(_request: Any) -> Any:
    return tasks_pb2.GetTaskResponse()


@dataclass
class Tasks(tasks_pb2_grpc.TaskServiceServicer):
    """Answers GetTask as a test says."""

    behave: Callable[[Any], Awaitable[Any]] = answer_nothing
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    async def GetTask(self, request: Any, _context: Any) -> Any:  # noqa: N802 (named by the contract)
        try:
            return await self.behave(request)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def CreateTask(self, request: Any, _context: Any) -> Any:  # noqa: N802 (named by the contract)
        return tasks_pb2.CreateTaskResponse(task=tasks_pb2.Task(title=request.title))


class Workspaces(workspaces_pb2_grpc.WorkspaceServiceServicer):
    async def ListMemberships(self, _request: Any, _context: Any) -> Any:  # noqa: N802 (named by the contract)
        return workspaces_pb2.ListMembershipsResponse()


class Auth(auth_pb2_grpc.AuthServiceServicer):
    """Publishes keys."""

    def __init__(self) -> None:
        self.keys: list[auth_pb2.Jwk] = []
        self.asked = 0

    async def GetJwks(self, _request: Any, _context: Any) -> Any:  # noqa: N802 (named by the contract)
        self.asked += 1
        return auth_pb2.GetJwksResponse(keys=self.keys)


@dataclass
class Stage:
    """A server, and a channel to it."""

    address: str
    server: RpcServer
    channel: grpc.aio.Channel
    servicer: Tasks
    auth: Auth
    ada: User

    @property
    def tasks(self) -> Any:
        return tasks_pb2_grpc.TaskServiceStub(self.channel)

    async def get(self, behave: Callable[[Any], Awaitable[Any]] = answer_nothing, **options: Any) -> Any:
        """Call GetTask as Ada, with this behaviour."""
        self.servicer.behave = behave
        return await self.tasks.GetTask(GET, **{"metadata": self.ada.metadata, **options})


@asynccontextmanager
async def serving(folder: Path, issuer: TokenIssuer, **options: Any) -> AsyncIterator[Stage]:
    address = f"unix:{folder}/rpc.sock"
    server = RpcServer(TokenVerifier(issuer.keys, SECRET), **options)
    servicer, auth = Tasks(), Auth()
    server.add(tasks_pb2_grpc.add_TaskServiceServicer_to_server, servicer)
    server.add(workspaces_pb2_grpc.add_WorkspaceServiceServicer_to_server, Workspaces())
    server.add(auth_pb2_grpc.add_AuthServiceServicer_to_server, auth)
    await server.start(address)
    async with open_channel(address, TOKENS) as channel:
        yield Stage(address, server, channel, servicer, auth, User(issuer))
    await server.stop(0)


@pytest.fixture
async def stage(tmp_path: Path, issuer: TokenIssuer) -> AsyncIterator[Stage]:
    async with serving(tmp_path, issuer) as stage:
        yield stage


async def test_a_user_may_call_what_is_for_users(stage: Stage) -> None:
    seen: list[Any] = []

    async def note(_request: Any) -> Any:
        seen.append(current_principal())
        return tasks_pb2.GetTaskResponse()

    await stage.get(note)
    assert (seen[0].user_id, seen[0].service) == (stage.ada.id, None)
    await stage.get(note, metadata=acting_for(TOKENS, stage.ada.id, stage.ada.workspace_id))
    assert (seen[1].user_id, seen[1].service) == (stage.ada.id, "test")


async def test_a_service_alone_may_not_call_what_is_for_users(stage: Stage) -> None:
    with pytest.raises(Unauthenticated):
        await stage.tasks.GetTask(GET)


async def test_only_services_may_call_what_has_no_route(stage: Stage) -> None:
    stub: Any = workspaces_pb2_grpc.WorkspaceServiceStub(stage.channel)
    request = workspaces_pb2.ListMembershipsRequest(user_id=str(stage.ada.id))
    await stub.ListMemberships(request)
    with pytest.raises(PermissionDenied) as caught:
        await stub.ListMemberships(request, metadata=stage.ada.metadata)
    assert caught.value.code == "SERVICES_ONLY"


@pytest.mark.parametrize("metadata", [(), (("authorization", "Basic eA=="),), (("authorization", "Bearer x"),)])
async def test_without_an_identity_nothing_is_answered(stage: Stage, metadata: Any) -> None:
    async with grpc.aio.insecure_channel(stage.address) as channel:
        stub: Any = tasks_pb2_grpc.TaskServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.GetTask(GET, metadata=metadata)
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_wrong_fields_are_named_by_their_paths(stage: Stage) -> None:
    request = tasks_pb2.CreateTaskRequest(title="", assignee_ids=[str(uuid7()), "nobody"])
    with pytest.raises(InvalidArgument) as caught:
        await stage.tasks.CreateTask(request, metadata=stage.ada.metadata)
    assert caught.value.code == "INVALID_FIELDS"
    assert {violation.field for violation in caught.value.violations} == {"title", "assignee_ids[1]"}
    assert all(violation.description and violation.reason for violation in caught.value.violations)


async def test_identity_comes_before_validation(stage: Stage) -> None:
    with pytest.raises(Unauthenticated):
        await stage.tasks.CreateTask(tasks_pb2.CreateTaskRequest())


async def test_an_error_arrives_as_the_service_raised_it(stage: Stage) -> None:
    sent = Conflict("Schon geändert.", code="BUSY", metadata={"etag": "v3"}, violations=[Violation("id", "ä", "x")])

    async def fail(_request: Any) -> Any:
        raise sent

    with pytest.raises(Conflict) as caught:
        await stage.get(fail)
    received = caught.value
    assert (received.detail, received.code, received.metadata) == (sent.detail, "BUSY", sent.metadata)
    assert received.violations == sent.violations


@pytest.mark.parametrize("error", [LookupError("the password is hunter2"), Internal("x"), Unavailable("y")])
async def test_a_crash_is_answered_without_its_details(stage: Stage, error: Exception) -> None:
    async def crash(_request: Any) -> Any:
        raise error

    with pytest.raises(RotaError) as caught:
        await stage.get(crash)
    assert caught.value.http_status >= 500
    assert "hunter2" not in repr(caught.value)
    if isinstance(error, LookupError):
        assert isinstance(caught.value, Internal)


async def test_a_call_beyond_the_callers_deadline_ends_on_both_sides(stage: Stage) -> None:
    async def hang(_request: Any) -> Any:
        await asyncio.Event().wait()

    with pytest.raises(DeadlineExceeded):
        await stage.get(hang, timeout=0.1)
    await asyncio.wait_for(stage.servicer.cancelled.wait(), 2)


async def test_a_caller_that_gives_up_ends_the_call(stage: Stage) -> None:
    entered = asyncio.Event()

    async def hang(_request: Any) -> Any:
        entered.set()
        await asyncio.Event().wait()

    call = asyncio.create_task(stage.get(hang))
    await entered.wait()
    call.cancel()
    await asyncio.wait_for(stage.servicer.cancelled.wait(), 2)


async def test_a_call_that_takes_too_long_is_given_up_whatever_the_caller_allows(
    tmp_path: Path, issuer: TokenIssuer
) -> None:
    async def hang(_request: Any) -> Any:
        await asyncio.Event().wait()

    async with serving(tmp_path, issuer, longest_rpc_s=0.05) as stage:
        with pytest.raises(DeadlineExceeded, match="took too long"):
            await stage.get(hang, timeout=10)


async def test_a_method_that_nobody_serves_is_a_fault_of_ours(stage: Stage) -> None:
    stub: Any = users_pb2_grpc.UserServiceStub(stage.channel)
    with pytest.raises(Internal):
        await stub.BatchGetUsers(users_pb2.BatchGetUsersRequest(ids=[str(uuid7())]))


async def test_a_service_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    async with open_channel(f"unix:{tmp_path}/nobody.sock", TOKENS) as channel:
        stub: Any = tasks_pb2_grpc.TaskServiceStub(channel)
        with pytest.raises(Unavailable):
            await stub.GetTask(GET)
        assert not await is_serving(channel)


async def test_the_trace_of_the_caller_goes_on_in_the_service(stage: Stage) -> None:
    traces: list[str | None] = []

    async def note(_request: Any) -> Any:
        traces.append(telemetry.trace_id())
        return tasks_pb2.GetTaskResponse()

    context = SpanContext(trace_id=0xABCDEF, span_id=7, is_remote=False)
    with trace.use_span(NonRecordingSpan(context)):
        await stage.get(note)
    assert traces == [f"{0xABCDEF:032x}"]


async def test_a_server_serves_when_it_is_told_to(stage: Stage) -> None:
    assert not await is_serving(stage.channel)
    await stage.server.set_serving(True)
    assert await is_serving(stage.channel)
    await stage.server.set_serving(False)
    assert not await is_serving(stage.channel)


async def test_an_address_that_cannot_be_used_is_refused(issuer: TokenIssuer) -> None:
    other = RpcServer(TokenVerifier(issuer.keys, SECRET))
    with pytest.raises(OSError, match="not an address cannot be listened on"):
        await other.start("not an address")
    await other.stop(0)


async def test_calls_under_way_end_before_a_server_stops(stage: Stage) -> None:
    entered, release = asyncio.Event(), asyncio.Event()

    async def wait(_request: Any) -> Any:
        entered.set()
        await release.wait()
        return tasks_pb2.GetTaskResponse(task=tasks_pb2.Task(title="Done"))

    call = asyncio.create_task(stage.get(wait))
    await entered.wait()
    stopping = asyncio.create_task(stage.server.stop(5))

    async def refused() -> bool:
        async with open_channel(stage.address, TOKENS) as channel:
            return not await is_serving(channel, timeout_s=0.2)

    await eventually(refused)
    release.set()
    assert (await call).task.title == "Done"
    await stopping


async def test_reflection_lists_and_describes_the_services(stage: Stage) -> None:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(stage.channel)

    async def ask(**request: str) -> Any:
        call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(**request)]))
        return await anext(aiter(call))

    services = (await ask(list_services="")).list_services_response.service
    assert {service.name for service in services} == {
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
        "rota.auth.v1.AuthService",
        "rota.auth.v1.WorkspaceService",
        "rota.tasks.v1.TaskService",
    }
    found = await ask(file_containing_symbol="rota.tasks.v1.TaskService")
    files = [
        descriptor_pb2.FileDescriptorProto.FromString(each).name
        for each in found.file_descriptor_response.file_descriptor_proto
    ]
    assert "rota/tasks/v1/tasks.proto" in files


def jwk(kid: str, key: ec.EllipticCurvePrivateKey | None = None) -> auth_pb2.Jwk:
    found = ECAlgorithm.to_jwk((key or ec.generate_private_key(ec.SECP256R1())).public_key(), as_dict=True)
    return auth_pb2.Jwk(kty="EC", crv="P-256", kid=kid, alg="ES256", use="sig", x=found["x"], y=found["y"])


async def test_a_public_key_is_fetched_when_it_is_first_needed(stage: Stage) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    stage.auth.keys = [jwk("one", key)]
    keys = RemoteKeySet(stage.channel)
    for _ in range(2):
        found = await keys.get("one")
        assert found is not None
        assert found.public_numbers() == key.public_key().public_numbers()
    assert stage.auth.asked == 1


async def test_an_unknown_key_is_asked_for_only_now_and_then(stage: Stage) -> None:
    keys = RemoteKeySet(stage.channel)
    assert await asyncio.gather(*(keys.get(f"key-{number}") for number in range(20))) == [None] * 20
    assert stage.auth.asked == 1


async def test_a_new_key_is_found_when_the_keys_are_fetched_again(stage: Stage) -> None:
    keys = RemoteKeySet(stage.channel, refresh_at_most_every_s=0)
    stage.auth.keys = [jwk("old")]
    await keys.get("old")
    stage.auth.keys.append(jwk("new"))
    assert await keys.get("new") is not None
    assert stage.auth.asked == 2


async def test_known_keys_outlive_auth(stage: Stage) -> None:
    keys = RemoteKeySet(stage.channel, refresh_at_most_every_s=0)
    stage.auth.keys = [jwk("one")]
    await keys.get("one")
    await stage.server.stop(0)
    assert await keys.get("one") is not None
    with pytest.raises(Unavailable):
        await keys.get("other")


async def test_a_missing_task_is_not_found_through_the_channel(stage: Stage) -> None:
    async def miss(_request: Any) -> Any:
        raise NotFound("There is no such task.", code="TASK_NOT_FOUND")

    with pytest.raises(NotFound) as caught:
        await stage.get(miss)
    assert caught.value.code == "TASK_NOT_FOUND"


def test_a_key_of_another_kind_is_refused() -> None:
    key = auth_pb2.Jwk(kty="oct", kid="one", alg="HS256")
    with pytest.raises((TypeError, ValueError, Exception), match=r"elliptic|k|key"):
        public_key(key)
