"""What the access log says of a request."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import pytest
from rota_gateway.exchange import Exchange, attach
from rota_gateway.stages.access import Access


@pytest.mark.parametrize(
    ("path", "route", "logged"),
    [
        ("/api/v1/shared/hush/tasks", "/api/v1/shared/{token}/tasks", "/api/v1/shared/{token}/tasks"),
        ("/api/v1/tasks/1", "/api/v1/tasks/{id}", "/api/v1/tasks/1"),
    ],
    ids=["secret", "plain"],
)
async def test_a_line_names_the_path_unless_it_holds_a_secret(path: str, route: str, logged: str) -> None:
    lines: list[dict[str, Any]] = []

    async def app(*_arguments: Any) -> None:
        pass

    scope: dict[str, Any] = {"type": "http"}
    attach(scope, Exchange("GET", path, {}, perf_counter(), "id", "trace", "parent", "127.0.0.1", route=route))
    access = Access(app, lambda _level, facts: lines.append(facts))
    await access(scope, app, app)
    assert [line["path"] for line in lines] == [logged]
