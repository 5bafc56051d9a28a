"""The HTTP routes of the contract, read from its descriptors; the transcoder and the OpenAPI document share them.

A method has routes when it carries both a google.api.http rule (method, path, body) and a rota.options.v1.route
(policy). A rule's additional bindings are routes of their own, marked as aliases of the first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from google.api import annotations_pb2
from google.protobuf.message_factory import GetMessageClass
from rota.options.v1 import options_pb2

from rota_gateway.contract import load_contract

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from google.api.http_pb2 import HttpRule
    from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
    from google.protobuf.message import Message

    from rota_gateway.contract import Contract

DEFAULT_TIMEOUT_S = 10.0

_PARAMETER = re.compile(r"\{([^{}]*)\}")
_FIELD_NAME = re.compile(r"[a-z][a-z0-9_]*")
# Fields of a request that takes a file, which the gateway fills from the body and what comes with it.
_OF_THE_FILE = ("media_type", "size", "complete")
_IDEMPOTENT_METHODS = frozenset({"GET", "PUT", "DELETE"})


class ContractError(Exception):
    """The contract asks for something that a route cannot be; the message names the method and what to change."""


class Access(StrEnum):
    """Who may call a route."""

    PUBLIC = "public"
    USER = "user"
    ADMIN = "admin"


class RateClass(StrEnum):
    """Which bucket of the rate limiter a call draws from."""

    READ = "read"
    WRITE = "write"
    CREDENTIAL = "credential"


class Transfer(Enum):
    """Whether a file goes with a call."""

    NONE = "none"
    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Policy:
    """What a route asks of the gateway, with every default filled in.

    Attributes:
        timeout_s: seconds the whole call may take.
        location: path of the created resource with fields of the response body in braces; None when nothing is made.
        idempotent: whether a call may be repeated: by its HTTP method (RFC 9110, section 9.2.2) or by its option.
        success_status: status of a successful answer; 204 has no body.
        errors: stable reasons the route may answer with beyond those common to all.
    """

    access: Access
    rate_class: RateClass
    timeout_s: float
    location: str | None
    idempotent: bool
    success_status: int
    errors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Route:
    """One HTTP method and path, and the RPC behind it.

    Attributes:
        method: upper-case HTTP method.
        path_template: for example "/api/v1/tasks/{id}"; the names in braces are string fields of the request.
        path_params: those names, in order.
        body: "*" when the JSON body is the request itself, "" when there is no body, else the field that it is.
        response_body: the field of the response that is the answer's body; "" for the whole response.
        service: full name, "rota.tasks.v1.TaskService".
        backend: the process that serves it, "tasks": second part of the package name.
        grpc_path: "/rota.tasks.v1.TaskService/CreateTask".
        header_fields: request field -> header that carries it.
        update_mask_field: the FieldMask to fill with the members present in the body, if the request has one.
        query_fields: fields of the request that are query parameters.
        summary: first sentence of the method's comment; `description` is all of it.
        alias: whether this is a second path (additional binding) of a method.
        transfer: whether a file goes up or down with the call (see rota.options.v1.route).
        operation_id: unique over all routes.
    """

    method: str
    path_template: str
    path_params: tuple[str, ...]
    body: str
    response_body: str
    request_class: type[Message]
    response_class: type[Message]
    service: str
    backend: str
    rpc: str
    grpc_path: str
    policy: Policy
    header_fields: Mapping[str, str]
    update_mask_field: str | None
    query_fields: tuple[str, ...]
    summary: str
    description: str
    alias: bool
    transfer: Transfer
    operation_id: str

    @property
    def not_in_body(self) -> frozenset[str]:
        """Fields of the request that a body "*" does not accept: path, query, headers or the gateway fill them."""
        mask = (self.update_mask_field,) if self.update_mask_field else ()
        return frozenset((*self.path_params, *self.header_fields, *self.query_fields, *mask))


@lru_cache(maxsize=1)
def load_routes() -> tuple[Route, ...]:
    """Every route of the contract, in the order of its files.

    Raises:
        ContractError: a method's options contradict each other or its messages.
    """
    contract = load_contract()
    routes = tuple(
        route
        for file in contract.files
        for service in file.services_by_name.values()
        for method in service.methods
        for route in method_routes(method, contract)
    )
    seen: dict[tuple[str, str], str] = {}
    for route in routes:
        key = (route.method, _PARAMETER.sub("{}", route.path_template))
        if key in seen:
            raise ContractError(f"{route.grpc_path} and {seen[key]} both serve {route.method} {route.path_template}")
        seen[key] = route.grpc_path
    return routes


def method_routes(method: MethodDescriptor, contract: Contract) -> Iterator[Route]:
    """The routes of one method, none when it has no google.api.http rule.

    Raises:
        ContractError: its options contradict each other or its messages.
    """
    extensions = method.GetOptions().Extensions
    rule, policy = extensions[annotations_pb2.http], extensions[options_pb2.route]
    if not rule.WhichOneof("pattern"):
        return
    if policy.access == options_pb2.ACCESS_UNSPECIFIED:
        raise ContractError(f"{method.full_name} has a google.api.http rule; state its access in rota.options.v1.route")
    for position, binding in enumerate((rule, *rule.additional_bindings)):
        yield _route(method, binding, policy, position, contract)


def _route(
    method: MethodDescriptor, rule: HttpRule, policy: options_pb2.Route, position: int, contract: Contract
) -> Route:
    request = method.input_type
    verb, template = _pattern(method, rule)
    path_params = _path_params(method, template)
    header_fields, update_mask_field = _bound_fields(request)
    bound = {*path_params, *header_fields, update_mask_field}
    transfer = _transfer(method, rule)
    if rule.body == "*":
        query_fields = tuple(field.name for field in request.fields if field_options(field).query)
    else:
        bound |= {rule.body, *(_OF_THE_FILE if transfer is Transfer.UP else ())}
        query_fields = tuple(field.name for field in request.fields if field.name not in bound)
    for name, owner in ((rule.body, request), (rule.response_body, method.output_type)):
        if name not in {"", "*"} and name not in owner.fields_by_name:
            raise ContractError(f"{method.full_name}: {owner.full_name} has no field {name!r}")
    description = contract.comments.get(method.full_name, "").replace("\n", " ")
    service = method.containing_service
    return Route(
        method=verb,
        path_template=template,
        path_params=path_params,
        body=rule.body,
        response_body=rule.response_body,
        request_class=GetMessageClass(request),
        response_class=GetMessageClass(method.output_type),
        service=service.full_name,
        backend=service.full_name.split(".")[1],
        rpc=method.name,
        grpc_path=f"/{service.full_name}/{method.name}",
        policy=_policy(verb, policy, method.output_type),
        header_fields=MappingProxyType(header_fields),
        update_mask_field=update_mask_field,
        query_fields=query_fields,
        summary=_first_sentence(description),
        description=description,
        alias=position > 0,
        transfer=transfer,
        operation_id=f"{service.name}_{method.name}" + (f"_{position + 1}" if position else ""),
    )


def _pattern(method: MethodDescriptor, rule: HttpRule) -> tuple[str, str]:
    kind = rule.WhichOneof("pattern")
    if kind is None or kind == "custom":
        raise ContractError(f"{method.full_name}: an HTTP rule needs one of get, put, post, delete, patch")
    template: str = getattr(rule, kind)
    return kind.upper(), template


def _transfer(method: MethodDescriptor, rule: HttpRule) -> Transfer:
    if method.client_streaming and method.server_streaming:
        raise ContractError(f"{method.full_name}: a route streams its request or its answer, not both")
    if method.client_streaming:
        _require_fields(method.full_name, method.input_type, {rule.body, "name", *_OF_THE_FILE})
        return Transfer.UP
    if method.server_streaming:
        _require_fields(method.full_name, method.output_type, {rule.response_body, "head"})
        return Transfer.DOWN
    return Transfer.NONE


def _require_fields(method: str, message: Descriptor, names: set[str]) -> None:
    missing = sorted(name for name in names if name not in message.fields_by_name)
    if missing:
        raise ContractError(f"{method} streams a file: {message.full_name} needs a field {missing[0]!r}")


def _path_params(method: MethodDescriptor, template: str) -> tuple[str, ...]:
    names = tuple(_PARAMETER.findall(template))
    for name in names:
        field = method.input_type.fields_by_name.get(name)
        if not _FIELD_NAME.fullmatch(name) or field is None or field.is_repeated or field.message_type:
            raise ContractError(
                f"{method.full_name}: {{{name}}} of {template} must be a single scalar field of the request"
            )
    return names


def _bound_fields(request: Descriptor) -> tuple[dict[str, str], str | None]:
    header_fields: dict[str, str] = {}
    update_mask_field = None
    for field in request.fields:
        options = field_options(field)
        if options.header:
            header_fields[field.name] = options.header
        if options.update_mask:
            update_mask_field = field.name
    return header_fields, update_mask_field


def field_options(field: FieldDescriptor) -> options_pb2.Field:
    """How a field travels over HTTP; the defaults when it says nothing."""
    options: options_pb2.Field = field.GetOptions().Extensions[options_pb2.field]
    return options


def _policy(verb: str, policy: options_pb2.Route, response: Descriptor) -> Policy:
    if policy.rate_class == options_pb2.RATE_CLASS_UNSPECIFIED:
        rate_class = RateClass.READ if verb == "GET" else RateClass.WRITE
    else:
        rate_class = RateClass[options_pb2.RateClass.Name(policy.rate_class).removeprefix("RATE_CLASS_")]
    derived_status = 201 if policy.location else 200 if response.fields else 204
    return Policy(
        access=Access[options_pb2.Access.Name(policy.access).removeprefix("ACCESS_")],
        rate_class=rate_class,
        timeout_s=policy.timeout.ToNanoseconds() / 1e9 if policy.HasField("timeout") else DEFAULT_TIMEOUT_S,
        location=policy.location or None,
        idempotent=policy.idempotent or verb in _IDEMPOTENT_METHODS,
        success_status=policy.success_status or derived_status,
        errors=tuple(policy.errors),
    )


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=\.)\s+(?=[A-Z])", text, maxsplit=1)[0].removesuffix(".")
