"""A worker against a server that answers as a test says."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from rota_worker import GiveUp, Job, Refused, Worker

if TYPE_CHECKING:
    from collections.abc import Callable

LEASE_S = 3


def claimed(number: int = 1, **fields: Any) -> dict[str, Any]:
    return {
        "id": f"run-{number}",
        "workspace_id": "here",
        "queue": "ovens",
        "payload": {"number": number},
        "fence": 7,
        "attempts": 1,
        "max_attempts": 5,
        "nominal_time": "2026-01-01T12:00:00Z",
        **fields,
    }


def problem(status: int, code: str) -> httpx.Response:
    return httpx.Response(status, json={"code": code, "detail": "So it is."})


class Rota:
    """Gives the jobs it has, and remembers what is said of them.

    Attributes:
        jobs: What claims are given, one after the other.
        said: Of each call but claims the run, the verb and the body.
        answers: By verb, what to answer instead of success, one after the other.
        tokens: The tokens of the calls.
    """

    def __init__(self, *jobs: dict[str, Any]) -> None:
        self.jobs = deque(jobs)
        self.said: list[tuple[str, str, dict[str, Any]]] = []
        self.answers: dict[str, deque[httpx.Response | Exception]] = {}
        self.tokens: list[str] = []
        self.changed = asyncio.Event()

    def worker(self, **fields: Any) -> Worker:
        fields = {"token": "plain", "lease_s": LEASE_S, **fields}
        return Worker("http://rota", queue="ovens", transport=httpx.MockTransport(self.answer), **fields)

    async def answer(self, request: httpx.Request) -> httpx.Response:
        self.tokens.append(request.headers["authorization"])
        *_, name, verb = request.url.path.split("/")
        others = self.answers.get(verb)
        if others:
            other = others.popleft()
            if isinstance(other, Exception):
                raise other
            return other
        if verb == "claim":
            asked = json.loads(request.content)
            given = [self.jobs.popleft() for _ in range(min(asked["limit"], len(self.jobs)))]
            if not given:
                await asyncio.sleep(0)
            return httpx.Response(200, json={"runs": given})
        self.said.append((name, verb, json.loads(request.content)))
        self.changed.set()
        return httpx.Response(200, json={"lease_until": "2026-01-01T12:00:10Z"} if verb == "heartbeat" else {})

    async def until(self, verb: str, count: int = 1) -> list[dict[str, Any]]:
        """The bodies of what was said with a verb, once there are so many."""
        async with asyncio.timeout(10):
            while len(found := [body for _, said, body in self.said if said == verb]) < count:
                self.changed.clear()
                await self.changed.wait()
        return found


async def working(worker: Worker, until: Any) -> Any:
    """What `until` gives while the worker works; it is stopped then."""
    task = asyncio.create_task(worker.run())
    try:
        return await until
    finally:
        worker.stop()
        await task


async def test_what_the_function_returns_is_the_result() -> None:
    rota = Rota(claimed())
    worker = rota.worker()

    @worker.job
    async def bake(job: Job) -> dict[str, Any]:
        return {"baked": job.payload["number"]}

    assert await working(worker, rota.until("complete")) == [{"fence": 7, "result": {"baked": 1}}]
    assert set(rota.tokens) == {"Bearer plain"}


@pytest.mark.parametrize(
    ("raised", "retryable"), [(ValueError("Too hot."), True), (GiveUp("No oven."), False)], ids=["error", "give up"]
)
async def test_what_the_function_raises_is_the_failure(raised: Exception, retryable: bool) -> None:  # noqa: FBT001
    rota = Rota(claimed())
    worker = rota.worker()

    @worker.job
    async def bake(_job: Job) -> None:
        raise raised

    (said,) = await working(worker, rota.until("fail"))
    assert said == {"fence": 7, "error": str(raised), "retryable": retryable}


async def test_a_result_that_is_no_json_or_that_is_refused_fails_the_job_for_good() -> None:
    rota = Rota(claimed(1), claimed(2))
    rota.answers["complete"] = deque([problem(400, "INVALID_FIELDS")])
    worker = rota.worker()

    @worker.job
    async def bake(job: Job) -> Any:
        return {1, 2} if job.payload["number"] == 1 else "long"

    said = await working(worker, rota.until("fail", 2))
    assert [each["retryable"] for each in said] == [False, False]


async def test_no_more_jobs_are_done_at_a_time_than_the_worker_may() -> None:
    rota = Rota(*(claimed(number) for number in range(7)))
    worker = rota.worker(concurrency=3)
    now: set[str] = set()
    most = 0

    @worker.job
    async def bake(job: Job) -> None:
        nonlocal most
        now.add(job.id)
        most = max(most, len(now))
        await asyncio.sleep(0.01)
        now.remove(job.id)

    await working(worker, rota.until("complete", 7))
    assert most == 3


async def test_a_job_that_takes_long_is_kept_and_shows_how_far_it_is() -> None:
    rota = Rota(claimed())
    worker = rota.worker()
    enough = asyncio.Event()

    @worker.job
    async def bake(job: Job) -> None:
        await job.report(40, "Rising")
        await enough.wait()

    async def beaten() -> list[dict[str, Any]]:
        beats = await rota.until("heartbeat", 2)
        enough.set()
        await rota.until("complete")
        return beats

    assert await working(worker, beaten()) == [{"fence": 7, "progress": 40, "message": "Rising"}, {"fence": 7}]


@pytest.mark.parametrize(
    "answer",
    [lambda: httpx.Response(200, json={"cancelled": True}), lambda: problem(409, "LEASE_LOST")],
    ids=["cancelled", "lost"],
)
async def test_a_job_that_is_not_the_workers_any_more_is_cancelled_and_nothing_is_said_of_it(
    answer: Callable[[], httpx.Response],
) -> None:
    rota = Rota(claimed())
    rota.answers["heartbeat"] = deque([answer()])
    worker = rota.worker()
    cancelled = asyncio.Event()

    @worker.job
    async def bake(job: Job) -> None:
        try:
            await job.report(1)
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    await working(worker, asyncio.wait_for(cancelled.wait(), 10))
    assert rota.said == []


async def test_a_stopped_worker_lets_jobs_end_and_gives_back_what_does_not() -> None:
    rota = Rota(claimed(1), claimed(2))
    worker = rota.worker(concurrency=2, grace_s=0.2)
    begun = asyncio.Semaphore(0)

    @worker.job
    async def bake(job: Job) -> None:
        begun.release()
        await (asyncio.sleep(0.05) if job.payload["number"] == 1 else asyncio.Event().wait())

    async def both() -> None:
        await begun.acquire()
        await begun.acquire()

    await working(worker, both())
    assert sorted((name, verb) for name, verb, _ in rota.said) == [("run-1", "complete"), ("run-2", "release")]


async def test_calls_are_made_again_until_the_server_answers() -> None:
    rota = Rota(claimed())
    rota.answers["claim"] = deque([httpx.ConnectError("away")])
    rota.answers["complete"] = deque(
        [httpx.ReadError("cut"), problem(503, "UNAVAILABLE"), problem(429, "RATE_LIMITED")]
    )
    worker = rota.worker()

    @worker.job
    async def bake(_job: Job) -> None:
        return None

    assert len(await working(worker, rota.until("complete"))) == 1


async def test_a_token_that_is_refused_is_got_anew() -> None:
    rota = Rota(claimed())
    rota.answers["complete"] = deque([problem(401, "UNAUTHENTICATED")])
    given = iter(["old", "new"])

    async def token() -> str:
        return next(given)

    worker = rota.worker(token=token)

    @worker.job
    async def bake(_job: Job) -> None:
        return None

    await working(worker, rota.until("complete"))
    assert set(rota.tokens) == {"Bearer old", "Bearer new"}
    assert rota.tokens[-1] == "Bearer new"


async def test_a_worker_ends_when_it_will_never_be_given_a_job() -> None:
    rota = Rota()
    rota.answers["claim"] = deque([problem(403, "WORKSPACE_ROLE_REQUIRED")])
    worker = rota.worker()

    @worker.job
    async def bake(_job: Job) -> None:
        return None

    with pytest.raises(Refused) as caught:
        await worker.run()
    assert caught.value.code == "WORKSPACE_ROLE_REQUIRED"
