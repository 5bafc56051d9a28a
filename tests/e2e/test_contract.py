"""The published OpenAPI document, held against the running system by schemathesis with every check it knows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from rota_cli.demo.people import Api

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rota_cli.demo.people import Person
    from whole import System

pytestmark = pytest.mark.e2e

CONFIGURATION = Path(__file__).parents[2] / "schemathesis.toml"
SEED = 20_260_101
WITHIN_S = 600
_LARGE = "^/api/v1/{}(/|$)"
SHARES = {
    "schedules": ("--include-path-regex", _LARGE.format("schedules")),
    "tasks": ("--include-path-regex", _LARGE.format("tasks")),
    "everything else": ("--exclude-path-regex", _LARGE.format("(schedules|tasks)")),
}
"""The routes that each process asks `st run` for, about a third of the cases each; together they are all."""


@pytest.fixture
async def person(system: System) -> AsyncIterator[Person]:
    """Somebody whose schedules do not go on when the test is over."""
    api = Api(system.base_url)
    person = await api.register("Fuzz")
    yield person
    while schedules := (await api.call(person, "GET", "/api/v1/schedules?page_size=200"))["schedules"]:
        for schedule in schedules:
            await api.call(person, "DELETE", f"/api/v1/schedules/{schedule['id']}", also=(404,))
    await api.close()


def shortened(document: dict[str, Any]) -> dict[str, Any]:
    """The document without what would be most of the run: each value has a case of its own, in each place."""
    schemas = document["components"]["schemas"]
    zones = schemas["TimeZone"]
    zones["enum"] = zones["enum"][::150]
    # Runs have every kind of action. Schedules have them in each of their alternatives: there one kind is enough.
    action = schemas["ActionInput"]
    kinds = [kind for kind in action["oneOf"] if kind["required"] == ["event"]]
    assert kinds
    schemas["ScheduledActionInput"] = {**action, "oneOf": kinds}
    for name in ("CreateScheduleRequest", "PutScheduleRequest", "UpdateScheduleRequest"):
        schemas[name] = json.loads(json.dumps(schemas[name]).replace("/ActionInput", "/ScheduledActionInput"))
    # A patch has two media types of one form; elsewhere both are tried.
    del document["paths"]["/api/v1/schedules/{id}"]["patch"]["requestBody"]["content"]["application/json"]
    # Queues are empty: a claim that waits for a job would wait in vain.
    del schemas["ClaimRunsRequest"]["properties"]["wait_s"]
    return document


@pytest.mark.parametrize("share", SHARES.values(), ids=SHARES)
async def test_every_answer_is_as_the_document_says(
    system: System, person: Person, tmp_path: Path, share: tuple[str, ...]
) -> None:
    served = tmp_path / "openapi.json"
    served.write_text(json.dumps(shortened(await system.document("openapi"))))
    done = subprocess.run(  # noqa: ASYNC221, S603 (nothing else runs here meanwhile; our own tool and address)
        [
            str(Path(sys.executable).with_name("st")),
            *("--config-file", str(CONFIGURATION)),
            *("run", str(served), "--url", system.base_url),
            *("--header", f"Authorization: Bearer {person.token}"),
            # Of the links between operations, all inferred, the stateful phase follows none.
            *("--phases", "examples,coverage,fuzzing", "--checks", "all", "--max-examples", "3"),
            *("--seed", str(SEED), *share),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-8000:]
