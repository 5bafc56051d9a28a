"""Problem documents (RFC 9457): the one form of every error.

{"type": "urn:rota:problem:task-not-found", "title": "Task not found", "status": 404, "detail": "…",
 "instance": "/api/v1/tasks/…", "code": "TASK_NOT_FOUND", "trace_id": "…", "errors": [{"pointer": "/title", …}]}
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson
from rota_chassis import codec
from rota_chassis.errors import DeadlineExceeded, Internal, RotaError, Unauthenticated, Unavailable

from rota_gateway.answers import send_answer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rota_chassis.codec import Problem as FieldProblem
    from starlette.types import Send

    from rota_gateway.exchange import Exchange

MEDIA_TYPE = b"application/problem+json"
DEFAULT_RETRY_S = 1
_CHANNEL_CODES = frozenset({Unavailable.default_code, DeadlineExceeded.default_code})
_UNAVAILABLE_DETAIL = "Something that this call needs is not available at the moment; try again."
_CRASH_DETAIL = "Something went wrong on our side; it has been logged under the trace id."


@dataclass(frozen=True, slots=True)
class Problem:
    """One error answer.

    Attributes:
        code: stable reason in UPPER_SNAKE; type and title follow from it.
        errors: what exactly is wrong: each has `pointer`, `parameter` or `header`, and `code` and `detail`.
        headers: headers that belong to it, such as Allow or Retry-After.
        extensions: further members (RFC 9457, section 3.2).
    """

    status: int
    code: str
    detail: str
    errors: tuple[dict[str, str], ...] = ()
    headers: Mapping[bytes, bytes] = field(default_factory=dict)
    extensions: Mapping[str, Any] = field(default_factory=dict)

    def document(self, exchange: Exchange) -> bytes:
        """The document, as JSON."""
        members: dict[str, Any] = {
            "type": "urn:rota:problem:" + self.code.lower().replace("_", "-"),
            "title": self.code.replace("_", " ").capitalize(),
            "status": self.status,
            "detail": self.detail,
            "instance": exchange.path,
            "code": self.code,
            "trace_id": exchange.trace_id,
            **self.extensions,
        }
        if self.errors:
            members["errors"] = self.errors
        return orjson.dumps(members)


class Refused(Exception):
    """The gateway itself answers, with a problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def refusal(status: int, code: str, detail: str, **headers: str) -> Refused:
    """A refusal; headers are given like `retry_after="1"`."""
    encoded = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return Refused(Problem(status, code, detail, headers=encoded))


def invalid_request(problems: Iterable[FieldProblem], headers: frozenset[str] = frozenset()) -> Refused:
    """A refusal of what the codec found wrong.

    Args:
        problems: what is wrong, and where.
        headers: names of parameters that are headers.
    """
    errors = tuple(_error(problem, headers) for problem in problems)
    return Refused(Problem(400, "INVALID_REQUEST", _sentence(errors), errors))


def invalid_fields(errors: Iterable[dict[str, str]]) -> Refused:
    """A refusal of what the rules of the contract found wrong."""
    found = tuple(errors)
    return Refused(Problem(400, "INVALID_FIELDS", _sentence(found), found))


def problem_of(error: RotaError, errors: tuple[dict[str, str], ...] = ()) -> Problem:
    """The problem that tells of an error from behind the gateway."""
    if isinstance(error, Internal) or error.http_status == Internal.http_status:
        return crash()
    headers: dict[bytes, bytes] = {}
    if isinstance(error, Unauthenticated):
        headers[b"www-authenticate"] = challenge(error)
    retry_after = error.metadata.get("retry_after_s")
    if retry_after is not None and retry_after.isdigit():
        headers[b"retry-after"] = retry_after.encode()
    elif isinstance(error, (Unavailable, DeadlineExceeded)):
        headers[b"retry-after"] = str(DEFAULT_RETRY_S).encode()
    # Without a code of its own it was made by a channel, and speaks of addresses that are nobody's business.
    detail = _UNAVAILABLE_DETAIL if error.code in _CHANNEL_CODES else error.detail
    extensions: dict[str, Any] = {name: error.metadata[name] for name in ("service", "etag") if name in error.metadata}
    if error.current is not None:
        extensions["current"] = codec.encoder(type(error.current))(error.current)
    return Problem(error.http_status, error.code, detail, errors, headers, extensions)


def crash() -> Problem:
    """The problem that tells of a fault of ours, and nothing about it."""
    return Problem(Internal.http_status, "INTERNAL", _CRASH_DETAIL)


def challenge(error: Unauthenticated | None = None) -> bytes:
    """A WWW-Authenticate value (RFC 6750, section 3); says what is wrong with a token that was sent."""
    if error is None or error.code not in {"TOKEN_EXPIRED", "INVALID_TOKEN"}:
        return b'Bearer realm="rota"'
    return f'Bearer realm="rota", error="invalid_token", error_description="{error.detail}"'.encode("ascii", "replace")


def retry_after(seconds: float) -> str:
    """A Retry-After value, whole seconds, at least one."""
    return str(max(1, math.ceil(seconds)))


async def send_problem(send: Send, exchange: Exchange, problem: Problem) -> None:
    """Answer with a problem."""
    headers = [(b"cache-control", b"no-store"), *problem.headers.items()]
    await send_answer(
        send, exchange, problem.status, problem.document(exchange), media_type=MEDIA_TYPE, headers=headers
    )


def _error(problem: FieldProblem, headers: frozenset[str]) -> dict[str, str]:
    if problem.parameter is None:
        place = {"pointer": problem.pointer or ""}
    elif problem.parameter in headers:
        place = {"header": problem.parameter}
    else:
        place = {"parameter": problem.parameter}
    return {**place, "code": problem.code, "detail": problem.detail}


def _sentence(errors: tuple[dict[str, str], ...]) -> str:
    first = errors[0]
    place = first.get("pointer") or first.get("parameter") or first.get("header") or "The request"
    more = f" ({len(errors) - 1} more)" if len(errors) > 1 else ""
    sentence = f"{place} {first['detail']}{more}"
    return sentence if sentence.endswith("?") else sentence.removesuffix(".") + "."
