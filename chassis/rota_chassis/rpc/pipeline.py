"""What happens to every RPC on its way into a service: trace, deadline, identity, access, validation, errors.

A method that carries a route policy may be called by whoever the policy names; one without is internal, and only
services may call it. Health and reflection are open.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf import descriptor_pool
from opentelemetry import trace
from protovalidate import Validator
from rota.options.v1 import options_pb2

from rota_chassis.errors import (
    STATUS_TRAILER,
    DeadlineExceeded,
    Internal,
    InvalidArgument,
    PermissionDenied,
    RotaError,
    Unauthenticated,
    Violation,
    to_status,
)
from rota_chassis.identity import ROLE_ADMIN, Principal, acting_as
from rota_chassis.logs import logger
from rota_chassis.telemetry import RPC_SECONDS, TRACER, extract

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from google.protobuf.message import Message

    from rota_chassis.tokens import TokenVerifier

OPEN_PREFIXES = ("/grpc.health.", "/grpc.reflection.")
LONGEST_RPC_S = 30.0
_VIOLATIONS_SHOWN = 20
_BEARER = "Bearer "
_LOG = logger(__name__)


class Pipeline(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """Wraps the handler of each method once, at its first call."""

    def __init__(self, verifier: TokenVerifier, longest_rpc_s: float = LONGEST_RPC_S) -> None:
        self._verifier = verifier
        self._longest_rpc_s = longest_rpc_s
        self._validator = Validator()
        self._wrapped: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any]]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any]:
        """The wrapped handler of the method that is called."""
        method: str = handler_call_details.method
        wrapped = self._wrapped.get(method)
        if wrapped is None:
            wrapped = await continuation(handler_call_details)
            if wrapped is None or method.startswith(OPEN_PREFIXES):
                return wrapped
            self._wrapped[method] = wrapped = self._wrap(method, wrapped)
        return wrapped

    def _wrap(self, method: str, handler: grpc.RpcMethodHandler[Any, Any]) -> grpc.RpcMethodHandler[Any, Any]:
        behavior: Any = handler.unary_unary
        if behavior is None:
            raise TypeError(f"{method} streams; the pipeline only knows unary methods")
        access = _access(method)
        # Span and metric names: rota.tasks.v1.TaskService/CreateTask
        name = method.removeprefix("/")

        async def call(request: Message, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            started = time.perf_counter()
            metadata: dict[str, Any] = dict(context.invocation_metadata() or ())
            status = "OK"
            with TRACER.start_as_current_span(name, context=extract(metadata), kind=trace.SpanKind.SERVER):
                try:
                    principal = await self._authenticate(metadata)
                    _authorize(access, principal)
                    with acting_as(principal):
                        self._validate(request)
                        async with asyncio.timeout(self._longest_rpc_s):
                            return await behavior(request, context)
                except RotaError as error:
                    status = error.status.name
                    if error.http_status >= 500:  # noqa: PLR2004
                        _LOG.warning("rpc.failed", method=name, code=error.code, cause=repr(error.__cause__))
                    await _abort(context, error)
                except TimeoutError:
                    status = "DEADLINE_EXCEEDED"
                    await _abort(context, DeadlineExceeded("The service took too long."))
                except asyncio.CancelledError:
                    status = "CANCELLED"
                    raise
                except Exception:  # noqa: BLE001 (logged, and answered without its details)
                    status = "INTERNAL"
                    _LOG.exception("rpc.crashed", method=name)
                    await _abort(context, Internal("Something went wrong on our side; it has been logged."))
                finally:
                    RPC_SECONDS.labels(name, status).observe(time.perf_counter() - started)

        return grpc.unary_unary_rpc_method_handler(call, handler.request_deserializer, handler.response_serializer)

    async def _authenticate(self, metadata: dict[str, Any]) -> Principal:
        bearer = metadata.get("authorization", "")
        if not bearer.startswith(_BEARER):
            raise Unauthenticated("The call carries no token.")
        return await self._verifier.verify(bearer.removeprefix(_BEARER))

    def _validate(self, request: Message) -> None:
        violations = violations_of(self._validator, request)
        if violations:
            raise InvalidArgument("Some fields are not valid.", code="INVALID_FIELDS", violations=violations)


def violations_of(validator: Validator, request: Message) -> list[Violation]:
    """What the rules in the contract (buf.validate) say against a message: the first of each field, if any."""
    violations: dict[str, Violation] = {}
    for found in validator.collect_violations(request)[:_VIOLATIONS_SHOWN]:
        path = _path(found.proto.field)
        violations.setdefault(path, Violation(path, found.proto.message or found.proto.rule_id, found.proto.rule_id))
    return list(violations.values())


def _path(field: Any) -> str:
    if field is None:
        return ""
    path = ""
    for element in field.elements:
        path += f".{element.field_name}" if path else element.field_name
        subscript = element.subscript
        if subscript is not None:
            path += f"[{subscript.value}]"
    return path


def _access(method: str) -> int:
    service, _, rpc = method.removeprefix("/").partition("/")
    descriptor = descriptor_pool.Default().FindServiceByName(service).methods_by_name[rpc]
    return int(descriptor.GetOptions().Extensions[options_pb2.route].access)


def _authorize(access: int, principal: Principal) -> None:
    if access == options_pb2.ACCESS_UNSPECIFIED and principal.service is None:
        raise PermissionDenied("Only Rota's services may call this.", code="SERVICES_ONLY")
    if access in (options_pb2.ACCESS_USER, options_pb2.ACCESS_ADMIN) and principal.user_id is None:
        raise Unauthenticated("This call needs a user: send an access token.")
    if access == options_pb2.ACCESS_ADMIN and principal.role != ROLE_ADMIN:
        raise PermissionDenied("Only administrators may do this.", code="ADMIN_ROLE_REQUIRED")


async def _abort(context: grpc.aio.ServicerContext[Any, Any], error: RotaError) -> None:
    context.set_trailing_metadata(((STATUS_TRAILER, to_status(error).SerializeToString()),))
    await context.abort(error.status, error.detail)
