"""One route, compiled: its HTTP request to the message of its RPC, and the RPC's answer to HTTP."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote

import orjson
from google.protobuf.message_factory import GetMessageClass
from rota_chassis import codec
from rota_chassis.rpc.pipeline import violations_of

from rota_gateway import bodies
from rota_gateway.problems import invalid_fields, invalid_request, refusal
from rota_gateway.routes import Transfer, field_options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from google.protobuf.message import Message
    from protovalidate import Validator
    from rota_chassis.errors import Violation

    from rota_gateway.routes import Route

_MAX_PARAMETERS = 100
_TEMPLATE_FIELD = re.compile(r"\{([a-z0-9_]+)\}")


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer.

    Attributes:
        body: as JSON.
        etag: of the resource in it, if it has one.
        location: of the resource that was made, if one was.
    """

    body: bytes
    etag: bytes | None
    location: bytes | None


class Endpoint:
    """A route of the contract, ready to serve."""

    def __init__(self, route: Route, validator: Validator) -> None:
        self.route = route
        self.cache_control = _cache_control(route)
        self._validator = validator
        request: Any = route.request_class
        self._new: Callable[[], Any] = request
        self._headers = {field: (name, name.lower().encode()) for field, name in route.header_fields.items()}
        self._header_names = frozenset(route.header_fields.values())
        self._read_path = codec.parameter_decoder(request, {name: name for name in route.path_params})
        self._read_headers = codec.parameter_decoder(request, route.header_fields)
        self._read_query = codec.query_decoder(request, route.query_fields)
        self._read_body = _body_reader(route) if route.transfer is Transfer.NONE else None
        self._types = bodies.PATCH_TYPES if route.method == "PATCH" else bodies.JSON_TYPES
        self._never_null = frozenset(
            field.name for field in request.DESCRIPTOR.fields if field_options(field).not_cleared
        )
        self._encode = _answer_encoder(route)

    def decode(self, captured: tuple[str, ...], query: bytes, headers: Mapping[bytes, bytes], body: bytes) -> Any:
        """The request message.

        Raises:
            Refused: something in the request is wrong.
        """
        try:
            message = self._decode_body(headers, body)
            if captured:
                self._read_path(dict(zip(self.route.path_params, captured, strict=True)), message)
            if self._headers:
                self._read_headers(_present(self._headers, headers), message)
            if query:
                self._read_query(_pairs(query), message)
        except codec.DecodeError as error:
            raise invalid_request(error.problems, self._header_names) from error
        violations = violations_of(self._validator, message)
        if violations:
            raise invalid_fields(self.errors(violations))
        return message

    def encode(self, answer: Message) -> Answer:
        """What an answer of the RPC says over HTTP."""
        body = self._encode(answer)
        etag = location = None
        if type(body) is dict:
            tag = body.get("etag")
            etag = tag.encode("latin-1", "replace") if tag else None
            if self.route.policy.location is not None:
                location = _TEMPLATE_FIELD.sub(
                    lambda match: quote(str(body.get(match[1], "")), safe=""), self.route.policy.location
                ).encode()
        return Answer(orjson.dumps(body), etag, location)

    def errors(self, violations: Iterable[Violation]) -> tuple[dict[str, str], ...]:
        """Wrong fields of the request message, as they are called over HTTP."""
        return tuple(
            {**self._place(violation.field), "code": violation.reason, "detail": violation.description}
            for violation in violations
        )

    def _place(self, path: str) -> dict[str, str]:
        name = re.split(r"[.\[]", path, maxsplit=1)[0]
        if name in self.route.header_fields:
            return {"header": self.route.header_fields[name]}
        if name in self.route.path_params or name in self.route.query_fields:
            return {"parameter": name}
        request: Any = self.route.request_class
        pointer = codec.violation_pointer(request.DESCRIPTOR, path)
        if self.route.body not in {"", "*"}:
            pointer = pointer.removeprefix(f"/{self.route.body}")
        return {"pointer": pointer}

    def _decode_body(self, headers: Mapping[bytes, bytes], body: bytes) -> Any:
        if self._read_body is None:
            if body.strip() not in {b"", b"{}"}:
                raise refusal(400, "BODY_NOT_ALLOWED", f"{self.route.method} on this path takes no body.")
            return self._new()
        if body:
            bodies.check_type(headers, self._types)
            parsed = bodies.parse_json(body)
        elif self.route.method == "POST":
            # As an empty one; where a member is required, its absence is what is told.
            parsed = {}
        else:
            raise refusal(400, "BODY_REQUIRED", "This call needs a JSON body.")
        message: Any = self._read_body(parsed)
        if self.route.update_mask_field is not None:
            cleared = [name for name in parsed if parsed[name] is None and name in self._never_null]
            if cleared:
                raise invalid_fields(
                    [{"pointer": f"/{name}", "code": "required", "detail": "cannot be cleared"} for name in cleared]
                )
            getattr(message, self.route.update_mask_field).paths.extend(codec.member_names(parsed, message.DESCRIPTOR))
        return message


def _body_reader(route: Route) -> Callable[[Any], Message] | None:
    if not route.body:
        return None
    request: Any = route.request_class
    if route.body == "*":
        whole: Callable[[Any], Message] = codec.decoder(request, exclude=route.not_in_body)
        return whole
    part: Any = GetMessageClass(request.DESCRIPTOR.fields_by_name[route.body].message_type)
    read = codec.decoder(part)
    return lambda parsed: request(**{route.body: read(parsed)})


def _answer_encoder(route: Route) -> Callable[[Any], Any]:
    response: Any = route.response_class
    if not route.response_body:
        return codec.encoder(response)
    field = response.DESCRIPTOR.fields_by_name[route.response_body]
    name = route.response_body
    if field.message_type is None or field.is_repeated:
        encode_whole = codec.encoder(response)
        return lambda answer: encode_whole(answer)[name]
    encode_part = codec.encoder(GetMessageClass(field.message_type))
    return lambda answer: encode_part(getattr(answer, name))


def _present(wanted: Mapping[str, tuple[str, bytes]], headers: Mapping[bytes, bytes]) -> dict[str, str]:
    return {name: headers[raw].decode("latin-1") for name, raw in wanted.values() if raw in headers}


def _pairs(query: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            query.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MAX_PARAMETERS, separator="&"
        )
    except ValueError as error:
        raise refusal(
            400, "MALFORMED_QUERY", f"The query is not UTF-8, or has more than {_MAX_PARAMETERS} parameters."
        ) from error


def _cache_control(route: Route) -> bytes:
    # A read may be kept by the one who asked, and must be asked for again: the entity tag makes that cheap.
    return b"private, no-cache" if route.method == "GET" else b"no-store"
