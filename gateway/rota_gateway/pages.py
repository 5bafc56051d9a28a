"""What the gateway serves by itself: health, metrics, the documents of the API and their page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from rota_gateway.exchange import exchange_of
from rota_gateway.health import READY, UNAVAILABLE
from rota_gateway.stages.security import CONTENT_SECURITY_POLICY

if TYPE_CHECKING:
    from rota_gateway.health import Health

_NOT_KEPT = {"cache-control": "no-store"}
_DOCS_POLICY = (
    b"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PATHS = ("/", "/livez", "/readyz", "/healthz", "/metrics", "/openapi.json", "/asyncapi.json", "/docs")


def pages(health: Health, *, openapi: bytes, asyncapi: bytes, docs: str) -> APIRouter:
    """A router of these pages.

    Args:
        health: of the system.
        openapi: the document of the REST API, as JSON.
        asyncapi: the document of events and live channels, as JSON.
        docs: the page that shows the first.
    """
    router = APIRouter()

    async def index(_request: Request) -> Response:
        links = {
            "documentation": "/docs",
            "openapi": "/openapi.json",
            "asyncapi": "/asyncapi.json",
            "ready": "/readyz",
            "metrics": "/metrics",
        }
        return _json({"name": "Rota", "links": links})

    async def livez(_request: Request) -> Response:
        return _json({"status": "alive"})

    async def readyz(_request: Request) -> Response:
        services = await health.services()
        ready = all(state == READY for state in services.values())
        return _json({"status": READY if ready else UNAVAILABLE, "services": services}, 200 if ready else 503)

    async def metrics(_request: Request) -> Response:
        return Response(generate_latest(), headers=_NOT_KEPT, media_type=CONTENT_TYPE_LATEST)

    async def openapi_document(_request: Request) -> Response:
        return Response(openapi, headers={"cache-control": "no-cache"}, media_type="application/json")

    async def asyncapi_document(_request: Request) -> Response:
        return Response(asyncapi, headers={"cache-control": "no-cache"}, media_type="application/json")

    async def docs_page(request: Request) -> Response:
        # The page has its style inside, and loads nothing.
        exchange_of(request.scope).answer_headers[CONTENT_SECURITY_POLICY] = _DOCS_POLICY
        return Response(docs, headers={"cache-control": "no-cache"}, media_type="text/html")

    served = (index, livez, readyz, readyz, metrics, openapi_document, asyncapi_document, docs_page)
    for path, page in zip(PATHS, served, strict=True):
        router.add_route(path, page, methods=["GET"])
    return router


def _json(content: dict[str, object], status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, _NOT_KEPT, "application/json")
