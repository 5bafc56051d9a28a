"""The whole document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota_gateway.contract import load_contract
from rota_gateway.openapi.answers import HEADERS, PROBLEM, PROBLEM_ITEM, problem_components
from rota_gateway.openapi.operations import SECURITY_SCHEME, operation, tag_name
from rota_gateway.openapi.schemas import Schemas

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rota_gateway.routes import Route

OPENAPI_VERSION = "3.1.1"
JSON_SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"

_DESCRIPTION = """\
Work for people and machines: tasks, projects, schedules and notifications.

Members are snake_case; times are RFC 3339 in UTC; enums are lower-case words. An answer has every member, null or []
where there is nothing. Unknown members and parameters are refused. PATCH is a JSON merge patch (RFC 7396): absent
keeps, null clears. Errors are problem documents (RFC 9457) with a stable `code` and, in `errors`, JSON pointers.
"""


def build_document(routes: Iterable[Route], *, version: str, server: str = "/") -> dict[str, Any]:
    """The OpenAPI document of routes; the same for the same contract, byte for byte.

    Args:
        routes: what to describe, in this order.
        version: of the API.
        server: URL that the paths are relative to.
    """
    contract = load_contract()
    schemas = Schemas(contract.comments)
    schemas.components["Problem"] = PROBLEM
    schemas.components["ProblemItem"] = PROBLEM_ITEM
    paths: dict[str, dict[str, Any]] = {}
    services: dict[str, str] = {}
    for route in routes:
        described = operation(route, schemas, contract.comments)
        paths.setdefault(route.path_template, {})[route.method.lower()] = described
        services[route.service] = contract.comments.get(route.service, "").replace("\n", " ")
    return {
        "openapi": OPENAPI_VERSION,
        "jsonSchemaDialect": JSON_SCHEMA_DIALECT,
        "info": {"title": "Rota", "version": version, "description": _DESCRIPTION},
        "servers": [{"url": server}],
        "tags": [{"name": tag_name(service), "description": text} for service, text in services.items()],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.components.items())),
            "responses": problem_components(),
            "headers": HEADERS,
            "securitySchemes": {
                SECURITY_SCHEME: {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "The `access_token` of a login or registration.",
                }
            },
        },
    }
