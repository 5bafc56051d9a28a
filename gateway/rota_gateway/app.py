"""The ASGI application: the stages, and behind them what serves a path.

    tracing -> access -> security -> CORS -> errors -> limits -> dispatch ─┬─ a route of the contract -> transcoder
                                                                          └─ a page of the gateway itself
    web sockets go to the live channels.

Routes of the contract are found in a tree of our own and served by compiled endpoints; FastAPI serves what is written
by hand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_gateway.answers import send_empty
from rota_gateway.exchange import exchange_of
from rota_gateway.pages import PATHS
from rota_gateway.paths import PathTable
from rota_gateway.problems import refusal
from rota_gateway.stages.access import Access, write_json, write_log
from rota_gateway.stages.cors import Cors
from rota_gateway.stages.errors import Errors
from rota_gateway.stages.limits import Limits
from rota_gateway.stages.security import Security
from rota_gateway.stages.tracing import Tracing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from rota_gateway.endpoint import Endpoint
    from rota_gateway.settings import GatewaySettings
    from rota_gateway.stages.access import Writer
    from rota_gateway.transcoder import Transcoder


class Dispatch:
    """Finds what serves a method of a path.

    Args:
        endpoints: the routes of the contract.
        transcoder: serves them.
        pages: serves `pages.PATHS`.
    """

    def __init__(self, endpoints: Iterable[Endpoint], transcoder: Transcoder, pages: ASGIApp) -> None:
        self._table: PathTable[Endpoint | None] = PathTable()
        for path in PATHS:
            self._table.add("GET", path, None)
        for endpoint in endpoints:
            self._table.add(endpoint.route.method, endpoint.route.path_template, endpoint)
        self._transcoder = transcoder
        self._pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        exchange = exchange_of(scope)
        try:
            found = self._table.find(exchange.path)
        except UnicodeDecodeError as error:
            raise refusal(400, "MALFORMED_PATH", "The path is not UTF-8.") from error
        if found is None:
            raise refusal(404, "PATH_NOT_FOUND", "There is nothing at this path; see /docs.")
        exchange.route, by_method, captured = found
        method = "GET" if exchange.method == "HEAD" else exchange.method
        if method not in by_method:
            allow = ", ".join(_allowed(by_method))
            if method == "OPTIONS":
                await send_empty(send, 204, [(b"allow", allow.encode())])
                return
            raise refusal(405, "METHOD_NOT_ALLOWED", f"This path answers to {allow}.", allow=allow)
        endpoint = by_method[method]
        if endpoint is None:
            await self._pages(scope, receive, send)
        else:
            await self._transcoder.serve(endpoint, captured, scope, receive, send)


class Gateway:
    """Everything behind the server: HTTP through the stages, web sockets to the live channels."""

    def __init__(self, dispatch: Dispatch, live: ASGIApp, settings: GatewaySettings) -> None:
        app: ASGIApp = Limits(dispatch)
        app = Errors(app)
        app = Cors(app, settings.allowed_origins)
        app = Security(app)
        app = Access(app, _access_writer(settings))
        self._http = Tracing(app, recording=settings.otlp_endpoint is not None)
        self._live = live

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request or a web socket."""
        await (self._http if scope["type"] == "http" else self._live)(scope, receive, send)


def _access_writer(settings: GatewaySettings) -> Writer | None:
    if not settings.access_log or settings.log_level.lower() not in {"debug", "info"}:
        return None
    return write_json if settings.log_format == "json" else write_log


def _allowed(methods: Iterable[str]) -> list[str]:
    found = {*methods, "OPTIONS"}
    if "GET" in found:
        found.add("HEAD")
    return sorted(found)
