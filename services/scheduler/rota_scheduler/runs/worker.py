"""Executing runs: claiming them, taking their action, writing what came of it (the model is in `runs.domain`)."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID, uuid5

from opentelemetry import trace
from rota.events.v1 import events_pb2
from rota_chassis.errors import Unavailable
from rota_chassis.events.log import NewEvent
from rota_chassis.logs import logger
from rota_chassis.telemetry import TRACER

from rota_scheduler.actions.retries import timeout_of
from rota_scheduler.metrics import ATTEMPTS, LATENESS_SECONDS
from rota_scheduler.runs import store
from rota_scheduler.runs.domain import LEASE, RENEW_EVERY, Failed, Status, Succeeded, next_attempt_at
from rota_scheduler.runs.messages import run_finished
from rota_scheduler.schedules import store as schedules
from rota_scheduler.schedules.domain import after_run
from rota_scheduler.schedules.messages import event_of
from rota_scheduler.ticker import Ticker, next_tick

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from datetime import datetime

    from rota_chassis.clock import Clock
    from rota_chassis.postgres.database import Database, UnitOfWork

    from rota_scheduler.runs.domain import Execute, Outcome, Run
    from rota_scheduler.schedules.domain import Schedule

ATTEMPT_GRACE_S = 5.0
STOP_GRACE_S = 2.0
SETTLE_RETRY_S = 0.5
_LOG = logger(__name__)


class Worker:
    """Executes runs, at most `slots` at a time.

    Args:
        database: Where the runs are.
        clock: Whose time counts.
        actions: What executes them, by the name of the member of `Action` that is set.
        slots: How many at a time.
        jitter: For the delay before another attempt.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        actions: Mapping[str, Execute],
        *,
        slots: int,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._database = database
        self._clock = clock
        self._actions = actions
        self._slots = slots
        self._jitter = jitter
        self._renew_now = asyncio.Event()
        self._executing: dict[asyncio.Task[None], Run] = {}
        self._ticker = Ticker("runs", self.tick, clock)

    def wake(self) -> None:
        """Runs may have become available."""
        self._ticker.wake()

    async def run(self) -> None:
        """Execute runs until cancelled; those that do not end within two seconds then are given back."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._ticker.run())
                group.create_task(self._keep_leases())
        finally:
            await self._stop()

    async def tick(self) -> datetime | None:
        """Claim what is available while there are free slots, and start it.

        Returns:
            When to claim next; None when no run waits, or no slot is free.
        """
        free = self._slots - len(self._executing)
        if free == 0:
            return None
        available = await store.next_available(self._database)
        now = self._clock.now()
        if available is None or available > now:
            return available
        async with self._database.transaction() as work:
            claimed = await store.claim(work, now=now, lease_until=now + LEASE, limit=free)
        for run in claimed:
            task = asyncio.create_task(self._execute(run), name=f"run {run.id}")
            self._executing[task] = run
            task.add_done_callback(self._ended)
        due = await store.next_available(self._database)
        return next_tick(now, taken=len(claimed), batch=free, due=due)

    async def renew(self) -> None:
        """Prolong the leases of what is being executed; stop what has been cancelled."""
        held = list(self._executing.values())
        if held:
            async with self._database.transaction() as work:
                await store.renew(work, held, lease_until=self._clock.now() + LEASE)
                cancelled = await store.cancelled(work, held)
            self._break_off(cancelled)

    def renew_now(self) -> None:
        """What is being executed may have been cancelled."""
        self._renew_now.set()

    def _break_off(self, run_ids: Collection[UUID]) -> None:
        """Break off the attempts at runs that have been cancelled, as far as they are made here."""
        for task, run in self._executing.items():
            if run.id in run_ids:
                task.cancel()

    async def idle(self) -> None:
        """Return when nothing is being executed."""
        while self._executing:
            await asyncio.wait(self._executing)

    async def _keep_leases(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(RENEW_EVERY.total_seconds()):
                    await self._renew_now.wait()
            self._renew_now.clear()
            try:
                await self.renew()
            except Unavailable as error:
                _LOG.warning("worker.leases_not_renewed", error=repr(error.__cause__ or error))

    def _ended(self, task: asyncio.Task[None]) -> None:
        run = self._executing.pop(task)
        if not task.cancelled() and task.exception() is not None:
            # Its lease will end, and it will be claimed again.
            _LOG.error("run.abandoned", run_id=run.id, exc_info=task.exception())
        self.wake()

    async def _execute(self, run: Run) -> None:
        if run.attempts == 1:
            LATENESS_SECONDS.labels("run").observe((self._clock.now() - run.nominal_time).total_seconds())
        with TRACER.start_as_current_span(f"run {run.kind}", kind=trace.SpanKind.INTERNAL):
            await self._settle_while_held(run, await self._attempt(run))

    async def _attempt(self, run: Run) -> Outcome:
        if run.attempts > run.retry.max_attempts:
            return Failed(run.error or "Every attempt ended without a word.", retryable=False)
        # An action watches its time itself; this is for what it does beside.
        most_s = timeout_of(run.action) + ATTEMPT_GRACE_S
        try:
            async with asyncio.timeout(most_s):
                return await self._actions[run.kind](run)
        except TimeoutError:
            return Failed(f"The attempt took longer than {most_s:g} s.", retryable=True, cause="timeout")
        except Exception:  # noqa: BLE001 (whatever an action raises, the run ends and says so)
            _LOG.exception("run.crashed", run_id=run.id, action=run.kind)
            return Failed("Something went wrong on our side; it has been logged.", retryable=False)

    async def _settle_while_held(self, run: Run, outcome: Outcome) -> None:
        """Write the outcome; while the database is away, try again for as long as the lease may last."""
        give_up_at = self._clock.now() + LEASE
        while True:
            try:
                held = await self._settle(run, outcome)
            except Unavailable:
                if self._clock.now() > give_up_at:
                    raise
                await asyncio.sleep(SETTLE_RETRY_S)
                continue
            if not held:
                _LOG.warning("run.fenced", run_id=run.id, fence=run.fence)
                ATTEMPTS.labels("fenced").inc()
            return

    async def _settle(self, run: Run, outcome: Outcome) -> bool:
        now = self._clock.now()
        async with self._database.transaction() as work:
            if isinstance(outcome, Failed):
                again_at = next_attempt_at(run, outcome, now=now, jitter=self._jitter)
                if again_at is not None:
                    ATTEMPTS.labels("retried").inc()
                    return await store.try_again(
                        work,
                        run,
                        available_at=again_at,
                        error=outcome.error,
                        http_status=outcome.http_status,
                    )
            finished = _finished(run, outcome, now)
            # Locked first, as when it fires: so a run is buffered either before this one ends, or not at all.
            schedule = await schedules.lock_alone(work, workspace_id=run.workspace_id, schedule_id=run.schedule_id)
            held = await store.finish(work, finished)
            if held:
                await store.release(work, workspace_id=run.workspace_id, schedule_id=run.schedule_id, available_at=now)
                if schedule is not None:
                    await _count(work, schedule, succeeded=finished.status is Status.SUCCEEDED, now=now)
                work.append(run_finished(finished, now))
                for data in outcome.events if isinstance(outcome, Succeeded) else ():
                    # Of the run, but not one of its versions.
                    effect_id = uuid5(run.id, data.DESCRIPTOR.name)
                    work.append(NewEvent(run.workspace_id, effect_id, 1, data, now, effect_id))
        if held:
            ATTEMPTS.labels(finished.status).inc()
        return held

    async def _stop(self) -> None:
        if self._executing:
            await asyncio.wait(self._executing, timeout=STOP_GRACE_S)
        unfinished = dict(self._executing)
        for task in unfinished:
            task.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)
        if unfinished:
            async with self._database.transaction() as work:
                await store.give_back(work, list(unfinished.values()), available_at=self._clock.now())


async def _count(work: UnitOfWork, schedule: Schedule, *, succeeded: bool, now: datetime) -> None:
    """Let the schedule know how its run ended; it may pause it."""
    counted = after_run(schedule, succeeded=succeeded, now=now)
    if counted != schedule:
        await schedules.save(work, counted)
    if counted.version != schedule.version:
        work.append(event_of(events_pb2.SchedulePaused, counted, now))


def _finished(run: Run, outcome: Outcome, now: datetime) -> Run:
    if isinstance(outcome, Succeeded):
        return replace(
            run,
            status=Status.SUCCEEDED,
            finished_at=now,
            available_at=None,
            task_id=UUID(outcome.task_id) if outcome.task_id else None,
            http_status=outcome.http_status,
            response=outcome.response,
            error=None,
        )
    return replace(
        run,
        status=Status.FAILED,
        finished_at=now,
        available_at=None,
        http_status=outcome.http_status or run.http_status,
        response=outcome.response,
        error=outcome.error,
    )
