"""Jobs and those who do them, through the library for workers and the REST API."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest
from rota_chassis.testing.waiting import eventually
from rota_cli.demo.people import Api
from rota_worker import Job, Worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rota_cli.demo.people import Person
    from whole import System

pytestmark = pytest.mark.e2e

LEASE_S = 3
# Takes a job, says that it has begun, and never ends.
STUCK = """
import asyncio, sys
from rota_worker import Worker

url, token = sys.argv[1:]
worker = Worker(url, token, queue="ovens", lease_s=3)

@worker.job
async def bake(job):
    print("begun", flush=True)
    await asyncio.Event().wait()

asyncio.run(worker.run())
"""


@pytest.fixture
async def api(system: System) -> AsyncIterator[Api]:
    api = Api(system.base_url)
    yield api
    await api.close()


async def order(api: Api, person: Person, **payload: Any) -> str:
    """The id of a new run."""
    body = {"action": {"job": {"queue": "ovens", "payload": payload}}}
    return str((await api.call(person, "POST", "/api/v1/runs", body))["id"])


async def ended(api: Api, person: Person, run_id: str) -> dict[str, Any]:
    """The run as it ended."""

    async def read() -> dict[str, Any] | None:
        run = await api.call(person, "GET", f"/api/v1/runs/{run_id}")
        return run if run.get("finished_at") else None

    found = await eventually(read, timeout_s=30)
    assert found is not None
    return found


async def working(worker: Worker, until: Any) -> Any:
    """What `until` gives while the worker works; it is stopped then."""
    task = asyncio.create_task(worker.run())
    try:
        return await until
    finally:
        worker.stop()
        await task


async def test_a_job_that_is_ordered_is_done_by_a_worker_and_its_result_is_shown(system: System, api: Api) -> None:
    ada = await api.register("Ada")
    worker = Worker(system.base_url, ada.token, queue="ovens", wait_s=2, name="kitchen-1")

    @worker.job
    async def bake(job: Job) -> dict[str, Any]:
        await job.report(50, "Rising")
        return {"loaves": job.payload["loaves"]}

    async def story() -> dict[str, Any]:
        return await ended(api, ada, await order(api, ada, loaves=3))

    run = await working(worker, story())
    assert (run["status"], run["result"], run["attempts"]) == ("succeeded", {"loaves": 3}, 1)
    assert (run["progress"]["percent"], run["progress"]["worker"]) == (50, "kitchen-1")
    assert (await api.call(ada, "GET", "/api/v1/queues"))["queues"] == []


async def test_what_a_killed_worker_had_begun_another_completes(system: System, api: Api) -> None:
    ada = await api.register("Ada")
    run_id = await order(api, ada, loaves=1)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", STUCK, system.base_url, ada.token, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), 20) == b"begun\n"
    finally:
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()
    worker = Worker(system.base_url, ada.token, queue="ovens", lease_s=LEASE_S, wait_s=2)

    @worker.job
    async def bake(job: Job) -> str:
        return f"attempt {job.attempt}, fence {job.fence}"

    run = await working(worker, ended(api, ada, run_id))
    assert (run["status"], run["result"]) == ("succeeded", "attempt 2, fence 2")
