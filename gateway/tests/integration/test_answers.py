from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx
    from rota_chassis.testing.services import User
    from tests.integration.conftest import System


async def create(system: System, user: User) -> httpx.Response:
    """A new task."""
    return await system.http.post(
        "/api/v1/tasks", json={"title": "Water the plants"}, headers={"authorization": f"Bearer {user.token}"}
    )


async def test_a_task_is_created_and_read_back(system: System) -> None:
    user = system.user()
    created = await create(system, user)
    assert created.status_code == 201, created.text
    task = created.json()
    assert created.headers["location"] == f"/api/v1/tasks/{task['id']}"
    assert created.headers["etag"] == task["etag"] == '"1"'
    assert created.headers["cache-control"] == "no-store"
    read = await system.get(created.headers["location"], user)
    assert read.json() == task
    assert read.headers["cache-control"] == "private, no-cache"
    assert "server" not in read.headers


async def test_the_service_hears_who_calls_and_from_where(system: System) -> None:
    user = system.user()
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    answer = await system.get(
        "/api/v1/tasks", user, traceparent=trace, **{"user-agent": "a browser", "x-request-id": "r1"}
    )
    assert answer.headers["x-request-id"] == "r1"
    assert answer.headers["traceparent"].startswith("00-0af7651916cd43dd8448eb211c80319c-")
    assert system.tasks.metadata["traceparent"] == answer.headers["traceparent"]
    assert system.tasks.metadata["authorization"] == f"Bearer {user.token}"
    assert system.tasks.metadata["x-rota-client-address"] == "127.0.0.1"
    assert system.tasks.metadata["x-rota-user-agent"] == "a browser"


async def test_ids_that_could_break_a_log_or_a_trace_are_replaced(system: System) -> None:
    answer = await system.get(
        "/api/v1/tasks", system.user(), traceparent="00-" + "0" * 32 + "-1-01", **{"x-request-id": 'a"b'}
    )
    assert '"' not in answer.headers["x-request-id"]
    assert answer.headers["traceparent"].split("-")[1] != "0" * 32


async def test_a_public_route_is_called_with_the_identity_of_the_gateway(system: System) -> None:
    login = {"email": "ada@example.com", "password": "correct horse"}
    answer = await system.http.post("/api/v1/auth/login", json=login, headers={"authorization": "Bearer stale"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["access_token"] == "ada@example.com"


async def test_a_known_entity_tag_saves_the_body(system: System) -> None:
    user = system.user()
    path = (await create(system, user)).headers["location"]
    for tags in ('"1"', 'W/"1"', '"0", "1"', "*"):
        answer = await system.get(path, user, **{"if-none-match": tags})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", '"1"')
    assert (await system.get(path, user, **{"if-none-match": '"2"'})).status_code == 200


async def test_head_answers_like_get_without_the_body(system: System) -> None:
    user = system.user()
    path = (await create(system, user)).headers["location"]
    got = await system.get(path, user)
    head = await system.http.head(path, headers={"authorization": f"Bearer {user.token}"})
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(got.content))
    assert head.headers["etag"] == got.headers["etag"]


async def test_deleting_answers_without_a_body(system: System) -> None:
    user = system.user()
    path = (await create(system, user)).headers["location"]
    deleted = await system.http.delete(path, headers={"authorization": f"Bearer {user.token}"})
    assert (deleted.status_code, deleted.content) == (204, b"")
    again = await system.http.delete(path, headers={"authorization": f"Bearer {user.token}"})
    assert (again.status_code, again.json()["code"]) == (404, "TASK_NOT_FOUND")
    assert again.json()["title"] == "Task not found"


async def test_browsers_may_call_from_anywhere_without_cookies(system: System) -> None:
    preflight = await system.http.options(
        "/api/v1/tasks",
        headers={"origin": "https://app.example.com", "access-control-request-method": "POST"},
    )
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == "*"
    assert "PATCH" in preflight.headers["access-control-allow-methods"]
    assert "authorization" in preflight.headers["access-control-allow-headers"].lower()
    assert "access-control-allow-credentials" not in preflight.headers
    answer = await system.get("/api/v1/tasks", system.user(), origin="https://app.example.com")
    assert "ETag" in answer.headers["access-control-expose-headers"]


async def test_every_answer_tells_browsers_what_to_refuse(system: System) -> None:
    for path in ("/", "/livez", "/api/v1/nothing", "/docs"):
        headers = (await system.http.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]


async def test_the_gateway_shows_its_documents_its_page_and_its_metrics(system: System) -> None:
    document = await system.http.get("/openapi.json")
    assert document.json()["openapi"].startswith("3.1")
    assert (await system.http.get("/asyncapi.json")).json()["asyncapi"] == "3.0.0"
    assert set((await system.http.get("/")).json()["links"].values()) >= {"/docs", "/openapi.json", "/asyncapi.json"}
    page = await system.http.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "/api/v1/tasks" in page.text
    await system.get("/api/v1/tasks", system.user())
    metrics = (await system.http.get("/metrics")).text
    assert 'rota_http_request_seconds_count{method="GET",route="/api/v1/tasks",status="200"}' in metrics
    assert (await system.http.get("/livez")).json() == {"status": "alive"}


async def test_readiness_names_every_process(system: System) -> None:
    ready = await system.http.get("/readyz")
    assert ready.status_code == 200, ready.text
    assert set(ready.json()["services"]) == {"gateway", "auth", "tasks", "scheduler", "notifications"}
    await system.stop("scheduler")
    unready = await system.http.get("/healthz")
    assert unready.status_code == 503
    assert unready.json()["status"] == unready.json()["services"]["scheduler"] == "unavailable"
    assert unready.json()["services"]["tasks"] == "ready"
