from __future__ import annotations

import grpc
import pytest
from google.protobuf import any_pb2, wrappers_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from rota.tasks.v1 import tasks_pb2
from rota_chassis.errors import (
    DOMAIN,
    MAX_CURRENT_BYTES,
    STATUS_TRAILER,
    AlreadyExists,
    Conflict,
    DeadlineExceeded,
    Gone,
    Internal,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    PreconditionFailed,
    RateLimited,
    RotaError,
    Unauthenticated,
    Unavailable,
    Unprocessable,
    Violation,
    from_rpc_error,
    from_status,
    to_status,
)

KINDS = [
    InvalidArgument,
    Unauthenticated,
    PermissionDenied,
    NotFound,
    AlreadyExists,
    Conflict,
    Gone,
    PreconditionFailed,
    Unprocessable,
    RateLimited,
    Internal,
    Unavailable,
    DeadlineExceeded,
]


def rpc_error(code: grpc.StatusCode, details: str | None, *trailers: tuple[str, str | bytes]) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*trailers), details)


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_arrives_as_it_was_sent(kind: type[RotaError]) -> None:
    sent = kind(
        "Es geht nicht: «ä».",
        code="OUT_OF_COFFEE",
        metadata={"etag": '"v3"'},
        violations=[Violation("action.http.url", "is no URL", "uri"), Violation("ids[1]", "is no id")],
    )
    received = from_status(status_pb2.Status.FromString(to_status(sent).SerializeToString()))
    assert type(received) is kind
    assert received.detail == str(received) == sent.detail
    assert (received.code, received.metadata, received.violations) == (sent.code, sent.metadata, sent.violations)


def test_an_error_holds_the_resource_as_it_is_unless_that_is_too_large_to_travel() -> None:
    task = tasks_pb2.Task(id="1", title="Water the plants")
    received = from_status(to_status(PreconditionFailed("It has changed.", current=task)))
    assert received.current == task
    task.description = "x" * MAX_CURRENT_BYTES
    assert from_status(to_status(PreconditionFailed("It has changed.", current=task))).current is None


def test_a_resource_that_is_not_known_here_is_left_out() -> None:
    status = to_status(PreconditionFailed("It has changed.", current=tasks_pb2.Task(id="1")))
    status.details[1].type_url = "type.googleapis.com/rota.later.v9.Thing"
    assert from_status(status).current is None


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_has_a_code_of_its_own_when_it_is_given_none(kind: type[RotaError]) -> None:
    assert from_status(to_status(kind("No."))).code == kind.default_code


def test_the_status_names_the_domain_and_the_http_status() -> None:
    info = error_details_pb2.ErrorInfo()
    assert to_status(NotFound("No.", code="TASK_NOT_FOUND")).details[0].Unpack(info)
    assert (info.domain, info.reason, info.metadata["http_status"]) == (DOMAIN, "TASK_NOT_FOUND", "404")


def test_an_error_without_violations_carries_no_bad_request() -> None:
    assert len(to_status(NotFound("No.")).details) == 1


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (code_pb2.INVALID_ARGUMENT, InvalidArgument),
        (code_pb2.OUT_OF_RANGE, InvalidArgument),
        (code_pb2.ALREADY_EXISTS, AlreadyExists),
        (code_pb2.ABORTED, Conflict),
        (code_pb2.FAILED_PRECONDITION, PreconditionFailed),
        (code_pb2.RESOURCE_EXHAUSTED, RateLimited),
        (code_pb2.CANCELLED, Unavailable),
        (code_pb2.DATA_LOSS, Internal),
        (4711, Internal),
    ],
)
def test_a_foreign_status_becomes_the_class_of_its_code(code: int, kind: type[RotaError]) -> None:
    error = from_status(status_pb2.Status(code=code, message="Elsewhere."))
    assert type(error) is kind
    assert (error.detail, error.code, error.metadata, error.violations) == ("Elsewhere.", kind.default_code, {}, ())


def test_details_that_are_not_ours_are_passed_over() -> None:
    status = to_status(NotFound("No."))
    foreign = any_pb2.Any()
    foreign.Pack(wrappers_pb2.StringValue(value="?"))
    status.details.insert(0, foreign)
    assert isinstance(from_status(status), NotFound)


def test_a_http_status_that_contradicts_the_code_does_not_decide() -> None:
    status = to_status(NotFound("No."))
    info = error_details_pb2.ErrorInfo(reason="X", metadata={"http_status": "teapot"})
    status.details[0].Pack(info)
    assert isinstance(from_status(status), NotFound)


def test_a_failed_call_gives_the_error_that_the_service_raised() -> None:
    packed = to_status(Conflict("Try again.", code="BUSY")).SerializeToString()
    error = from_rpc_error(rpc_error(grpc.StatusCode.ABORTED, "Try again.", (STATUS_TRAILER, packed)))
    assert isinstance(error, Conflict)
    assert error.code == "BUSY"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (grpc.StatusCode.UNAVAILABLE, Unavailable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, DeadlineExceeded),
        (grpc.StatusCode.UNIMPLEMENTED, Internal),
    ],
)
def test_a_failure_of_the_channel_gives_the_class_of_its_code(status: grpc.StatusCode, kind: type[RotaError]) -> None:
    error = from_rpc_error(rpc_error(status, "no route to unix:/secret/place.sock"))
    assert type(error) is kind
    assert ("secret" in error.detail) == (kind is Internal)


def test_a_failure_without_words_is_named_by_its_status() -> None:
    assert from_rpc_error(rpc_error(grpc.StatusCode.UNIMPLEMENTED, None)).detail == "UNIMPLEMENTED"
