"""The errors a caller can see, and how they travel.

Every error has a stable `code` (UPPER_SNAKE, google.rpc.ErrorInfo.reason, domain "rota"), a gRPC status, an HTTP
status, and a sentence that tells the caller what to do (AIP-193). Between services it travels as google.rpc.Status in
trailing metadata; the gateway turns it into a problem document (RFC 9457).

    RotaError
    ├─ InvalidArgument 400      ├─ NotFound 404           ├─ Unprocessable 422
    ├─ Unauthenticated 401      ├─ AlreadyExists 409      ├─ RateLimited 429
    ├─ PermissionDenied 403     ├─ Conflict 409           ├─ Internal 500
    │                           ├─ Gone 410               ├─ Unavailable 503
    │                           ├─ PreconditionFailed 412 └─ DeadlineExceeded 504
    │                           └─ ContentTooLarge 413
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

import grpc
from google.protobuf import any_pb2, descriptor_pool
from google.protobuf.message_factory import GetMessageClass
from google.rpc import code_pb2, error_details_pb2, status_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from google.protobuf.message import Message

DOMAIN = "rota"
STATUS_TRAILER = "grpc-status-details-bin"
MAX_CURRENT_BYTES = 32 * 1024
"""Trailing metadata holds no more than twice that (`rpc.server.MAX_METADATA_BYTES`)."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One field that is wrong.

    Attributes:
        field: Path in the request message, for example "action.http.url" or "assignee_ids[1]".
        description: What is wrong with it, for a person.
        reason: Stable short word, for a program.
    """

    field: str
    description: str
    reason: str = "invalid"


class RotaError(Exception):
    """An error with a stable code; raise one of its subclasses.

    Args:
        detail: What to do, for a person.
        code: Stable reason; absent means that of the class.
        metadata: Further facts, for programs.
        violations: The fields that are wrong.
        current: The resource as it is, where the caller thought it otherwise. It does not travel when it is larger than
            `MAX_CURRENT_BYTES`.
    """

    status: ClassVar[grpc.StatusCode] = grpc.StatusCode.UNKNOWN
    http_status: ClassVar[int] = 500
    default_code: ClassVar[str] = "UNKNOWN"

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        metadata: Mapping[str, str] | None = None,
        violations: Iterable[Violation] = (),
        current: Message | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or self.default_code
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)
        self.current = current


class InvalidArgument(RotaError):
    """The request is wrong in itself, whatever the state of the system."""

    status = grpc.StatusCode.INVALID_ARGUMENT
    http_status = 400
    default_code = "INVALID_ARGUMENT"


class ContentTooLarge(RotaError):
    """More content than is taken."""

    status = grpc.StatusCode.INVALID_ARGUMENT
    http_status = 413
    default_code = "CONTENT_TOO_LARGE"


class Unauthenticated(RotaError):
    """No identity, or one that does not hold."""

    status = grpc.StatusCode.UNAUTHENTICATED
    http_status = 401
    default_code = "UNAUTHENTICATED"


class PermissionDenied(RotaError):
    """The caller may know of the resource, but not do this to it."""

    status = grpc.StatusCode.PERMISSION_DENIED
    http_status = 403
    default_code = "PERMISSION_DENIED"


class NotFound(RotaError):
    """The resource does not exist, or the caller may not know that it does."""

    status = grpc.StatusCode.NOT_FOUND
    http_status = 404
    default_code = "NOT_FOUND"


class AlreadyExists(RotaError):
    """A resource with the same identity exists."""

    status = grpc.StatusCode.ALREADY_EXISTS
    http_status = 409
    default_code = "ALREADY_EXISTS"


class Conflict(RotaError):
    """The state of the resource does not allow it, or another writer was faster."""

    status = grpc.StatusCode.ABORTED
    http_status = 409
    default_code = "CONFLICT"


class PreconditionFailed(RotaError):
    """A condition that the caller set does not hold (RFC 9110, section 13)."""

    status = grpc.StatusCode.FAILED_PRECONDITION
    http_status = 412
    default_code = "PRECONDITION_FAILED"


class Gone(RotaError):
    """What the caller wants to go on from was there once, and is not any more."""

    status = grpc.StatusCode.FAILED_PRECONDITION
    http_status = 410
    default_code = "GONE"


class Unprocessable(RotaError):
    """The request is well formed but contradicts an earlier one."""

    status = grpc.StatusCode.FAILED_PRECONDITION
    http_status = 422
    default_code = "UNPROCESSABLE"


class RateLimited(RotaError):
    """The caller used up a quota; try again later."""

    status = grpc.StatusCode.RESOURCE_EXHAUSTED
    http_status = 429
    default_code = "RATE_LIMITED"


class Internal(RotaError):
    """A fault of ours; its cause is in the log under the trace id, never in the answer."""

    status = grpc.StatusCode.INTERNAL
    http_status = 500
    default_code = "INTERNAL"


class Unavailable(RotaError):
    """Something that is needed does not answer; trying again may help."""

    status = grpc.StatusCode.UNAVAILABLE
    http_status = 503
    default_code = "UNAVAILABLE"


class DeadlineExceeded(RotaError):
    """The time that the caller gave is over; whether the call took effect is not known."""

    status = grpc.StatusCode.DEADLINE_EXCEEDED
    http_status = 504
    default_code = "DEADLINE_EXCEEDED"


def to_status(error: RotaError) -> status_pb2.Status:
    """The error as google.rpc.Status with ErrorInfo; BadRequest for wrong fields; the resource as it is."""
    status = status_pb2.Status(code=error.status.value[0], message=error.detail)
    metadata = {**error.metadata, "http_status": str(error.http_status)}
    _pack(status, error_details_pb2.ErrorInfo(reason=error.code, domain=DOMAIN, metadata=metadata))
    if error.violations:
        bad = error_details_pb2.BadRequest()
        for violation in error.violations:
            bad.field_violations.add(field=violation.field, description=violation.description, reason=violation.reason)
        _pack(status, bad)
    if error.current is not None and error.current.ByteSize() <= MAX_CURRENT_BYTES:
        _pack(status, error.current)
    return status


def from_status(status: status_pb2.Status) -> RotaError:
    """The error that `to_status` packed; a foreign status becomes the class of its code."""
    info, bad, current = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), None
    for detail in status.details:
        for target in (info, bad):
            if detail.Is(target.DESCRIPTOR):
                detail.Unpack(target)
        if detail.TypeName().startswith(f"{DOMAIN}."):
            current = _unpack(detail)
    metadata = dict(info.metadata)
    http_status = metadata.pop("http_status", None)
    kind = _by_both_statuses().get((status.code, http_status)) or _BY_CODE.get(status.code, Internal)
    return kind(
        status.message,
        code=info.reason or None,
        metadata=metadata,
        violations=[Violation(v.field, v.description, v.reason) for v in bad.field_violations],
        current=current,
    )


def from_rpc_error(error: grpc.aio.AioRpcError) -> RotaError:
    """The error behind a failed call, whether a service sent it or the channel made it (connection, deadline)."""
    trailers: Any = error.trailing_metadata() or ()
    packed = dict(trailers).get(STATUS_TRAILER)
    if isinstance(packed, bytes):
        return from_status(status_pb2.Status.FromString(packed))
    kind = _BY_CODE.get(error.code().value[0], Internal)
    return kind(_OF_THE_CHANNEL.get(kind) or error.details() or error.code().name)


def _pack(status: status_pb2.Status, detail: Message) -> None:
    packed = any_pb2.Any()
    packed.Pack(detail)
    status.details.append(packed)


def _unpack(detail: any_pb2.Any) -> Message | None:
    try:
        descriptor = descriptor_pool.Default().FindMessageTypeByName(detail.TypeName())
    except KeyError:
        # Of a part of the contract that this process does not use.
        return None
    message = GetMessageClass(descriptor)()
    detail.Unpack(message)
    return message


@cache
def _by_both_statuses() -> dict[tuple[int, str | None], type[RotaError]]:
    return {(kind.status.value[0], str(kind.http_status)): kind for kind in RotaError.__subclasses__()}


# What the channel itself says names sockets and addresses; it stays in the cause, for the log.
_OF_THE_CHANNEL: dict[type[RotaError], str] = {
    Unavailable: "A service that is needed does not answer now; try again shortly.",
    DeadlineExceeded: "A service that is needed did not answer in time.",
}
_BY_CODE: dict[int, type[RotaError]] = {
    code_pb2.INVALID_ARGUMENT: InvalidArgument,
    code_pb2.OUT_OF_RANGE: InvalidArgument,
    code_pb2.UNAUTHENTICATED: Unauthenticated,
    code_pb2.PERMISSION_DENIED: PermissionDenied,
    code_pb2.NOT_FOUND: NotFound,
    code_pb2.ALREADY_EXISTS: AlreadyExists,
    code_pb2.ABORTED: Conflict,
    code_pb2.FAILED_PRECONDITION: PreconditionFailed,
    code_pb2.RESOURCE_EXHAUSTED: RateLimited,
    code_pb2.UNAVAILABLE: Unavailable,
    code_pb2.CANCELLED: Unavailable,
    code_pb2.DEADLINE_EXCEEDED: DeadlineExceeded,
}
