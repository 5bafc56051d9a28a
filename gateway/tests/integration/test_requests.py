from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.integration.conftest import System


async def test_a_task_is_created_and_read_back(system: System) -> None:
    user = system.user()
    created = await system.http.post(
        "/api/v1/tasks", json={"title": "Water the plants"}, headers={"authorization": f"Bearer {user.token}"}
    )
    assert created.status_code == 201, created.text
    task = created.json()
    assert created.headers["location"] == f"/api/v1/tasks/{task['id']}"
    assert created.headers["etag"] == '"1"'
    read = await system.get(created.headers["location"], user)
    assert read.json() == task
    assert read.headers["ratelimit-policy"] == '"read";q=600;w=10'


async def test_readiness_names_every_process(system: System) -> None:
    ready = await system.http.get("/readyz")
    assert ready.status_code == 200, ready.text
    assert set(ready.json()["services"]) == {"gateway", "auth", "tasks", "scheduler", "notifications"}
    await system.stop("scheduler")
    unready = await system.http.get("/readyz")
    assert unready.status_code == 503
    assert unready.json()["services"]["scheduler"] == "unavailable"
    await system.start("scheduler")
