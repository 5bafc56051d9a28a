"""What bad input gets: a problem document with the right status and a pointer, and nothing written."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from rota_cli.demo.people import Api, Person

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from whole import System

pytestmark = pytest.mark.e2e

JSON = "application/json"
DEEP = b'{"title": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"


@pytest.fixture(scope="module")
async def ada(system: System) -> AsyncIterator[Person]:
    api = Api(system.base_url)
    yield await api.register("Ada")
    await api.close()


@pytest.fixture
async def http(system: System, ada: Person) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {ada.token}"}
    async with httpx.AsyncClient(base_url=f"{system.base_url}/api/v1", headers=headers, timeout=20) as client:
        yield client


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The problem document of an answer (RFC 9457), whole and without secrets."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert {"type", "title", "status", "detail", "instance", "code", "trace_id"} <= set(document)
    assert document["status"] == status
    assert "Traceback" not in answer.text
    return document


def places(document: dict[str, Any]) -> list[str]:
    return [
        error.get("pointer") or error.get("parameter") or error.get("header") for error in document.get("errors", [])
    ]


async def tasks_of(http: httpx.AsyncClient) -> int:
    return len((await http.get("/tasks", params={"page_size": 200})).json()["tasks"])


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        (b"", 400, None),
        (b"{", 400, None),
        (b"null", 400, None),
        (b"[]", 400, None),
        (b'"text"', 400, None),
        (b'{"title": "a"} trailing', 400, None),
        (b'{"title": NaN}', 400, None),
        (b"\xff\xfe{}", 400, None),
        (b"{}", 400, "/title"),
        (b'{"title": ""}', 400, "/title"),
        (b'{"title": "   "}', 400, "/title"),
        (b'{"title": null}', 400, "/title"),
        (b'{"title": 7}', 400, "/title"),
        (b'{"title": ["a"]}', 400, "/title"),
        (b'{"title": "a\\u0000b"}', 400, "/title"),
        (b'{"title": "\\ud800"}', 400, None),
        (b'{"titel": "a"}', 400, "/titel"),
        (b'{"title": "a", "id": "x"}', 400, "/id"),
        (b'{"title": "a", "priority": "asap"}', 400, "/priority"),
        (b'{"title": "a", "priority": 3}', 400, "/priority"),
        (b'{"title": "a", "due_at": "tomorrow"}', 400, "/due_at"),
        (b'{"title": "a", "due_at": "2026-02-30T00:00:00Z"}', 400, "/due_at"),
        (b'{"title": "a", "due_at": "2026-01-01T00:00:00"}', 400, "/due_at"),
        (b'{"title": "a", "due_at": "0000-01-01T00:00:00Z"}', 400, "/due_at"),
        (b'{"title": "a", "due_at": 1700000000}', 400, "/due_at"),
        (b'{"title": "a", "project_id": "no-uuid"}', 400, "/project_id"),
        (b'{"title": "a", "assignee_ids": "no-list"}', 400, "/assignee_ids"),
        (b'{"title": "a", "assignee_ids": [1]}', 400, "/assignee_ids/0"),
        (b'{"title": "a", "assignee_ids": ["x"]}', 400, "/assignee_ids/0"),
        (b'{"title": "' + b"x" * 501 + b'"}', 400, "/title"),
        (b'{"title": "a", "description": "' + b"x" * 50_001 + b'"}', 400, "/description"),
        (DEEP, 400, None),
        (b'{"title": "' + b"x" * 10_000_000 + b'"}', 413, None),
    ],
    ids=lambda value: repr(value)[:40],
)
async def test_a_bad_body_is_refused_with_a_pointer_and_writes_nothing(
    http: httpx.AsyncClient, body: bytes, status: int, pointer: str | None
) -> None:
    before = await tasks_of(http)
    answer = await http.post("/tasks", content=body, headers={"Content-Type": JSON})
    document = problem(answer, status)
    if pointer is not None:
        assert pointer in places(document)
    assert await tasks_of(http) == before


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/xml", "multipart/form-data; boundary=x", "", "json"]
)
async def test_another_content_type_is_refused(http: httpx.AsyncClient, content_type: str) -> None:
    answer = await http.post("/tasks", content=b'{"title": "a"}', headers={"Content-Type": content_type})
    problem(answer, 415)


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("page_size=x", "page_size"),
        ("page_size=-1", "page_size"),
        ("page_size=201", "page_size"),
        ("page_size=1&page_size=2", "page_size"),
        ("status=finished", "status"),
        ("project_id=x", "project_id"),
        ("unknown=1", "unknown"),
        ("page_token=x", "page_token"),
        ("page_token=%00", "page_token"),
    ],
)
async def test_a_bad_query_is_refused_by_name(http: httpx.AsyncClient, query: str, parameter: str) -> None:
    document = problem(await http.get(f"/tasks?{query}"), 400)
    assert parameter in places(document)


@pytest.mark.parametrize("task_id", ["x", "1", "%00", "..%2f..", "0" * 5000])
async def test_an_id_that_is_none_is_refused(http: httpx.AsyncClient, task_id: str) -> None:
    answer = await http.get(f"/tasks/{task_id}")
    assert answer.status_code in {400, 404}
    problem(answer, answer.status_code)


async def test_what_does_not_exist_is_not_found(http: httpx.AsyncClient) -> None:
    assert problem(await http.get(f"/tasks/{uuid4()}"), 404)["code"] == "TASK_NOT_FOUND"
    problem(await http.get("/nothing"), 404)
    answer = await http.request("PATCH", "/tasks")
    problem(answer, 405)
    assert answer.headers["allow"]


async def test_another_workspaces_task_is_not_found(system: System, http: httpx.AsyncClient) -> None:
    api = Api(system.base_url)
    grace = await api.register("Grace")
    task = await api.call(grace, "POST", "/api/v1/tasks", {"title": "Hers"})
    await api.close()
    for method, path, body in [
        ("GET", "", None),
        ("PATCH", "", {"title": "Mine"}),
        ("PUT", "", {"title": "Mine"}),
        ("DELETE", "", None),
        ("POST", "/complete", None),
        ("POST", "/assign", {"assignee_id": grace.id}),
    ]:
        answer = await http.request(method, f"/tasks/{task['id']}{path}", json=body)
        assert problem(answer, 404)["code"] == "TASK_NOT_FOUND"
    answer = await http.post("/tasks", json={"title": "a", "workspace_id": grace.workspace_id})
    assert problem(answer, 404)["code"] == "WORKSPACE_NOT_FOUND"


async def test_a_stale_entity_tag_is_refused(http: httpx.AsyncClient) -> None:
    task = (await http.post("/tasks", json={"title": "a"})).json()
    answer = await http.patch(f"/tasks/{task['id']}", json={"title": "b"}, headers={"If-Match": '"v7"'})
    assert problem(answer, 412)["code"] == "ETAG_MISMATCH"
    unchanged = await http.get(f"/tasks/{task['id']}")
    assert (unchanged.json()["title"], unchanged.headers["etag"]) == ("a", task["etag"])


def forged(token: str, kind: str) -> str:
    """A token that looks like the one given, and must not work."""
    header, payload, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    head = json.loads(base64.urlsafe_b64decode(header + "=="))

    def part(content: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")

    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    match kind:
        case "none":
            return f"{part(head | {'alg': 'none'})}.{payload}."
        case "another key":
            return jwt.encode(claims, key, algorithm="ES256", headers=head)
        case "another user":
            return f"{header}.{part(claims | {'sub': str(uuid4())})}.{signature}"
        case "longer life":
            return f"{header}.{part(claims | {'exp': int(time.time()) + 10**6})}.{signature}"
        case "another type":
            return f"{part(head | {'typ': 'svc+jwt', 'alg': 'HS256'})}.{payload}.{signature}"
        case "shared secret":
            return jwt.encode(claims, pem.hex(), algorithm="HS256", headers={"typ": "at+jwt", "kid": head["kid"]})
        case "unknown key id":
            return jwt.encode(claims, key, algorithm="ES256", headers=head | {"kid": "../../etc/passwd"})
    raise ValueError(kind)


@pytest.mark.parametrize(
    "kind", ["none", "another key", "another user", "longer life", "another type", "shared secret", "unknown key id"]
)
async def test_a_forged_token_is_refused(http: httpx.AsyncClient, ada: Person, kind: str) -> None:
    answer = await http.get("/tasks", headers={"Authorization": f"Bearer {forged(ada.token, kind)}"})
    problem(answer, 401)
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer x", "Bearer a.b.c", "Basic YTpi", "Bearer " + "x" * 6000])
async def test_what_is_no_token_is_refused(http: httpx.AsyncClient, value: str) -> None:
    answer = await http.get("/tasks", headers={"Authorization": value})
    problem(answer, 401)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"email": "no-address", "password": "long enough", "name": "A"}, "/email"),
        ({"email": "a@example.com", "password": "short", "name": "A"}, "/password"),
        ({"email": "a@example.com", "password": "long enough", "name": " "}, "/name"),
        ({"email": "a@example.com", "password": "long enough"}, "/name"),
    ],
)
async def test_a_bad_registration_names_the_field(http: httpx.AsyncClient, body: dict[str, str], pointer: str) -> None:
    assert pointer in places(problem(await http.post("/auth/register", json=body), 400))


async def test_an_address_registers_once(system: System, http: httpx.AsyncClient, ada: Person) -> None:
    body = {"email": ada.email.upper(), "password": "long enough", "name": "Again"}
    assert problem(await http.post("/auth/register", json=body), 409)["code"] == "EMAIL_TAKEN"
    body = {"email": ada.email, "password": "wrong password"}
    assert problem(await http.post("/auth/login", json=body), 401)["code"] == "INVALID_CREDENTIALS"
    assert system.is_ready


@pytest.mark.parametrize(
    ("spec", "pointer"),
    [
        ({"cron": "61 * * * *"}, "/cron"),
        ({"cron": "0 0 30 2 *"}, "/cron"),
        ({"cron": "* * * * *", "timezone": "Mars/Olympus"}, "/timezone"),
        ({"interval_s": 0}, "/interval_s"),
        ({"interval_s": 1.5}, "/interval_s"),
        ({"at": "soon"}, "/at"),
        ({}, None),
        ({"cron": "* * * * *", "interval_s": 5}, None),
    ],
)
async def test_a_bad_schedule_names_the_field(
    http: httpx.AsyncClient, spec: dict[str, Any], pointer: str | None
) -> None:
    body = {"name": "Never", "action": {"create_task": {"title": "a"}}, **spec}
    document = problem(await http.post("/schedules", json=body), 400)
    if pointer is not None:
        assert pointer in places(document)


@pytest.mark.parametrize("action", [{}, {"create_task": {"title": "a"}, "http": {"url": "https://example.com"}}, None])
async def test_a_schedule_has_exactly_one_action(http: httpx.AsyncClient, action: Any) -> None:
    body = {"name": "Never", "interval_s": 3600, "action": action}
    problem(await http.post("/schedules", json=body), 400)
