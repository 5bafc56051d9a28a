"""One operation of the document: what a route takes, and what it gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf.message_factory import GetMessageClass

from rota_gateway.openapi import files
from rota_gateway.openapi.answers import RATE_HEADERS, header_references, problem_references
from rota_gateway.openapi.constraints import is_required
from rota_gateway.openapi.schemas import WELL_KNOWN
from rota_gateway.routes import Access, Transfer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf.descriptor import Descriptor, FieldDescriptor

    from rota_gateway.openapi.schemas import Schema, Schemas
    from rota_gateway.routes import Route

SECURITY_SCHEME = "accessToken"

_NO_CONTENT = 204
_JSON_TYPE = "application/json"
_PATCH_TYPE = "application/merge-patch+json"


def operation(route: Route, schemas: Schemas, comments: Mapping[str, str]) -> Schema:
    """The operation object of a route (OpenAPI 3.1.1, section 4.8.10)."""
    described: Schema = {
        "operationId": route.operation_id,
        "tags": [tag_name(route.service)],
        "summary": route.summary,
        "description": _description(route),
        "security": [] if route.policy.access is Access.PUBLIC else [{SECURITY_SCHEME: []}],
    }
    parameters = _parameters(route, schemas, comments)
    if parameters:
        described["parameters"] = parameters
    if route.transfer is Transfer.UP:
        described["requestBody"] = {"required": True, "content": files.upload_content()}
    elif route.body:
        schema = _body_schema(route, schemas)
        types = (_PATCH_TYPE, _JSON_TYPE) if route.method == "PATCH" else (_JSON_TYPE,)
        described["requestBody"] = {
            "required": route.method != "POST" or schemas.has_required(schema),
            "content": {media_type: {"schema": schema} for media_type in types},
        }
    described["responses"] = {**_success(route, schemas, comments), **problem_references(route)}
    if route.policy.errors:
        described["x-rota-errors"] = list(route.policy.errors)
    return described


def tag_name(service: str) -> str:
    """The tag of a service: "rota.tasks.v1.TaskService" is "Task"."""
    return service.rpartition(".")[2].removesuffix("Service")


def has_etag(route: Route) -> bool:
    """Whether a route answers with a resource that has an entity tag."""
    return "etag" in _answer_message(route).fields_by_name


def _description(route: Route) -> str:
    parts = [route.description]
    if route.alias:
        parts.append("Another path of the same operation.")
    if route.policy.access is Access.ADMIN:
        parts.append("Only for admins.")
    if route.policy.errors:
        parts.append("Problems of its own: " + ", ".join(f"`{code}`" for code in route.policy.errors) + ".")
    return "\n\n".join(parts)


def _parameters(route: Route, schemas: Schemas, comments: Mapping[str, str]) -> list[Schema]:
    fields = route.request_class.DESCRIPTOR.fields_by_name
    found = [_parameter(fields[name], name, "path", schemas, comments) for name in route.path_params]
    found += [_parameter(fields[name], name, "query", schemas, comments) for name in route.query_fields]
    found += [
        _parameter(fields[name], header, "header", schemas, comments) for name, header in route.header_fields.items()
    ]
    if route.transfer is Transfer.UP:
        found += files.upload_parameters()
    if route.transfer is Transfer.DOWN:
        found += files.download_parameters()
    if route.method == "GET" and has_etag(route):
        text = "Answer 304 when the resource still has this entity tag (RFC 9110, section 13.1.2)."
        found.append({"name": "If-None-Match", "in": "header", "description": text, "schema": {"type": "string"}})
    return found


def _parameter(
    field: FieldDescriptor | Any, name: str, place: str, schemas: Schemas, comments: Mapping[str, str]
) -> Schema:
    parameter: Schema = {"name": name, "in": place, "schema": schemas.parameter(field)}
    if place == "path" or is_required(field):
        parameter["required"] = True
    if comment := comments.get(field.full_name):
        parameter["description"] = comment.replace("\n", " ")
    return parameter


def _body_schema(route: Route, schemas: Schemas) -> Schema:
    request: Any = route.request_class.DESCRIPTOR
    if route.body == "*":
        return schemas.request(request, route.not_in_body)
    return schemas.request(request.fields_by_name[route.body].message_type)


def _success(route: Route, schemas: Schemas, comments: Mapping[str, str]) -> Schema:
    if route.transfer is Transfer.DOWN:
        return files.download_answers()
    status = route.policy.success_status
    if status == _NO_CONTENT:
        return {str(status): {"description": "Done.", "headers": header_references(RATE_HEADERS)}}
    message = _answer_message(route)
    answer: Descriptor | Any = route.response_class.DESCRIPTOR
    names: tuple[str, ...] = RATE_HEADERS
    if has_etag(route):
        names = ("ETag", *names)
    if route.policy.location:
        names = ("Location", *names)
    if route.response_body and message is answer:
        schema = schemas.answer_field(answer.fields_by_name[route.response_body])
    else:
        schema = schemas.answer(message)
    answers: Schema = {
        str(status): {
            "description": comments.get(message.full_name, "Done.").replace("\n", " "),
            "headers": header_references(names),
            "content": {_JSON_TYPE: {"schema": schema}},
        }
    }
    if route.method == "GET" and has_etag(route):
        answers["304"] = {"description": "The resource still has that entity tag.", "headers": header_references(names)}
    return answers


def _answer_message(route: Route) -> Descriptor | Any:
    """The message that is the body of the answer; the whole response when the body is no message of ours."""
    answer: Descriptor | Any = route.response_class.DESCRIPTOR
    if not route.response_body:
        return answer
    field = answer.fields_by_name[route.response_body]
    if field.message_type is None or field.is_repeated or field.message_type.full_name in WELL_KNOWN:
        return answer
    return GetMessageClass(field.message_type).DESCRIPTOR
