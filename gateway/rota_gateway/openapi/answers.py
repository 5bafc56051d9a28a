"""The problem answers that operations can give, and the headers of answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota_gateway.routes import Access, Transfer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rota_gateway.routes import Route

PROBLEM = {
    "description": "What went wrong (RFC 9457).",
    "type": "object",
    "properties": {
        "type": {"type": "string", "description": "Identifies the kind of problem."},
        "title": {"type": "string", "description": "The kind of problem, for a person."},
        "status": {"type": "integer", "description": "The HTTP status.", "minimum": 400, "maximum": 599},
        "detail": {"type": "string", "description": "What to do about it."},
        "instance": {"type": "string", "description": "The path that was asked for."},
        "code": {"type": "string", "description": "Stable reason, for a program.", "pattern": "^[A-Z][A-Z0-9_]*$"},
        "trace_id": {"type": "string", "description": "Names this call in logs and traces."},
        "etag": {"type": "string", "description": "With 412: the entity tag that the resource has."},
        "current": {
            "type": "object",
            "description": "With 412 on a task: the task as it is now, in the form in which GET gives it, to merge with"
            " what the request holds, and to send again with `etag`. Absent when it is larger than 32 KiB: read it.",
        },
        "errors": {
            "type": "array",
            "description": "Each thing wrong with the request.",
            "items": {"$ref": "#/components/schemas/ProblemItem"},
        },
    },
    "required": ["type", "title", "status", "detail", "instance", "code", "trace_id"],
}
PROBLEM_ITEM = {
    "description": "One thing wrong with a request; one of `pointer`, `parameter` and `header` says where.",
    "type": "object",
    "properties": {
        "pointer": {"type": "string", "description": "JSON pointer (RFC 6901) into the body."},
        "parameter": {"type": "string", "description": "Name of a query or path parameter."},
        "header": {"type": "string", "description": "Name of a header."},
        "code": {"type": "string", "description": "Stable word, for a program."},
        "detail": {"type": "string", "description": "What is wrong with it."},
    },
    "required": ["code", "detail"],
}
HEADERS: dict[str, dict[str, Any]] = {
    "Accept-Ranges": {
        "description": "That ranges of bytes can be asked for (RFC 9110, section 14.3).",
        "schema": {"type": "string", "const": "bytes"},
        "required": True,
    },
    "Content-Disposition": {
        "description": "Whether to show or to save it, and its name (RFC 6266, RFC 8187).",
        "schema": {"type": "string"},
        "required": True,
    },
    "Content-Range": {
        "description": "Which range it is (RFC 9110, section 14.4).",
        "schema": {"type": "string"},
        "required": True,
    },
    "ETag": {
        "description": "Strong entity tag of the resource (RFC 9110, section 8.8.3).",
        "schema": {"type": "string"},
        "required": True,
    },
    "Last-Modified": {
        "description": "When the content was made.",
        "schema": {"type": "string"},
        "required": True,
    },
    "Location": {
        "description": "Path of the resource that was created.",
        "schema": {"type": "string", "format": "uri-reference"},
        "required": True,
    },
    "RateLimit": {
        "description": "What is left of the rate limit (draft-ietf-httpapi-ratelimit-headers).",
        "schema": {"type": "string"},
    },
    "RateLimit-Policy": {
        "description": "The rate limit that this call counts against (draft-ietf-httpapi-ratelimit-headers).",
        "schema": {"type": "string"},
    },
    "Retry-After": {
        "description": "Seconds to wait before another try (RFC 9110, section 10.2.3).",
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
    },
    "WWW-Authenticate": {
        "description": "How to identify oneself (RFC 6750, section 3).",
        "schema": {"type": "string"},
    },
}
RATE_HEADERS = ("RateLimit", "RateLimit-Policy")

_TITLES = {
    400: ("BadRequest", "The request is malformed; `errors` says where."),
    401: ("Unauthorized", "No valid identity: credentials or a token are missing, wrong or expired."),
    403: ("Forbidden", "The caller may not do this."),
    404: ("NotFound", "It does not exist, or the caller may not see it."),
    408: ("RequestTimeout", "The body did not come in time."),
    409: ("Conflict", "It contradicts the present state."),
    410: ("Gone", "What it goes on from is not there any more."),
    412: ("PreconditionFailed", "The entity tag is not the resource's."),
    413: ("ContentTooLarge", "The body is too large."),
    414: ("UriTooLong", "The path and query are too long."),
    415: ("UnsupportedMediaType", "The body is not of a type that this operation takes."),
    416: ("RangeNotSatisfiable", "The range begins behind the end of the content; Content-Range says where that is."),
    422: ("UnprocessableContent", "The request is well-formed, and cannot be done as it stands."),
    429: ("TooManyRequests", "The rate limit is used up; see Retry-After."),
    431: ("HeadersTooLarge", "The headers are too large."),
    500: ("InternalServerError", "A fault of ours; `trace_id` names it."),
    503: ("ServiceUnavailable", "A service is down; see Retry-After."),
    504: ("GatewayTimeout", "It took too long; it may have been done."),
}
_OF_FILES = {Transfer.UP: (408,), Transfer.DOWN: (416,)}
_HEADERS_OF = {
    401: ("WWW-Authenticate",),
    416: ("Accept-Ranges", "Content-Range"),
    429: ("Retry-After", *RATE_HEADERS),
    503: ("Retry-After",),
    504: ("Retry-After",),
}


def problem_components() -> dict[str, dict[str, Any]]:
    """The shared problem answers, by name."""
    return {
        name: {
            "description": text,
            **({"headers": header_references(_HEADERS_OF[status])} if status in _HEADERS_OF else {}),
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status, (name, text) in _TITLES.items()
    }


def problem_references(route: Route) -> dict[str, dict[str, str]]:
    """A route's problem answers, by status."""
    return {str(status): {"$ref": f"#/components/responses/{_TITLES[status][0]}"} for status in _statuses(route)}


def header_references(names: tuple[str, ...]) -> dict[str, dict[str, str]]:
    """References to shared headers."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _statuses(route: Route) -> Iterator[int]:
    writes = route.method != "GET"
    yield 400
    if route.policy.access is not Access.PUBLIC or writes:
        yield 401
    if route.policy.access is not Access.PUBLIC:
        yield 403
    if route.path_params or any(code.endswith("_NOT_FOUND") for code in route.policy.errors):
        yield 404
    if any(code.endswith("_GONE") for code in route.policy.errors):
        yield 410
    if writes:
        yield 409
        if "If-Match" in route.header_fields.values():
            yield 412
        yield 413
    yield 414
    if route.body:
        yield 415
    yield from _OF_FILES.get(route.transfer, ())
    if writes or route.policy.errors:
        yield 422
    yield from (429, 431, 500, 503, 504)
