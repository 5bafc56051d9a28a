"""What happens to every RPC on its way into a service: trace, deadline, identity, access, validation, errors.

A method that carries a route policy may be called by whoever the policy names; one without is internal, and only
services may call it. Health and reflection are open.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
from google.api import annotations_pb2
from google.protobuf import descriptor_pool
from opentelemetry import trace
from protovalidate import Validator
from rota.options.v1 import options_pb2

from rota_chassis.codec import enum_words
from rota_chassis.codec.scalars import one_of
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
from rota_chassis.postgres.routing import replica_allowed
from rota_chassis.telemetry import RPC_SECONDS, TRACER, extract

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from google.protobuf.descriptor import EnumDescriptor
    from google.protobuf.descriptor_pb2 import MethodOptions
    from google.protobuf.message import Message
    from protovalidate import Violation as FoundViolation

    from rota_chassis.tokens import TokenVerifier

    Context = grpc.aio.ServicerContext[Any, Any]

OPEN_PREFIXES = ("/grpc.health.", "/grpc.reflection.")
LONGEST_RPC_S = 30.0
_VIOLATIONS_SHOWN = 20
_OF_NUMBERS = frozenset({"enum.in", "enum.not_in"})
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
        options = _options(method)
        route: options_pb2.Route = options.Extensions[options_pb2.route]
        only_reads = options.Extensions[annotations_pb2.http].HasField("get")
        # Span and metric names: rota.tasks.v1.TaskService/CreateTask
        guarded = partial(self._guarded, method.removeprefix("/"), route.access, only_reads)
        codecs = (handler.request_deserializer, handler.response_serializer)
        if handler.unary_unary is not None:
            answer: Any = handler.unary_unary

            async def call(request: Message, context: Context) -> Any:
                async with guarded(context, self._longest_rpc_s):
                    self._validate(request)
                    return await answer(request, context)

            return grpc.unary_unary_rpc_method_handler(call, *codecs)
        # A stream lasts as long as its route says.
        longest_s = route.timeout.ToNanoseconds() / 1e9 or self._longest_rpc_s
        if handler.stream_unary is not None:
            take: Any = handler.stream_unary

            async def call_with_stream(requests: AsyncIterator[Message], context: Context) -> Any:
                async with guarded(context, longest_s):
                    return await take(self._first_validated(requests), context)

            return grpc.stream_unary_rpc_method_handler(call_with_stream, *codecs)
        if handler.unary_stream is None:
            raise TypeError(f"{method} streams both ways; the pipeline does not know such methods")
        give: Any = handler.unary_stream

        async def call_for_stream(request: Message, context: Context) -> None:
            async with guarded(context, longest_s):
                self._validate(request)
                async with aclosing(give(request, context)) as messages:
                    async for message in messages:
                        await context.write(message)

        return grpc.unary_stream_rpc_method_handler(call_for_stream, *codecs)

    @asynccontextmanager
    async def _guarded(
        self,
        name: str,
        access: int,
        only_reads: bool,  # noqa: FBT001 (of the method, as its access is)
        context: Context,
        longest_s: float,
    ) -> AsyncIterator[None]:
        """What surrounds every call: trace, identity, access, time limit, errors, measurement."""
        started = time.perf_counter()
        metadata: dict[str, Any] = dict(context.invocation_metadata() or ())
        status = "OK"
        with TRACER.start_as_current_span(name, context=extract(metadata), kind=trace.SpanKind.SERVER):
            try:
                principal = await self._authenticate(metadata)
                _authorize(access, principal)
                with acting_as(principal), replica_allowed(only_reads):
                    async with asyncio.timeout(longest_s):
                        yield
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

    async def _first_validated(self, requests: AsyncIterator[Message]) -> AsyncIterator[Message]:
        """The same messages; the first, which says what the call is about, by the rules of the contract."""
        is_first = True
        async for request in requests:
            if is_first:
                self._validate(request)
                is_first = False
            yield request

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
        violations.setdefault(path, Violation(path, _description(found, request), found.proto.rule_id))
    return list(violations.values())


def _description(found: FoundViolation, request: Message) -> str:
    if found.proto.rule_id not in _OF_NUMBERS:
        return str(found.proto.message or found.proto.rule_id)
    # The library knows the numbers of an enum, and its clients know its words.
    allowed = found.proto.rule_id == "enum.in"
    words = enum_words(_enum(found.proto.field, request)).items()
    return one_of({word: number for word, number in words if (number in found.rule_value) == allowed})


def _enum(field: Any, request: Message) -> EnumDescriptor:
    found: Any = None
    for element in field.elements:
        within = request.DESCRIPTOR if found is None else found.message_type
        found = within.fields_by_name[element.field_name]
        if found.message_type is not None and found.message_type.GetOptions().map_entry:
            found = found.message_type.fields_by_name["value"]
    enum: EnumDescriptor = found.enum_type
    return enum


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


def _options(method: str) -> MethodOptions:
    service, _, rpc = method.removeprefix("/").partition("/")
    options: MethodOptions = descriptor_pool.Default().FindServiceByName(service).methods_by_name[rpc].GetOptions()
    return options


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
