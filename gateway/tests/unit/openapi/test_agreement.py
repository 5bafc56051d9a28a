"""What the document admits, the gateway takes, and what it does not admit, the gateway refuses.

Requests are drawn from the document by schemathesis and decoded by the endpoints, without a server.
"""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import hypothesis
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from protovalidate import Validator
from rota_gateway.endpoint import Endpoint
from rota_gateway.problems import Refused
from rota_gateway.routes import Transfer, load_routes
from schemathesis import GenerationMode
from schemathesis.core import NOT_SET

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rota_gateway.routes import Route

FEW = settings(
    max_examples=12,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def drawn(document: dict[str, Any]) -> Any:
    """The operations, without their need of a token, which is not the endpoints' business."""
    document = copy.deepcopy(document)
    for item in document["paths"].values():
        for operation in item.values():
            operation["security"] = []
    return schemathesis.openapi.from_dict(document)


def accepts(endpoint: Endpoint, case: Any) -> bool | None:
    """Whether the endpoint takes a drawn request; None when the request does not lead to it."""
    wire = case.as_transport_kwargs(base_url="http://rota.test")
    taken = ("method", "url", "headers", "params", "data", "json")
    request = requests.Request(**{name: wire[name] for name in taken if name in wire}).prepare()
    target = urlsplit(request.url or "")
    path = re.fullmatch(re.sub(r"\{[^}]*\}", "([^/]+)", endpoint.route.path_template), str(target.path))
    if path is None:
        return None
    headers = {name.lower().encode(): str(value).encode("latin-1") for name, value in request.headers.items()}
    content: Any = request.body or b""
    body = content.encode() if isinstance(content, str) else content
    if endpoint.route.transfer is Transfer.UP:
        body = b""  # a file is read on its way, not here
    try:
        captured = tuple(unquote(part, errors="strict") for part in path.groups())
        endpoint.decode(captured, str(target.query).encode(), headers, body)
    except (UnicodeDecodeError, Refused):
        return False
    return True


def members(value: Any) -> Iterator[str]:
    """The names of members, at any depth."""
    for name, each in value.items() if isinstance(value, dict) else ():
        yield name
        yield from members(each)
    for each in value if isinstance(value, list) else ():
        yield from members(each)


@pytest.mark.parametrize("route", load_routes(), ids=lambda route: route.operation_id)
def test_every_request_that_the_document_admits_is_taken(drawn: Any, route: Route) -> None:
    endpoint = Endpoint(route, Validator())
    cases = drawn[route.path_template][route.method].as_strategy(generation_mode=GenerationMode.POSITIVE)

    @FEW
    @given(cases)
    def check(case: Any) -> None:
        assert accepts(endpoint, case) is not False

    check()


# What is wrong with one operation of a batch is said in the result of that operation.
WHOLE = [route for route in load_routes() if route.operation_id != "BatchService_BatchTasks"]


@pytest.mark.parametrize(
    "route",
    [route for route in WHOLE if (route.body or route.path_params) and route.transfer is not Transfer.UP],
    ids=lambda route: route.operation_id,
)
def test_every_request_that_the_document_does_not_admit_is_refused(drawn: Any, route: Route) -> None:
    endpoint = Endpoint(route, Validator())
    operation = drawn[route.path_template][route.method]
    optional = operation.definition.raw.get("requestBody", {}).get("required") is False
    cases = operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)

    @FEW
    @given(cases)
    def check(case: Any) -> None:
        # An extra query parameter drawn as an empty list leaves no trace in the URL.
        hypothesis.assume([] not in (case.query or {}).values())
        # Which zones there are is the services' to know.
        hypothesis.assume(not {"timezone", "time_zone"} & set(members(case.body)))
        # Nothing is wrong with leaving out a body that may be left out, although it is drawn as if there were.
        hypothesis.assume(not optional or case.body is not NOT_SET)
        assert accepts(endpoint, case) is not True

    check()
