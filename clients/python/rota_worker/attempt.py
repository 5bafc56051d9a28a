"""One attempt at a job: the function, a heartbeat beside it, and what came of it."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from typing import TYPE_CHECKING, Any

from rota_worker.jobs import GiveUp, Job
from rota_worker.server import Refused, Server, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

_BEATS_IN_LEASE = 3
_LEAST_WITHIN_S = 5.0
_MOST_ERROR = 2_000
_INVALID = 400
_LOG = logging.getLogger("rota_worker")


class Attempt:
    """An attempt at a claimed run.

    Args:
        server: Where the run is.
        claimed: The run, as the claim gave it.
        lease_s: How long the lease lasts after each heartbeat.
        asked: When the claim was made, of `time.monotonic`.
    """

    def __init__(self, server: Server, claimed: Mapping[str, Any], *, lease_s: float, asked: float) -> None:
        self._server = server
        self._job = Job.of(claimed, self._report)
        self._lease_s = lease_s
        self._held_until = asked + lease_s
        self._lost: str | None = None
        self._work: asyncio.Task[Any] | None = None

    async def make(self, handler: Callable[[Job], Coroutine[Any, Any, Any]]) -> None:
        """Do the job and say what came of it; when cancelled, break it off and give it back."""
        work = self._work = asyncio.create_task(handler(self._job), name=f"job {self._job.id}")
        beating = asyncio.create_task(self._keep())
        try:
            await asyncio.wait({work})
        except asyncio.CancelledError:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            await self._tell(work, given_back=True)
        else:
            await self._tell(work)
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)

    async def _tell(self, work: asyncio.Task[Any], *, given_back: bool = False) -> None:
        if self._lost is not None:
            _LOG.warning("job %s was broken off: %s", self._job.id, self._lost)
            return
        try:
            await self._end(work, given_back=given_back)
        except (Refused, Unreachable) as error:
            # Another will do it, if it has not ended.
            _LOG.warning("what came of job %s could not be said: %s", self._job.id, error)

    async def _end(self, work: asyncio.Task[Any], *, given_back: bool) -> None:
        if work.cancelled():
            await (self._say("release") if given_back else self._fail("The job was cancelled by the worker."))
        elif (error := work.exception()) is not None:
            if not isinstance(error, GiveUp):
                _LOG.warning("job %s failed", self._job.id, exc_info=error)
            await self._fail(str(error) or type(error).__name__, retryable=not isinstance(error, GiveUp))
        else:
            try:
                json.dumps(work.result(), allow_nan=False)
                await self._say("complete", result=work.result())
            except (TypeError, ValueError) as error:
                await self._fail(f"The result is no JSON: {error}", retryable=False)
            except Refused as error:
                if error.status != _INVALID:
                    raise
                await self._fail(f"The result was refused: {error}", retryable=False)

    async def _fail(self, error: str, *, retryable: bool = True) -> None:
        await self._say("fail", error=error[:_MOST_ERROR], retryable=retryable)

    async def _say(self, what: str, **said: Any) -> None:
        within_s = max(self._held_until - time.monotonic(), _LEAST_WITHIN_S)
        body = {"fence": self._job.fence, **said}
        await self._server.post(f"/api/v1/runs/{self._job.id}/{what}", body, within_s=within_s)

    async def _keep(self) -> None:
        while self._lost is None:
            await asyncio.sleep(self._lease_s / _BEATS_IN_LEASE)
            try:
                await self._report(None, None)
            except Unreachable as error:
                if time.monotonic() >= self._held_until:
                    self._break_off(f"its lease has ended unheard: {error}")

    async def _report(self, percent: int | None, message: str | None) -> None:
        said: dict[str, Any] = {"fence": self._job.fence}
        said |= {name: value for name, value in (("progress", percent), ("message", message)) if value is not None}
        begun = time.monotonic()
        try:
            answer = await self._server.post(f"/api/v1/runs/{self._job.id}/heartbeat", said)
        except Refused as error:
            if error.status == _INVALID:
                raise
            self._break_off(str(error))
            return
        if answer.get("cancelled"):
            self._break_off("the run was cancelled")
        else:
            self._held_until = begun + self._lease_s

    def _break_off(self, why: str) -> None:
        self._lost = self._lost or why
        if self._work is not None:
            self._work.cancel()
