"""A worker: claims jobs of one queue, does them, a few at a time, and says what came of them.

Each job has a heartbeat of its own, three times within its lease. When the server says that the run was cancelled or is
another's, or the lease has ended unheard, the job is cancelled, and nothing is said of it any more. On SIGTERM no job
is begun any more; those under way have `grace_s` to end, and what is left then is given back.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import time
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from rota_worker.attempt import Attempt
from rota_worker.server import Server, Unreachable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from rota_worker.jobs import Job

_LOG = logging.getLogger("rota_worker")
_AGAIN_S = 2.0
_CLAIM_MARGIN_S = 10.0
HandlerT = TypeVar("HandlerT", bound="Callable[[Job], Coroutine[Any, Any, Any]]")


class Worker:
    """Does the jobs of one queue.

    Args:
        url: Where Rota is.
        token: An access token of somebody who may write in the workspace, or an `async` function that gets one.
        queue: Whose jobs.
        workspace_id: Where; absent means the caller's own workspace.
        concurrency: How many at a time, 1 to 100.
        lease_s: Seconds after which others get the job of a worker that is not heard of, at least 3.
        wait_s: Seconds that one call waits for a job, at most 20; stopping takes so long when there is nothing to do.
        grace_s: Seconds that jobs have to end when the worker is stopped.
        name: Shown to people; absent means the host's name and the number of the process.
        transport: What carries the calls, for tests.
    """

    def __init__(
        self,
        url: str,
        token: str | Callable[[], Awaitable[str]],
        *,
        queue: str,
        workspace_id: str | None = None,
        concurrency: int = 1,
        lease_s: int = 60,
        wait_s: int = 10,
        grace_s: float = 20,
        name: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._http = httpx.AsyncClient(transport=transport)
        self._server = Server(url, token, self._http)
        self._queue = queue
        self._workspace_id = workspace_id
        self._concurrency = concurrency
        self._lease_s = max(3, lease_s)
        self._wait_s = wait_s
        self._grace_s = grace_s
        self._name = name or f"{socket.gethostname()}-{os.getpid()}"
        self._handler: Callable[[Job], Coroutine[Any, Any, Any]] | None = None
        self._under_way: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()

    def job(self, handler: HandlerT) -> HandlerT:
        """Decorates the function that does the jobs of the queue; what it returns is the result, as JSON."""
        self._handler = handler
        return handler

    def stop(self) -> None:
        """Begin no job any more; `run` returns when those under way have ended, or been given back."""
        self._stopping.set()

    async def run(self) -> None:
        """Work until stopped; SIGTERM and SIGINT stop it.

        Raises:
            RuntimeError: no function is there for the jobs.
            Refused: the server will not give jobs to the caller: the token or the workspace will not do.
        """
        if self._handler is None:
            raise RuntimeError("decorate a function with `worker.job` first")
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        try:
            await self._claim_until_stopped(self._handler)
        finally:
            await self._end()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)
            await self._http.aclose()

    async def _claim_until_stopped(self, handler: Callable[[Job], Coroutine[Any, Any, Any]]) -> None:
        while not self._stopping.is_set():
            free = self._concurrency - len(self._under_way)
            if free == 0:
                await self._until_stopped(asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED))
                continue
            asked = time.monotonic()
            try:
                # Not broken off when the worker is stopped: what it brings would be nobody's until the lease ends.
                claimed = await self._claim(free)
            except Unreachable as error:
                _LOG.warning("no jobs: %s", error)
                await self._until_stopped(asyncio.sleep(_AGAIN_S))
                continue
            for each in claimed:
                attempt = Attempt(self._server, each, lease_s=self._lease_s, asked=asked)
                task = asyncio.create_task(attempt.make(handler))
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)

    async def _claim(self, limit: int) -> list[dict[str, Any]]:
        body: dict[str, Any] = {
            "limit": min(limit, 100),
            "wait_s": self._wait_s,
            "lease_s": self._lease_s,
            "worker": self._name,
        }
        if self._workspace_id is not None:
            body["workspace_id"] = self._workspace_id
        timeout_s = self._wait_s + _CLAIM_MARGIN_S
        answer = await self._server.post(f"/api/v1/queues/{self._queue}/claim", body, timeout_s=timeout_s)
        claimed: list[dict[str, Any]] = answer.get("runs", [])
        return claimed

    async def _until_stopped(self, awaitable: Coroutine[Any, Any, Any]) -> None:
        tasks = {asyncio.ensure_future(awaitable), asyncio.ensure_future(self._stopping.wait())}
        _, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for each in pending:
            each.cancel()
        await asyncio.gather(*pending, return_exceptions=True)

    async def _end(self) -> None:
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=self._grace_s)
        left = list(self._under_way)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
