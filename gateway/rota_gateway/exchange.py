"""One request and its answer, as the stages share it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from rota_chassis.identity import Principal
    from starlette.types import Scope

_KEY = "rota.exchange"


@dataclass(slots=True)
class Exchange:
    """A request under way.

    Attributes:
        method: upper-case HTTP method.
        path: as it came, percent-encoded, without the query.
        headers: by lower-case name; of repeated ones the last.
        started: `time.perf_counter()` when it came.
        request_id: the client's X-Request-Id, or one made here.
        trace_id: 32 hexadecimal digits.
        traceparent: of this request's span (W3C Trace Context), for the services.
        address: the client's address.
        route: template of the path that matched, for logs and metrics.
        principal: who calls, once known.
        status: of the answer, 0 before it starts.
        answer_headers: added to whatever the answer is.
    """

    method: str
    path: str
    headers: dict[bytes, bytes]
    started: float
    request_id: str
    trace_id: str
    traceparent: str
    address: str
    route: str = "unmatched"
    principal: Principal | None = None
    status: int = 0
    answer_headers: dict[bytes, bytes] = field(default_factory=dict)


def attach(scope: Scope, exchange: Exchange) -> None:
    """Make `exchange` the one of this ASGI scope."""
    scope[_KEY] = exchange


def exchange_of(scope: Scope) -> Exchange:
    """The exchange of an ASGI scope that has passed the first stage."""
    return cast("Exchange", scope[_KEY])


def client_address(scope: Scope) -> str:
    """The address of the client, or of the last proxy that is not trusted."""
    client = scope.get("client")
    return client[0] if client else "unknown"
